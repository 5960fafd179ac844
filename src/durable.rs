//! [`Durable`]: a wait for durability that a task awaits. `Db::durable` and `Db::when_durable`
//! stand in `maintenance`, beside `sync`; who answers is `engine::write::told`'s business.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::io::Process;
use crate::sync::{Arc, Mutex, lock};

/// Becomes ready once everything up to a sequence is durable. From
/// [`Db::durable`](crate::Db::durable).
///
/// It needs no runtime, and any may poll it, on any thread. It holds no handle of the database: a
/// close makes it ready. Dropping it gives up the wait and nothing else; what was asked of the disk
/// is done all the same. Polled again once it is ready it gives the same answer. Wakers are called
/// on the log thread: one that runs the task there and then has it keep to what
/// [`Db::when_durable`](crate::Db::when_durable) says of calls.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// async fn pay(db: &alluvium::Db) -> alluvium::Result<()> {
///     let sequence = db.put("paid", "yes")?;
///     db.durable(sequence).await // no thread waits meanwhile
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "it does nothing for those who do not await it"]
pub struct Durable {
    answer: Arc<Mutex<Answer>>,
    /// In a forked child nobody answers.
    process: Process,
}

/// What the one who tells and the one who waits have in common.
#[derive(Default)]
struct Answer {
    result: Option<Result<()>>,
    waker: Option<Waker>,
}

impl Durable {
    /// A wait, and what ends it.
    pub(crate) fn new(process: Process) -> (Self, impl FnOnce(Result<()>) + Send + 'static) {
        let answer = Arc::new(Mutex::new(Answer::default()));
        let told = Arc::clone(&answer);
        let tell = move |result| {
            let waker = {
                let mut answer = lock(&told);
                answer.result = Some(result);
                answer.waker.take()
            };
            // The program's code, so not under the lock.
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        (Self { answer, process }, tell)
    }
}

impl Future for Durable {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.process.is_this() {
            return Poll::Ready(Err(Error::Forked));
        }
        // Cloned and dropped outside of the lock, as that is the program's code.
        let waker = context.waker().clone();
        let mut answer = lock(&self.answer);
        if let Some(result) = answer.result.clone() {
            return Poll::Ready(result);
        }
        let before = answer.waker.replace(waker);
        drop(answer);
        drop(before);
        Poll::Pending
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").finish_non_exhaustive()
    }
}
