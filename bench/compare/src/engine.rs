//! What the workloads ask of an engine. Each has a file in `engines`, which opens it as its users
//! and its documents would, and says which settings and why.
//!
//! Calls are resolved when the program is built, so that no engine pays for the trait. Writes are
//! futures, because SurrealKV's commits are; those of the others are ready at once.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::Result;
use crate::data::Key;

/// How an engine is opened: the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Bytes of its block cache or page cache, where it has one of its own.
    pub(crate) cache_bytes: u64,
    /// Bytes of one memtable or write buffer, where it has them.
    pub(crate) write_buffer_bytes: u64,
    /// Whether data files are compressed: with LZ4 where there is a choice.
    pub(crate) compressed: bool,
    /// Whether memory is limited to less than the data.
    pub(crate) limited: bool,
    /// Bytes of keys and values that will be written, at most.
    pub(crate) data_bytes: u64,
}

/// The order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    Backward,
}

/// One open database. Every write is buffered: it is not synced, and may be lost with the power.
pub(crate) trait Engine: Sized + Send + Sync + 'static {
    fn open(dir: &Path, options: &Options) -> Result<Self>;

    fn put(&self, key: &[u8], value: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// All or nothing.
    fn put_all(&self, pairs: &[(Key, &[u8])]) -> impl Future<Output = Result<()>> + Send;

    fn delete(&self, key: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Hands the value to `read` where it lies, if the engine can lend it.
    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R>;

    /// Whether there is one call for many keys.
    const HAS_MULTI_GET: bool = false;

    /// One call for many keys; `read` has the place of the key among them, and its value.
    fn multi_get(&self, keys: &[Key], mut read: impl FnMut(usize, Option<&[u8]>)) -> Result<()> {
        for (at, key) in keys.iter().enumerate() {
            self.get(key, |value| read(at, value))?;
        }
        Ok(())
    }

    /// Shows at most `limit` pairs, from the first key that is not below `from` (forward) or from
    /// the last that is not above it (backward); lent until the next one if the engine can.
    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()>;

    /// The same by an iterator whose pairs may be kept when it has gone on. Many have no other.
    fn scan_kept(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        self.scan(from, way, limit, see)
    }

    /// Brings memtables to disk, and waits for merges as far as the engine tells of them. The
    /// caller then waits until the process is idle.
    fn settle(&self) -> Result<()>;

    /// Runs a future that writes: on this thread, unless the engine has threads for it.
    fn drive<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        at_once(task)
    }

    /// Ends it as a program would that is done.
    fn close(self) -> Result<()>;
}

/// One open database whose transactions read, write, and may lose to others; of another type than
/// the [`Engine`] where it is to be opened in another way. What it commits is buffered, too.
pub(crate) trait Optimistic: Sized + Send + Sync + 'static {
    fn open_optimistic(dir: &Path, options: &Options) -> Result<Self>;

    /// Adds one to each of two numbers in one transaction, which is run again until it commits.
    fn add(&self, keys: [Key; 2]) -> impl Future<Output = Result<()>> + Send;

    fn number(&self, key: &Key) -> Result<u64>;

    /// As [`Engine::drive`].
    fn drive<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        at_once(task)
    }

    /// As [`Engine::close`].
    fn close_optimistic(self) -> Result<()>;
}

/// The output of a future that waits for nothing.
fn at_once<T>(task: impl Future<Output = T>) -> T {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("only SurrealKV's futures wait, and it has its own way"),
    }
}
