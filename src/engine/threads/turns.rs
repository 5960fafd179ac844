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
//! | `Keyspace` | what is asked for, up to so many names: at most a sync of the log and an edit | the same; requests are taken in order | the same |
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
    /// A keyspace made or dropped.
    Keyspace,
    /// Files that nobody needs removed.
    Remove,
    /// The periodic sync, and what else the clock brings.
    Periodic,
}

/// The round: all kinds but the one that the clock calls.
const ROUND: [Turn; 4] = [Turn::Spare, Turn::Sealed, Turn::Keyspace, Turn::Remove];

/// Which kinds have something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) spare: bool,
    pub(crate) sealed: bool,
    pub(crate) keyspace: bool,
    pub(crate) remove: bool,
    pub(crate) periodic: bool,
}

impl Waiting {
    fn has(self, turn: Turn) -> bool {
        match turn {
            Turn::Spare => self.spare,
            Turn::Sealed => self.sealed,
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
mod tests {
    use super::*;

    const ALL: [Turn; 5] =
        [Turn::Periodic, Turn::Spare, Turn::Sealed, Turn::Keyspace, Turn::Remove];

    fn waiting(kinds: &[Turn]) -> Waiting {
        Waiting {
            spare: kinds.contains(&Turn::Spare),
            sealed: kinds.contains(&Turn::Sealed),
            keyspace: kinds.contains(&Turn::Keyspace),
            remove: kinds.contains(&Turn::Remove),
            periodic: kinds.contains(&Turn::Periodic),
        }
    }

    #[test]
    fn turns_go_round_and_the_clock_comes_first() {
        use Turn::{Keyspace, Periodic, Remove, Sealed, Spare};
        let check = |kinds: &[Turn], want: &[Turn]| {
            let mut turns = Turns::default();
            let got: Vec<_> = want.iter().map(|_| turns.next(waiting(kinds)).unwrap()).collect();
            assert_eq!(got, want, "always waiting: {kinds:?}");
        };
        check(&[Spare], &[Spare, Spare]);
        check(&[Periodic], &[Periodic, Periodic]);
        check(&[Sealed, Remove], &[Sealed, Remove, Sealed, Remove]);
        check(&[Spare, Sealed, Keyspace, Remove], &[Spare, Sealed, Keyspace, Remove, Spare]);
        check(&[Remove, Periodic], &[Periodic, Remove, Periodic, Remove]);
        check(
            &[Spare, Sealed, Keyspace, Remove, Periodic],
            &[Periodic, Spare, Periodic, Sealed, Periodic, Keyspace, Periodic, Remove, Periodic],
        );
        assert_eq!(Turns::default().next(Waiting::default()), None);
    }

    /// One kind waits, and in each step any of the others do: over all such histories, from every
    /// state, it has its turn within the bound of the table, and no other had two before (I34).
    #[test]
    fn no_kind_waits_for_more_than_a_turn_of_each_other() {
        let states = (0..ROUND.len()).flat_map(|next| [(next, false), (next, true)]);
        for (next, clock_had_it) in states {
            for kind in ALL {
                let state = Turns { next, clock_had_it };
                let waited = longest(&state, kind, &mut Vec::new());
                let bound = if kind == Turn::Periodic { 1 } else { 2 * (ROUND.len() - 1) + 1 };
                assert!(waited <= bound, "{kind:?} waited for {waited} turns from {state:?}");
            }
        }
    }

    /// The most turns of others before `kind` has one.
    fn longest(state: &Turns, kind: Turn, had: &mut Vec<Turn>) -> usize {
        let mut most = 0;
        for (turn, after) in steps(state, kind) {
            let twice = had.iter().any(|&other| other == turn && turn != Turn::Periodic);
            let in_a_row = had.last() == Some(&turn);
            assert!(!twice && !in_a_row, "{turn:?} again before {kind:?}: {had:?}");
            had.push(turn);
            most = most.max(1 + longest(&after, kind, had));
            had.pop();
        }
        most
    }

    /// Whose turn but `kind`'s may be next, and the state after it.
    fn steps(state: &Turns, kind: Turn) -> Vec<(Turn, Turns)> {
        let mut found: Vec<(Turn, Turns)> = Vec::new();
        for mask in 0..1_u32 << ALL.len() {
            let chosen = ALL.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
            let kinds: Vec<_> = chosen.map(|(_, &other)| other).chain([kind]).collect();
            let mut after = Turns { ..*state };
            let turn = after.next(waiting(&kinds)).expect("something waits");
            if turn != kind && found.iter().all(|(other, _)| *other != turn) {
                found.push((turn, after));
            }
        }
        found
    }
}
