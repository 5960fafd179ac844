//! What the threads did, as recorded, and whether one order of it explains every answer.
//!
//! Every operation of the engine is one step that reads some keys and writes some: a comparison
//! that failed reads one, a batch writes several, a snapshot reads all. The search for an order is
//! not ours: `todc_utils` has the algorithm of Wing and Gong, as improved by Lowe.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::specifications::Specification;

/// How many keys a history has.
pub(crate) const KEYS: usize = 4;

/// What a key has: the number of its value, or nothing.
pub(crate) type Content = Option<u32>;

/// Each key with what was found in it, or put there.
pub(crate) type Contents = Vec<(usize, Content)>;

/// One operation, which finds and writes at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) reads: Contents,
    pub(crate) writes: Contents,
    /// A key that was found to have a value, which is not known.
    pub(crate) present: Option<usize>,
    /// Answers that no moment explains, whatever others did.
    pub(crate) impossible: bool,
}

/// An operation, who did it, and from when to when.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) thread: usize,
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) operation: Operation,
}

/// Gives each call and each return its place in one order.
#[derive(Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// The keys of one history, and what was done to them.
#[derive(Default)]
pub(crate) struct History(pub(crate) Vec<Recorded>);

/// Four keys, at first without a value.
struct Table;

impl Specification for Table {
    type State = [Content; KEYS];
    type Operation = Operation;

    fn init() -> Self::State {
        [None; KEYS]
    }

    fn apply(operation: &Operation, state: &Self::State) -> (bool, Self::State) {
        let found = operation.reads.iter().all(|&(key, content)| state[key] == content);
        let present = operation.present.is_none_or(|key| state[key].is_some());
        if operation.impossible || !found || !present {
            return (false, *state);
        }
        let mut next = *state;
        for &(key, content) in &operation.writes {
            next[key] = content;
        }
        (true, next)
    }
}

impl History {
    /// Whether some order of the operations, which keeps each between its call and its return,
    /// gives every answer.
    pub(crate) fn is_linearizable(&self) -> bool {
        let called = |it: &Recorded| (it.called, it.thread, Action::Call(it.operation.clone()));
        let returned =
            |it: &Recorded| (it.returned, it.thread, Action::Response(it.operation.clone()));
        let mut actions: Vec<_> = self.0.iter().flat_map(|it| [called(it), returned(it)]).collect();
        actions.sort_by_key(|(at, ..)| *at);
        let actions: Vec<_> =
            actions.into_iter().map(|(_, thread, action)| (thread, action)).collect();
        actions.is_empty() || WGLChecker::<Table>::is_linearizable(Actions::from_actions(actions))
    }

    /// How many operations ran while another thread's did.
    pub(crate) fn overlapping(&self) -> usize {
        let meets = |a: &Recorded, b: &Recorded| {
            a.thread != b.thread && a.called < b.returned && b.called < a.returned
        };
        self.0.iter().filter(|a| self.0.iter().any(|b| meets(a, b))).count()
    }
}

/// One line for each operation, in the order of their calls.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|it| it.called);
        let contents = |contents: &Contents| {
            let each = contents.iter().map(|(key, content)| match content {
                Some(value) => format!(" {key}:{value}"),
                None => format!(" {key}:-"),
            });
            each.collect::<String>()
        };
        for Recorded { thread, called, returned, operation } in sorted {
            let Operation { name, reads, writes, present, impossible } = operation;
            let some = present.map(|key| format!(" {key}:some")).unwrap_or_default();
            let torn = if *impossible { " (two moments)" } else { "" };
            let reads = contents(reads);
            let writes = contents(writes);
            write!(f, "{called:>6} ..{returned:>6}  thread {thread}  {name:<9} ")?;
            writeln!(f, "found{reads}{some} wrote{writes}{torn}")?;
        }
        Ok(())
    }
}
