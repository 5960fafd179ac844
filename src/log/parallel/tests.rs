//! Shared work: the order of results, and threads at once.

use super::*;
use crate::sync::channel::bounded;

#[test]
fn results_keep_the_order_of_the_items() {
    let check = |parallel: Parallel<'_>| {
        for count in [0, 1, 2, 100] {
            let results = share_out(parallel, 1, (0..count).collect(), |item| item * 2);
            assert_eq!(results, (0..count).map(|item| item * 2).collect::<Vec<_>>());
        }
    };
    check(&|_, work| work());
    check(&two);
    // The second finds nothing left to do.
    check(&|_, work| (0..2).for_each(|_| work()));
}

/// Two threads that work at the same time for certain.
#[test]
fn both_threads_work_at_once() {
    // A send ends when the other thread receives.
    let (sender, receiver) = bounded(0);
    let met = share_out(&two, 1, vec![true, false], |sends| match sends {
        true => sender.send(()).is_ok(),
        false => receiver.recv().is_ok(),
    });
    assert_eq!(met, [true, true]);
}

fn two(_: u64, work: &(dyn Fn() + Sync)) {
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}
