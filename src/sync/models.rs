//! What models run on, so that they need not name the checker either.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// The threads of a model.
pub(crate) mod thread {
    pub(crate) use loom::thread::JoinHandle;

    pub(crate) fn spawn<R: 'static>(run: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
        loom::thread::spawn(move || super::or_stop(run))
    }
}

/// How an exploration has ended.
type Outcome = Result<(), String>;

/// What a thread explores for.
struct Explores {
    report: Sender<Outcome>,
    /// The first panic, with its place.
    message: String,
}

/// The channels of a model: the contract that crossbeam's keep, over a mutex. What is in a channel
/// goes with its receiver.
pub(crate) mod channel {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use crate::sync::{Condvar, Mutex, lock, wait};

    #[derive(Debug)]
    struct State<T> {
        queue: VecDeque<T>,
        senders: usize,
        received: bool,
    }

    #[derive(Debug)]
    struct Channel<T> {
        state: Mutex<State<T>>,
        changed: Condvar,
    }

    /// Nobody is at the other end any more.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Disconnected;

    // Not the checker's `Arc`: after a deadlock no thread is active that one could be dropped on.
    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Channel<T>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Channel<T>>);

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let state = Mutex::new(State { queue: VecDeque::new(), senders: 1, received: true });
        let channel = Arc::new(Channel { state, changed: Condvar::new() });
        (Sender(Arc::clone(&channel)), Receiver(channel))
    }

    /// The bound is not kept: no model sends more.
    pub(crate) fn bounded<T>(_: usize) -> (Sender<T>, Receiver<T>) {
        unbounded()
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, value: T) -> Result<(), Disconnected> {
            let mut state = lock(&self.0.state);
            if !state.received {
                drop(state);
                return Err(Disconnected);
            }
            state.queue.push_back(value);
            self.0.changed.notify_all();
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, Disconnected> {
            lock(&self.0.state).queue.pop_front().ok_or(Disconnected)
        }

        pub(crate) fn recv(&self) -> Result<T, Disconnected> {
            let mut state = lock(&self.0.state);
            loop {
                if let Some(value) = state.queue.pop_front() {
                    return Ok(value);
                }
                if state.senders == 0 {
                    return Err(Disconnected);
                }
                state = wait(&self.0.changed, state);
            }
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            lock(&self.0.state).senders += 1;
            Self(Arc::clone(&self.0))
        }
    }

    // After a panic of the model there is nothing to lock by.
    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                lock(&self.0.state).senders -= 1;
                self.0.changed.notify_all();
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                let mut state = lock(&self.0.state);
                state.received = false;
                let left = std::mem::take(&mut state.queue);
                drop(state);
                // Not under the lock: a job may have a way back.
                drop(left);
            }
        }
    }
}

std::thread_local! {
    static EXPLORES: RefCell<Option<Explores>> = const { RefCell::new(None) };
}

/// Runs `body` once per interleaving of its threads, with at most `preemptions` involuntary
/// switches in each (`None`: all of them), until it panics. Returns how many ran, and the
/// panic's place and message.
///
/// Without a panic these are all: no other limit is set, whatever the checker's environment
/// variables say, and an execution that is too long for it panics.
pub(crate) fn explore(
    preemptions: Option<usize>,
    body: impl Fn() + Send + Sync + 'static,
) -> (usize, Outcome) {
    let executions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_permutations = None;
    builder.max_duration = None;
    note_panics();
    let (report, outcome) = channel();
    std::thread::spawn(move || {
        EXPLORES.set(Some(Explores { report: report.clone(), message: String::new() }));
        or_stop(move || {
            builder.check(move || {
                count.fetch_add(1, Ordering::Relaxed);
                or_stop(&body);
            });
        });
        report.send(Ok(())).expect("the caller waits");
    });
    let outcome = outcome.recv().expect("an exploration ends, or panics");
    (executions.load(Ordering::Relaxed), outcome)
}

/// Notes a panic of a thread that explores, and prints only others.
fn note_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            EXPLORES.with_borrow_mut(|explores| match explores {
                Some(explores) if explores.message.is_empty() => {
                    explores.message = panic.to_string();
                }
                Some(_) => {}
                None => print(panic),
            });
        }));
    });
}

/// Runs a thread of a model. If it panics, that is reported, and it stays where it is, with all
/// others of the model, which run on the same thread of the system: those that have not ended
/// would let go of what they share after there is anything to share it in, and the checker aborts.
fn or_stop<R>(run: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(_) => {
            let explores = EXPLORES.take().expect("set before anything runs");
            explores.report.send(Err(explores.message)).expect("the caller waits");
            loop {
                std::thread::park();
            }
        }
    }
}

/// What models that run at the same time count together; no model's own.
pub(crate) struct Tally<T>(Mutex<T>);

impl<T> Tally<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
