//! What comes first, and for how long.

use super::*;

const ALL: [Turn; 6] =
    [Turn::Periodic, Turn::Spare, Turn::Sealed, Turn::Tell, Turn::Keyspace, Turn::Remove];

fn waiting(kinds: &[Turn]) -> Waiting {
    Waiting {
        spare: kinds.contains(&Turn::Spare),
        sealed: kinds.contains(&Turn::Sealed),
        tell: kinds.contains(&Turn::Tell),
        keyspace: kinds.contains(&Turn::Keyspace),
        remove: kinds.contains(&Turn::Remove),
        periodic: kinds.contains(&Turn::Periodic),
    }
}

#[test]
fn turns_go_round_and_the_clock_comes_first() {
    use Turn::{Keyspace, Periodic, Remove, Sealed, Spare, Tell};
    let check = |kinds: &[Turn], want: &[Turn]| {
        let mut turns = Turns::default();
        let got: Vec<_> = want.iter().map(|_| turns.next(waiting(kinds)).unwrap()).collect();
        assert_eq!(got, want, "always waiting: {kinds:?}");
    };
    check(&[Spare], &[Spare, Spare]);
    check(&[Periodic], &[Periodic, Periodic]);
    check(&[Sealed, Remove], &[Sealed, Remove, Sealed, Remove]);
    check(&[Tell, Periodic], &[Periodic, Tell, Periodic, Tell]);
    check(&[Spare, Sealed, Tell, Keyspace], &[Spare, Sealed, Tell, Keyspace, Spare]);
    check(&[Remove, Periodic], &[Periodic, Remove, Periodic, Remove]);
    check(
        &[Spare, Sealed, Tell, Keyspace, Remove, Periodic],
        &[
            Periodic, Spare, Periodic, Sealed, Periodic, Tell, Periodic, Keyspace, Periodic,
            Remove, Periodic,
        ],
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
