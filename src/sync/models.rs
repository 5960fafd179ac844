//! What models run on, so that they need not name the checker either.

pub(crate) use loom::thread;
use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// How an exploration has ended.
type Outcome = Result<(), String>;

std::thread_local! {
    /// The caller that waits for what this thread explores.
    static EXPLORES: RefCell<Option<Sender<Outcome>>> = const { RefCell::new(None) };
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
    stop_at_panics();
    let (report, outcome) = channel();
    std::thread::spawn(move || {
        EXPLORES.set(Some(report.clone()));
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            body();
        });
        report.send(Ok(())).expect("the caller waits");
    });
    let outcome = outcome.recv().expect("an exploration ends, or panics");
    (executions.load(Ordering::Relaxed), outcome)
}

/// Has a thread that explores report a panic and stay where it is. All threads of a model run
/// on it: if it unwound, those that have not ended would let go of what they share after there
/// is anything to share it in, and the checker aborts.
fn stop_at_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let Some(report) = EXPLORES.take() else { return print(panic) };
            let message = panic.to_string();
            report.send(Err(message)).expect("the caller waits");
            loop {
                std::thread::park();
            }
        }));
    });
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
