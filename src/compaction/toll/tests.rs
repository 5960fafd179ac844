//! What reads pay, and what merges are charged.

use super::*;

#[test]
fn reads_pay_for_what_is_beyond_one_run() {
    let mut toll = Toll::default();
    // One run costs nothing, however often it is read.
    toll.look(1 << 40, 1, 1_000);
    toll.look(1 << 40, 3, 1_000);
    assert!(!toll.is_due());
    // Two runs too many: ten reads pay for 1,000 bytes.
    toll.look((1 << 40) + 9, 3, 1_000);
    assert!(!toll.is_due());
    toll.look((1 << 40) + 10, 3, 1_000);
    assert!(toll.is_due());
    // Until it is charged, or there is one run.
    toll.charge(999);
    assert!(toll.is_due());
    let mut other = toll;
    toll.charge(1);
    assert!(!toll.is_due());
    other.look((1 << 40) + 11, 1, 1_000);
    assert!(!other.is_due());
    // At most twice what there is is kept; and a count that goes back counts as none.
    other.look(1 << 50, 2, 1_000);
    other.look(5, 2, 1_000);
    other.charge(1_999);
    assert!(other.is_due());
    other.charge(1);
    assert!(!other.is_due());
}
