//! The retire list with the caller's clock; `models.rs` has the interleavings.

use super::Retired;
use crate::sync::Arc;

/// I21.
#[test]
fn a_value_leaves_when_it_is_old_enough_and_nobody_else_holds_it() {
    let mut retired = Retired::new();
    let values = [10, 20, 30].map(Arc::new);
    for (value, now_ms) in values.iter().zip([0, 100, 200]) {
        retired.push(Arc::clone(value), now_ms);
    }
    let [first, second, third] = values;
    let mut check = |now_ms, want: &[i32], left: usize| {
        let collected = retired.collect(now_ms, 100);
        assert!(collected.iter().map(|value| **value).eq(want.iter().copied()));
        assert!(collected.into_iter().all(|value| Arc::into_inner(value).is_some()));
        assert_eq!(retired.iter().count(), left);
    };
    check(1_000, &[], 3);
    drop(second);
    check(50, &[], 3);
    check(199, &[], 3);
    check(200, &[20], 2);
    drop((first, third));
    check(250, &[10], 1);
    check(0, &[], 1);
    check(300, &[30], 0);
}

/// Symptom: each look at what iterators hold took longer by the square of how many there are.
/// Mechanism: a value was sought in the whole list before it came in. Fix: the list knows by itself
/// what it has.
#[test]
fn a_value_is_kept_once_and_may_come_again_after_it_has_left() {
    let mut retired = Retired::new();
    let value = Arc::new(7);
    for _ in 0..3 {
        retired.push(Arc::clone(&value), 0);
    }
    assert_eq!(retired.iter().count(), 1);
    assert!(retired.collect(1_000, 0).is_empty(), "the test holds it");
    drop(value);
    let back = retired.collect(1_000, 0).pop().expect("nobody else holds it");
    retired.push(back, 1_000);
    assert_eq!(retired.collect(1_000, 0).len(), 1);
}
