//! A subscriber that calls the database back from each event and each step of a span.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use alluvium::{Db, Error};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// Whether the thread is in a handler: what its calls send is not answered by further calls.
    static CALLS: Cell<bool> = const { Cell::new(false) };
}

/// What the subscriber shares with the test.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    scene: Mutex<String>,
    db: Mutex<Option<Db>>,
    seen: Mutex<BTreeSet<String>>,
    under_way: Mutex<Vec<(String, &'static str)>>,
    /// Handlers that may hold a handle of the database.
    busy: AtomicU64,
    made: AtomicU64,
    refused: AtomicU64,
    gate: Gate,
}

/// Where a handler waits, so that its handle of the database is the last one.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum GateState {
    #[default]
    Open,
    Closed,
    Waited,
}

impl Calls {
    /// Names what is provoked next, for the report of a hang.
    pub(crate) fn begin(&self, scene: &str) {
        *self.scene.lock().unwrap() = scene.to_owned();
    }

    pub(crate) fn scene(&self) -> String {
        self.scene.lock().unwrap().clone()
    }

    /// From now on handlers call this database.
    pub(crate) fn answer_with(&self, db: &Db) {
        *self.db.lock().unwrap() = Some(db.clone());
    }

    /// From now on handlers call none. Those under way go on.
    pub(crate) fn answer_no_more(&self) {
        *self.db.lock().unwrap() = None;
    }

    /// Waits until no handler is under way.
    pub(crate) fn await_silence(&self) {
        while self.busy.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    pub(crate) fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Calls that would have waited for the thread that they were made on.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Handlers that have not returned: the event, and the thread or the call.
    pub(crate) fn under_way(&self) -> Vec<(String, &'static str)> {
        self.under_way.lock().unwrap().clone()
    }

    /// Lets the next handler on one of the engine's threads wait for [`Self::release`].
    pub(crate) fn hold_next(&self) {
        *self.gate.state.lock().unwrap() = GateState::Closed;
    }

    /// Waits until a handler does.
    pub(crate) fn await_held(&self) {
        let mut state = self.gate.state.lock().unwrap();
        while *state != GateState::Waited {
            state = self.gate.changed.wait(state).unwrap();
        }
    }

    pub(crate) fn release(&self) {
        *self.gate.state.lock().unwrap() = GateState::Open;
        self.gate.changed.notify_all();
    }

    fn stand_at_gate(&self) {
        let mut state = self.gate.state.lock().unwrap();
        if *state == GateState::Closed {
            *state = GateState::Waited;
            self.gate.changed.notify_all();
            while *state == GateState::Waited {
                state = self.gate.changed.wait(state).unwrap();
            }
        }
    }

    fn answer(&self, name: &str) {
        self.seen.lock().unwrap().insert(name.to_owned());
        if CALLS.try_with(Cell::get) != Ok(false) {
            return;
        }
        self.busy.fetch_add(1, Ordering::SeqCst);
        let db = self.db.lock().unwrap().clone();
        if let Some(db) = db {
            let _ = CALLS.try_with(|calls| calls.set(true));
            self.call(name, db);
            let _ = CALLS.try_with(|calls| calls.set(false));
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }

    /// Calls whatever may be called, and what must not, and drops the handle.
    fn call(&self, name: &str, db: Db) {
        let at = |what| {
            self.made.fetch_add(1, Ordering::Relaxed);
            self.under_way.lock().unwrap().push((name.to_owned(), what));
        };
        for (what, read) in READS {
            at(what);
            read(&db);
            self.under_way.lock().unwrap().pop();
        }
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        if ["alluvium-log", "alluvium-flush", "alluvium-compactor"].contains(&&*thread) {
            for (what, wait) in WAITS {
                at(what);
                let refused = wait(&db);
                self.under_way.lock().unwrap().pop();
                let refused = refused.expect_err("it would wait for the thread that it is on");
                let at_once = matches!(refused, Error::InvalidArgument { .. } | Error::Closed)
                    || matches!(refused, Error::WriterStopped { .. });
                assert!(at_once, "{what}: {refused}");
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            self.stand_at_gate();
        }
        drop(db);
    }
}

type Read = fn(&Db);
type Wait = fn(&Db) -> Result<(), Error>;

/// What a handler may call.
const READS: &[(&str, Read)] = &[
    ("health", |db| drop(db.health().to_string())),
    ("stats", |db| drop(db.stats().to_string())),
    ("runs", |db| drop(db.runs())),
    ("segments", |db| drop(db.segments())),
    ("get", |db| drop(db.get("k 1"))),
    ("range", |db| drop(db.range(..).next())),
    ("first", |db| drop(db.first())),
    ("snapshot", |db| drop(db.snapshot().get("k 1"))),
    ("explain", |db| drop(db.explain("k 1"))),
    ("approximate_len", |db| drop(db.approximate_len())),
    ("keyspaces", |db| drop(db.keyspaces())),
    ("path", |db| drop(db.path().to_path_buf())),
];

/// What must not be called from a handler on a background thread, and says so instead of hanging.
const WAITS: &[(&str, Wait)] = &[
    ("flush", |db| db.flush()),
    ("verify", |db| db.verify().map(drop)),
    ("compact", |db| db.compact()),
    ("keyspace", |db| db.keyspace("made in a handler").map(drop)),
    ("close", |db| db.close()),
];

/// The subscriber itself.
struct Answering(&'static Calls, AtomicU64);

/// Makes the process's subscriber.
pub(crate) fn install() -> &'static Calls {
    let calls: &'static Calls = Box::leak(Box::default());
    let answering = Answering(calls, AtomicU64::new(1));
    tracing::subscriber::set_global_default(answering).expect("it is the only one");
    calls
}

/// Picks the message out of an event's fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Answering {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("alluvium")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.answer(span.metadata().name());
        Id::from_u64(self.1.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.answer(&message.0);
    }

    fn enter(&self, _: &Id) {
        self.0.answer("a span is entered");
    }

    fn exit(&self, _: &Id) {
        self.0.answer("a span is left");
    }

    fn try_close(&self, _: Id) -> bool {
        self.0.answer("a span is over");
        true
    }
}

/// So that a database can be handed to a handler from any thread.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<Calls>>();
};
