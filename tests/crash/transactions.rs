//! A history of transactions, crashed at every operation: each is there whole or not at all, in its
//! place among the other writes, and what was acknowledged with `Sync` is there (G1, G2, G3, G14).
//!
//! Each is open while others write and flush, and has written more than it commits. One loses to a
//! write of what it has read, and is never there.

use alluvium::Durability::{self, Buffered, Sync as Synced};

use crate::oracle::{Effect, Op};
use crate::power::{Act, enumerate_in, op, put};
use crate::world::{DEFAULT, Lie, Misuse, Setup};
use crate::{Random, seeds};

/// `count` operations from key `first` on, in both keyspaces; one in four deletes.
fn ops(first: u32, count: u32, value_bytes: usize) -> Vec<Op> {
    let one = |index: u32| {
        let keyspace = [DEFAULT, "users"][index as usize % 2];
        op(keyspace, first + index, (index % 4 != 3).then_some(value_bytes))
    };
    (0..count).map(one).collect()
}

/// A transaction on keys from `first` on, with what comes between its beginning and its end.
fn transaction(first: u32, bytes: usize, between: Vec<Act>, durability: Durability) -> Vec<Act> {
    let mut acts = vec![Act::Begin(ops(first, 6, bytes), ops(first + 3, 4, bytes / 2))];
    acts.extend(between);
    acts.push(Act::Commit(durability));
    acts
}

fn history(seed: u64) -> Vec<Act> {
    use Act::{Begin, Do, Flush, Lose, Reopen, Sync};
    let mut random = Random::new(seed);
    let mut bytes = |most: u64| random.below(most) as usize;
    let beside = |key, bytes| Do(put(DEFAULT, key, bytes, Buffered));
    let mut acts = vec![Do(Effect::Create("users")), beside(0, 40)];
    acts.extend(transaction(2, bytes(100), vec![], Buffered));
    acts.extend(transaction(0, bytes(300), vec![beside(20, bytes(200))], Synced));
    acts.extend(transaction(4, bytes(500), vec![beside(21, 900), Flush], Buffered));
    acts.extend([Begin(ops(2, 6, 50), ops(30, 2, 10)), beside(2, bytes(100)), Lose]);
    acts.push(Do(put("users", 22, bytes(100), Synced)));
    // Larger than a memtable, with a log of its own.
    acts.extend(transaction(1, 1_200, vec![beside(23, 30), Sync], Synced));
    acts.extend(transaction(3, bytes(900), vec![Flush, beside(24, 700)], Synced));
    acts.push(Reopen);
    acts.extend(transaction(6, bytes(200), vec![beside(20, 20)], Buffered));
    acts.push(Flush);
    acts.extend(transaction(0, bytes(700), vec![], Buffered));
    acts.push(beside(25, 10));
    acts
}

#[test]
fn every_crash_leaves_each_transaction_whole_or_not_at_all() {
    for seed in seeds() {
        let (points, images) =
            enumerate_in(Setup::QUIET, (0, 1), seed, Lie::None, || history(seed))
                .unwrap_or_else(|e| panic!("{e}"));
        println!("seed {seed}: {points} crash points, {images} images recovered");
        assert!(points > 60, "the history does too little");
    }
}

/// The same finds what is planted: transactions that are none, and syncs that do not happen.
#[test]
fn transactions_that_are_none_are_caught() {
    let caught = |misuse, lie| {
        let setup = Setup { misuse, ..Setup::QUIET };
        let mut seeds = 0..4;
        seeds.any(|seed| enumerate_in(setup, (0, 1), seed, lie, || history(seed)).is_err())
    };
    let misuses = [Misuse::Torn, Misuse::NotRolledBack, Misuse::ConflictIgnored, Misuse::Unsynced];
    for misuse in misuses {
        assert!(caught(misuse, Lie::None), "{misuse:?} went unnoticed");
    }
    assert!(caught(Misuse::None, Lie::LogSync), "syncs that do nothing went unnoticed");
}
