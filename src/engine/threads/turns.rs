//! Whose turn it is on the log thread: the choice alone, without a thread, a file or a clock.
//!
//! The log thread takes in everything that it was asked for, and then does one *turn* of one kind
//! of work at a time, kind after kind, so that no kind waits for a second turn of another (I34). A
//! turn is bounded, whatever writers do. The periodic sync has a time of its own, so it goes before
//! all others as soon as it is due, but not twice in a row while anything else waits.
//!
//! | kind | one turn | waits for at most | shown by |
//! |---|---|---|---|
//! | `Periodic` | a sync of what is unsynced, which `memory_bytes` bounds; the ceiling | one turn of one kind | `no_kind_waits_for_more_than_a_turn_of_each_other`, `tests/never_wait/log_thread.rs` |
//! | `Spare` | a memtable; dead files taken back, or one file made: two syncs | one turn of each other kind, and of `Periodic` before each | the same |
//! | `Sealed` | syncs of a few sealed logs; the ceiling | the same | the same |
//! | `Tell` | a sync of what is unsynced, for all who have asked to be told; some of the calls, which must not block | the same | the same |
//! | `Keyspace` | what is asked for, up to a bound of names: at most a sync of the log and an edit | the same; requests are taken in order | the same |
//! | `Remove` | a few files | the same | the same |
//!
//! A writer that waits for a log waits for a turn of `Spare`, and gets the first file that there
//! is.

/// The kinds of work, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Logs and memtables prepared ahead.
    Spare,
    /// Sealed logs made durable.
    Sealed,
    /// What those who have asked are told to be durable.
    Tell,
    /// A keyspace made, dropped or renamed.
    Keyspace,
    /// Files that nobody needs removed.
    Remove,
    /// The periodic sync, and what else the clock brings.
    Periodic,
}

/// The round: all kinds but the one that the clock calls.
const ROUND: [Turn; 5] = [Turn::Spare, Turn::Sealed, Turn::Tell, Turn::Keyspace, Turn::Remove];

/// Which kinds have something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) spare: bool,
    pub(crate) sealed: bool,
    pub(crate) tell: bool,
    pub(crate) keyspace: bool,
    pub(crate) remove: bool,
    pub(crate) periodic: bool,
}

impl Waiting {
    fn has(self, turn: Turn) -> bool {
        match turn {
            Turn::Spare => self.spare,
            Turn::Sealed => self.sealed,
            Turn::Tell => self.tell,
            Turn::Keyspace => self.keyspace,
            Turn::Remove => self.remove,
            Turn::Periodic => self.periodic,
        }
    }
}

/// Gives out the turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Where the round goes on.
    next: usize,
    /// Whether the last turn was the clock's.
    clock_had_it: bool,
}

impl Turns {
    /// The next turn, or `None` if nothing waits.
    pub(crate) fn next(&mut self, waiting: Waiting) -> Option<Turn> {
        let places = (self.next..self.next + ROUND.len()).map(|place| place % ROUND.len());
        let place = places.into_iter().find(|&place| waiting.has(ROUND[place]));
        if waiting.periodic && (!self.clock_had_it || place.is_none()) {
            self.clock_had_it = true;
            return Some(Turn::Periodic);
        }
        self.clock_had_it = false;
        let place = place?;
        self.next = place + 1;
        Some(ROUND[place])
    }
}

#[cfg(test)]
mod tests;
