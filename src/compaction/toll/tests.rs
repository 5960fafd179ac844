//! What reads pay, and what merges are charged.

use super::*;

#[test]
fn reads_pay_for_what_is_beyond_one_run() {
    let mut toll = Toll::default();
    // One run costs nothing, however often it is read.
    toll.look(1 << 40, 1, 400);
    toll.look(1 << 40, 3, 400);
    assert!(!toll.is_due());
    // Two runs too many: ten reads pay for 400 bytes.
    toll.look((1 << 40) + 9, 3, 400);
    assert!(!toll.is_due());
    toll.look((1 << 40) + 10, 3, 400);
    assert!(toll.is_due());
    // Until it is charged, or there is one run.
    toll.charge(399);
    assert!(toll.is_due());
    let mut other = toll;
    toll.charge(1);
    assert!(!toll.is_due());
    other.look((1 << 40) + 11, 1, 400);
    assert!(!other.is_due());
    // At most twice what there is is kept; and a count that goes back counts as none.
    other.look(1 << 50, 2, 400);
    other.look(5, 2, 400);
    other.charge(799);
    assert!(other.is_due());
    other.charge(1);
    assert!(!other.is_due());
}
