//! In an async program: answer from memory on the executor's thread, and let threads of your own
//! wait for the disk.
//!
//! `Db::try_get` never touches the disk, so a task may call it. What may wait (`get` after
//! `WouldRead`, `write`, `flush`) goes to a pool of threads, and the task awaits the answer; for a
//! write to be durable it awaits `Db::durable`, which takes no thread. No runtime is needed for
//! that, and none is used here: `session_store` has the same with tokio.
//!
//! `cargo run --example async_app`. It works in a temporary directory, and checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use alluvium::{Db, Result, TryGet, Value, WriteBatch};

/// The answer of a job, and the task that waits for it.
type Slot<T> = Arc<Mutex<(Option<T>, Option<Waker>)>>;

/// An answer that a thread of the pool will give.
struct Answer<T>(Slot<T>);

impl<T> Future for Answer<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.1 = Some(context.waker().clone());
        slot.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread for work that may wait. More of them may share one receiver.
#[derive(Clone)]
struct Pool(mpsc::Sender<Job>);

impl Pool {
    fn start() -> Self {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        Self(sender)
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let slot: Slot<T> = Arc::new(Mutex::new((None, None)));
        let answer = Answer(Arc::clone(&slot));
        let job = move || {
            let done = work();
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.0 = Some(done);
            if let Some(waker) = slot.1.take() {
                waker.wake();
            }
        };
        self.0.send(Box::new(job)).expect("the pool lives as long as its sender");
        answer
    }
}

/// A database for tasks. Clones are handles of one.
#[derive(Clone)]
struct AsyncDb {
    db: Db,
    pool: Pool,
}

impl AsyncDb {
    /// From memory at once if memory knows; else from the disk, on the pool.
    async fn get(&self, key: &str) -> Result<Option<Value>> {
        match self.db.try_get(key)? {
            TryGet::Hit(value) => return Ok(Some(value)),
            TryGet::Miss => return Ok(None),
            TryGet::WouldRead => {}
        }
        let db = self.db.clone();
        let key = key.to_owned();
        self.pool.run(move || db.get(key)).await
    }

    /// Commits on the pool, for a write may wait for memory. Durable when it is done; for that no
    /// thread of the pool waits.
    async fn write(&self, batch: WriteBatch) -> Result<()> {
        let db = self.db.clone();
        let sequence = self.pool.run(move || db.write(&batch)).await?;
        self.db.durable(sequence).await
    }
}

/// The smallest executor: one task on this thread, which sleeps until it is woken.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut task = pin!(task);
    loop {
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

async fn write_and_read(app: &AsyncDb) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.put("ann", "1");
    batch.put("bob", "2");
    app.write(batch).await?;
    // In a memtable: no thread but this one takes part.
    assert!(matches!(app.db.try_get("ann")?, TryGet::Hit(one) if one == "1"));
    assert!(app.get("ann").await?.is_some_and(|one| one == "1"));
    Ok(())
}

async fn read_from_disk(app: &AsyncDb) -> Result<()> {
    // On the disk now, and no block is cached yet: the pool reads it, and the cache has it.
    assert_eq!(app.db.try_get("bob")?, TryGet::WouldRead);
    assert!(app.get("bob").await?.is_some_and(|two| two == "2"));
    assert!(matches!(app.db.try_get("bob")?, TryGet::Hit(two) if two == "2"));
    // The filter and the index are in memory, so most absent keys need no disk.
    assert_eq!(app.get("zoe").await?, None);
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("data");
    let open = || Db::open(&path).map(|db| AsyncDb { db, pool: Pool::start() });

    let app = open()?;
    block_on(write_and_read(&app))?;
    app.db.close()?;
    drop(app);

    block_on(read_from_disk(&open()?))?;
    println!("read from memory where it could be, and from the disk where it had to be");
    Ok(())
}
