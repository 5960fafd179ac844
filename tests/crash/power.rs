//! The enumerator: a small workload, crashed at every operation that changes the medium, in every
//! mode.
//!
//! Each image is recovered, checked, written to, crashed again, recovered and checked a second
//! time.

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Durability};

use crate::oracle::{Demand, Effect, Op};
use crate::world::{DEFAULT, Lie, Setup, World, observe};
use crate::{Check, Random, mix, seeds};

/// How a mode of crashing limits what may be lost.
pub fn demand(mode: CrashMode) -> Demand {
    if mode == CrashMode::Process { Demand::Acknowledged } else { Demand::Durable }
}

pub fn put(keyspace: &'static str, key: u32, value_bytes: usize, durability: Durability) -> Effect {
    Effect::Write(vec![op(keyspace, key, Some(value_bytes))], durability)
}

pub fn op(keyspace: &'static str, key: u32, value_bytes: Option<usize>) -> Op {
    Op { keyspace, key: format!("k{key:03}").into_bytes(), value_bytes }
}

fn batch(first: u32, count: u32, value_bytes: usize, durability: Durability) -> Effect {
    let keyspaces = [DEFAULT, "users"];
    let ops = (0..count).map(|index| {
        let bytes = (index % 4 != 3).then_some(value_bytes);
        op(keyspaces[index as usize % 2], first + index, bytes)
    });
    Effect::Write(ops.collect(), durability)
}

/// What a workload consists of.
pub enum Act {
    Do(Effect),
    /// Begins a transaction with these writes, and with some that it rolls back to a savepoint.
    Begin(Vec<Op>, Vec<Op>),
    /// Commits it.
    Commit(Durability),
    /// Commits it, and has it lose.
    Lose,
    Sync,
    Flush,
    Compact,
    Reopen,
}

