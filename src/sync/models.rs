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
