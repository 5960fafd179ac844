//! Work on many things by several threads, lent by the caller: nothing here starts one.
//!
//! Opening uses it, to read logs and to sort what is in them.

use crate::sync::{Mutex, lock};

/// Runs the work that it is given, which concerns so many bytes, on one thread or on several at
/// once, and returns when all have ended.
pub(crate) type Hands<'a> = &'a dyn Fn(u64, &(dyn Fn() + Sync));

/// Does `work` on each of `items`, which are `bytes` together: each thread takes the next when it
/// has done one. The results are in the order of the items.
pub(crate) fn share_out<T: Send, R: Send>(
    hands: Hands<'_>,
    bytes: u64,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let (waiting, done) = (Mutex::new(items.into_iter().enumerate()), Mutex::new(Vec::new()));
    hands(bytes, &|| {
        loop {
            // Not in the condition of a `while let`, which would hold the lock during the work.
            let Some((index, item)) = lock(&waiting).next() else { break };
            let result = work(item);
            lock(&done).push((index, result));
        }
    });
    let mut done = std::mem::take(&mut *lock(&done));
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items_whoever_did_them() {
        let check = |hands: Hands<'_>| {
            for count in [0, 1, 2, 100] {
                let results = share_out(hands, 1, (0..count).collect(), |item| item * 2);
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
        let (sender, receiver) = crossbeam_channel::bounded(0);
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
}