/// Runs until something crashes. Whether the world goes on.
pub fn run(world: &mut World, acts: Vec<Act>) -> Check<bool> {
    for act in acts {
        let alive = match act {
            Act::Do(effect) => world.step(effect)?,
            Act::Begin(ops, undone) => world.begin(ops, &undone)?,
            Act::Commit(durability) => world.commit(durability)?,
            Act::Lose => world.lose()?,
            Act::Sync => world.barrier(Db::sync)?,
            Act::Flush => world.barrier(Db::flush)?,
            Act::Compact => world.barrier(Db::compact)?,
            Act::Reopen => world.reopen()?,
        };
        if !alive || world.fs.crashed() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Everything that the engine does to a medium, once or twice.
pub fn workload(seed: u64) -> Vec<Act> {
    use Act::{Do, Flush, Reopen, Sync};
    use Durability::{Buffered, Sync as Synced};
    let mut random = Random::new(seed);
    let mut puts = |keyspace, first: u32, count: u32, bytes: u64| -> Vec<Act> {
        let put_one = |key| put(keyspace, key, random.below(bytes) as usize, Buffered);
        (first..first + count).map(put_one).map(Do).collect()
    };
    let mut acts = puts(DEFAULT, 0, 3, 40);
    acts.push(Do(put(DEFAULT, 3, 20, Synced)));
    acts.push(Do(Effect::Create("users")));
    acts.push(Do(batch(2, 6, 60, Buffered)));
    acts.extend(puts("users", 0, 7, 1_000));
    acts.push(Do(batch(10, 6, 400, Buffered)));
    acts.extend(puts(DEFAULT, 5, 2, 100));
    acts.push(Do(put("users", 4, 10, Synced)));
    acts.push(Do(batch(4, 3, 700, Synced)));
    acts.push(Flush);
    acts.push(Do(Effect::Write(vec![op(DEFAULT, 0, None)], Buffered)));
    acts.extend(puts(DEFAULT, 1, 2, 50));
    acts.push(Do(Effect::Create("tmp")));
    acts.extend(puts("tmp", 0, 2, 300));
    acts.push(Do(Effect::Drop("tmp")));
    acts.extend(puts(DEFAULT, 20, 1, 50));
    acts.push(Do(Effect::Create("tmp")));
    acts.extend(puts("tmp", 1, 2, 900));
    acts.push(Sync);
    acts.extend(puts(DEFAULT, 8, 6, 1_000));
    acts.push(Reopen);
    acts.extend(puts("users", 2, 5, 900));
    acts.push(Do(batch(0, 5, 500, Synced)));
    acts.extend(puts(DEFAULT, 30, 2, 20));
    acts
}

/// Runs that are merged as they come, and a keyspace that is dropped when one has come. It is the
/// newest, so that its data lies behind the others' and a merge gets to it late.
pub fn beside_merges(seed: u64) -> Vec<Act> {
    use Act::{Do, Flush};
    let mut random = Random::new(seed);
    let mut acts = vec![Do(Effect::Create("users"))];
    for round in 0..3 {
        acts.push(Do(Effect::Create("tmp")));
        for (index, keyspace) in [DEFAULT, "users", "users", "tmp", "tmp"].into_iter().enumerate() {
            let key = 3 * index as u32 + random.below(3) as u32;
            let bytes = 1_000 + random.below(500) as usize;
            acts.push(Do(put(keyspace, key, bytes, Durability::Buffered)));
        }
        acts.push(Flush);
        if round > 0 {
            acts.push(Do(Effect::Drop("tmp")));
        }
    }
    acts.push(Do(Effect::Drop("users")));
    acts
}

/// Batches that are written from where they lie, and rotations between them.
fn lent_batches(seed: u64) -> Vec<Act> {
    use Act::Do;
    let mut random = Random::new(seed);
    let mut acts = vec![Do(Effect::Create("users"))];
    for round in 0..2 {
        let bytes = 22_000 + random.below(500) as usize;
        acts.push(Do(batch(round, 4, bytes, Durability::Buffered)));
        acts.push(Do(put(DEFAULT, 20 + round, 40, Durability::Buffered)));
    }
    acts.push(Do(batch(3, 4, 22_000, Durability::Sync)));
    acts
}

/// The least that has a log, a private log, a flush and a log after it.
pub fn small_workload() -> Vec<Act> {
    use Act::{Do, Flush};
    use Durability::{Buffered, Sync};
    vec![
        Do(put(DEFAULT, 0, 10, Buffered)),
        Do(Effect::Create("users")),
        Do(put(DEFAULT, 1, 10, Sync)),
        Do(batch(0, 4, 10, Buffered)),
        Do(batch(3, 4, 600, Buffered)),
        Do(put("users", 9, 10, Buffered)),
        Flush,
        Do(put(DEFAULT, 0, 30, Buffered)),
    ]
}

/// What a recovered database is given to do.
pub fn second_life(random: &mut Random) -> Vec<Act> {
    use Act::{Compact, Do, Flush, Reopen, Sync};
    use Durability::{Buffered, Sync as Synced};
    let mut acts = Vec::new();
    for _ in 0..3 + random.below(5) {
        let key = random.below(24) as u32;
        let bytes = random.below(900) as usize;
        let keyspace = *random.pick(&[DEFAULT, "users", "tmp"]);
        acts.push(match random.below(18) {
            0..=5 => Do(put(keyspace, key, bytes, Buffered)),
            6..=7 => Do(put(keyspace, key, bytes, Synced)),
            8..=9 => Do(batch(key, 4, bytes, Buffered)),
            10 => Do(Effect::Create(random.pick::<&str>(&["users", "tmp"]))),
            11 => Do(Effect::Drop(random.pick::<&str>(&["users", "tmp"]))),
            12 => Sync,
            13 => Flush,
            14 => Reopen,
            15..=16 => Compact,
            _ => Do(Effect::Write(vec![op(keyspace, key, None)], Buffered)),
        });
    }
    acts
}

/// One image: recovered, used, crashed again, recovered again, closed, opened.
fn recover_twice(first: &World, mode: CrashMode, seed: u64) -> Check<()> {
    let mut random = Random::new(seed);
    let mut world = first.after(first.fs.crash(mode, seed));
    let trace = |world: &World, life: &str| format!("{life}\n{}", world.fs.trace().join("\n"));
    world.recover(demand(mode)).map_err(|error| format!("{error}\n{}", trace(first, "first")))?;
    world.fs.crash_at(world.fs.op_count() + random.below(40));
    let ran = run(&mut world, second_life(&mut random));
    world.abandon();
    let lives = |world: &World| trace(first, "first life") + &trace(world, "\nsecond life");
    ran.map_err(|error| format!("in the second life: {error}\n{}", lives(&world)))?;
    let mode_then = *random.pick(CrashMode::ALL);
    let mut last = world.after(world.fs.crash(mode_then, seed + 1));
    let context =
        |error| format!("after a second crash, {mode_then:?}: {error}\n{}", lives(&world));
    let found = last.recover(demand(mode_then)).map_err(context)?;
    last.reopen()?;
    let again = observe(last.db())?;
    if again != found {
        return Err("a clean close and open changed the state".to_owned());
    }
    Ok(())
}

/// Crashes `acts` at every operation. Returns the crash points and how many images were recovered.
fn enumerate(seed: u64, lie: Lie, acts: impl Fn() -> Vec<Act>) -> Check<(u64, u64)> {
    enumerate_from(0, seed, lie, acts)
}

/// As [`enumerate`], from operation `first` on.
pub fn enumerate_from(
    first: u64,
    seed: u64,
    lie: Lie,
    acts: impl Fn() -> Vec<Act>,
) -> Check<(u64, u64)> {
    enumerate_in(Setup::QUIET, (first, 1), seed, lie, acts)
}

/// As [`enumerate`], of a database that is opened as `setup` says, from operation
/// `first` on at each `stride`-th.
pub fn enumerate_in(
    setup: Setup,
    (first, stride): (u64, u64),
    seed: u64,
    lie: Lie,
    acts: impl Fn() -> Vec<Act>,
) -> Check<(u64, u64)> {
    let mut images = 0;
    // Threads make the count of operations vary, so the end is reached when runs survive.
    let mut at = first;
    let mut survived = 0;
    while survived < 3 {
        let mut world = World::new(SimFs::new(), lie);
        world.setup = setup;
        world.fs.crash_at(at);
        let context = |error| format!("seed {seed}, crash at {at}: {error}");
        let alive = world.open().map_err(context)? && run(&mut world, acts()).map_err(context)?;
        let crashed = world.fs.crashed();
        assert!(crashed || alive, "a run ends by itself or by the crash");
        if crashed {
            survived = 0;
        } else {
            survived += 1;
        }
        let _ = world.fs.crash(CrashMode::Process, 0);
        world.abandon();
        for (index, &mode) in CrashMode::ALL.iter().enumerate() {
            let seed = mix(&[seed, at, index as u64]);
            recover_twice(&world, mode, seed)
                .map_err(|error| context(format!("{mode:?}: {error}")))?;
            images += 2;
        }
        at += if crashed { stride } else { 0 };
    }
    Ok((at, images))
}

/// A witness that claimed more than was durable would refuse some of the images (I38).
#[test]
fn every_crash_leaves_a_prefix_of_the_commit_order() {
    for seed in seeds() {
        println!("seed {seed}");
        let (points, images) =
            enumerate(seed, Lie::None, || workload(seed)).unwrap_or_else(|e| panic!("{e}"));
        println!("{points} crash points, {images} images recovered");
        assert!(points > 60, "the workload does too little");
    }
}

/// With merges in the background, which a power loss must not find ahead of the drops that they go
/// by.
#[test]
fn every_crash_beside_merges_and_drops_leaves_a_prefix() {
    let setup = Setup { compactors: 2, slow_drops: true, ..Setup::QUIET };
    for seed in seeds() {
        let (points, images) =
            enumerate_in(setup, (seed % 3, 3), seed, Lie::None, || beside_merges(seed))
                .unwrap_or_else(|e| panic!("{e}"));
        println!("seed {seed}: {points} crash points, {images} images recovered");
        assert!(points > 60, "the workload does too little");
    }
}

/// Batches over 64 KiB are appended in several writes, the header's last.
#[test]
fn every_crash_of_batches_that_are_not_copied_leaves_a_prefix() {
    let setup = Setup { memtable_bytes: 512 << 10, ..Setup::QUIET };
    for seed in seeds() {
        let (points, images) =
            enumerate_in(setup, (seed % 2, 2), seed, Lie::None, || lent_batches(seed))
                .unwrap_or_else(|e| panic!("{e}"));
        println!("seed {seed}: {points} crash points, {images} images recovered");
        assert!(points > 20, "the workload does too little");
    }
}

#[test]
fn every_crash_of_the_small_workload_leaves_a_prefix() {
    for seed in seeds() {
        println!("seed {seed}");
        let (points, images) =
            enumerate(seed, Lie::None, small_workload).unwrap_or_else(|e| panic!("{e}"));
        println!("{points} crash points, {images} images recovered");
    }
}

/// The enumerator finds what is planted: syncs that do not happen.
#[test]
fn a_lying_disk_is_caught() {
    for lie in [Lie::LogSync, Lie::LogSyncShort, Lie::DirSync, Lie::SegmentSync] {
        let caught = (0..4).any(|seed| enumerate(seed, lie, || workload(seed)).is_err());
        assert!(caught, "{lie:?} went unnoticed");
    }
}
