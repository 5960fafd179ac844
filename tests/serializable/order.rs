//! The checker: looks for an order of all transactions of a history in which each reads what is
//! there, and none comes before one that had returned before it was called.
//!
//! It knows nothing of sequences and snapshots. It tries whatever may come next, and remembers
//! which transactions, with which outcome, have led nowhere.

use std::collections::{BTreeMap, HashSet};

/// What a committed transaction has seen and done.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// When it was called and when it had returned, by a clock of all threads.
    pub(crate) called: u64,
    pub(crate) returned: u64,
    /// What each key had, as others have left it.
    pub(crate) reads: Vec<(u8, Option<u32>)>,
    /// What was found from one key to before another.
    pub(crate) ranges: Vec<Ranged>,
    pub(crate) writes: Vec<(u8, Option<u32>)>,
}

/// From which key to before which, and what was there.
pub(crate) type Ranged = (u8, u8, Vec<(u8, u32)>);

type State = BTreeMap<u8, u32>;

impl Recorded {
    fn fits(&self, state: &State) -> bool {
        let read = |(key, value): &(u8, Option<u32>)| state.get(key) == value.as_ref();
        let range = |(from, to, found): &Ranged| {
            state.range(from..to).map(|(key, value)| (*key, *value)).eq(found.iter().copied())
        };
        self.reads.iter().all(read) && self.ranges.iter().all(range)
    }

    fn apply(&self, state: &State) -> State {
        let mut next = state.clone();
        for (key, value) in &self.writes {
            match value {
                Some(value) => next.insert(*key, *value),
                None => next.remove(key),
            };
        }
        next
    }
}

/// Whether there is such an order, from an empty store.
pub(crate) fn has_order(history: &[Recorded]) -> bool {
    assert!(history.len() <= 64, "a set of transactions is a word");
    search(history, 0, &State::new(), &mut HashSet::new())
}

fn search(
    history: &[Recorded],
    done: u64,
    state: &State,
    dead: &mut HashSet<(u64, State)>,
) -> bool {
    if !dead.insert((done, state.clone())) {
        return false;
    }
    let left = || (0..history.len()).filter(|at| done & 1 << at == 0);
    // What is called after another has returned comes after it.
    let Some(earliest) = left().map(|at| history[at].returned).min() else { return true };
    for at in left() {
        let next = &history[at];
        if next.called < earliest && next.fits(state) {
            let state = next.apply(state);
            if search(history, done | 1 << at, &state, dead) {
                return true;
            }
        }
    }
    false
}
