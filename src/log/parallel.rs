//! Work on many things by several threads, lent by the caller: nothing here starts one.
//!
//! Opening uses it, to read logs and to sort what is in them.

use crate::sync::{Mutex, lock};

/// Runs the work that it is given, which concerns that many bytes, on one thread or on several at
/// once, and returns when all have ended.
pub(crate) type Parallel<'a> = &'a dyn Fn(u64, &(dyn Fn() + Sync));

/// Does `work` on each of `items`, which are `bytes` together: each thread takes the next when it
/// has done one. The results are in the order of the items.
pub(crate) fn share_out<T: Send, R: Send>(
    parallel: Parallel<'_>,
    bytes: u64,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    parallel(bytes, &|| {
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
mod tests;
