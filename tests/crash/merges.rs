//! Merges on a disk that crashes at each of their operations, or fails each of their calls.
//!
//! There is no merging in the background here: `compact` is called, so that the operations come in
//! the same order each time. What a merge has left is recovered, written to and merged again.

use std::io::ErrorKind;
use std::time::Duration;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Db, Durability, Error};

use crate::oracle::{Demand, Effect, Op};
use crate::power::{Act, demand, enumerate_from, put, run};
use crate::world::{DEFAULT, DIR, Lie, World, observe};
use crate::{Check, Random, mix, seeds};

/// Runs that overlap in part, in several keyspaces, one of which goes.
fn runs(seed: u64) -> Vec<Act> {
    use Act::{Do, Flush};
    let mut random = Random::new(seed);
    let mut acts = vec![Do(Effect::Create("users")), Do(Effect::Create("tmp"))];
    for run in 0..3 {
        for _ in 0..9 {
            let keyspace = *random.pick(&[DEFAULT, "users", "tmp"]);
            let key = 4 * run + random.below(12) as u32;
            acts.push(Do(if random.below(4) == 0 {
                let key = format!("k{key:03}").into_bytes();
                Effect::Write(vec![Op { keyspace, key, value_bytes: None }], Durability::Buffered)
            } else {
                put(keyspace, key, random.below(1_500) as usize, Durability::Buffered)
            }));
        }
        acts.push(Flush);
    }
    acts.push(Do(Effect::Drop("tmp")));
    acts.push(Flush);
    acts
}

fn workload(seed: u64) -> Vec<Act> {
    let mut acts = runs(seed);
    acts.push(Act::Compact);
    acts.push(Act::Do(put(DEFAULT, 6, 900, Durability::Buffered)));
    acts.push(Act::Do(put("users", 9, 900, Durability::Buffered)));
    acts.push(Act::Compact);
    acts
}

/// How many operations there are before the first merge, or a few less.
fn operations_before(seed: u64) -> u64 {
    let counted = (0..3).map(|_| {
        let mut world = World::new(SimFs::new(), Lie::None);
        assert!(world.open().unwrap() && run(&mut world, runs(seed)).unwrap());
        let count = world.fs.op_count();
        world.abandon();
        count
    });
    counted.min().unwrap().saturating_sub(10)
}

#[test]
fn every_crash_of_a_merge_leaves_a_prefix_of_the_commit_order() {
    for seed in seeds() {
        println!("seed {seed}");
        let from = operations_before(seed);
        let (points, images) = enumerate_from(from, seed, Lie::None, || workload(seed))
            .unwrap_or_else(|what| panic!("{what}"));
        println!("{points} crash points, {images} images recovered");
        assert!(points - from > 40, "the merges do too little");
    }
}

/// The enumerator finds what is planted: segments that a merge does not sync.
#[test]
fn a_merge_on_a_lying_disk_is_caught() {
    let caught = (0..4).any(|seed| {
        let from = operations_before(seed);
        enumerate_from(from, seed, Lie::SegmentSync, || workload(seed)).is_err()
    });
    assert!(caught, "segments that were not synced went unnoticed");
}

/// The segment files on the disk.
fn segments(fs: &SimFs) -> Vec<String> {
    let mut names = fs.files(DIR);
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

/// Whether a file has the magic and the uuid of a known segment. Where a power loss took them,
/// nobody can tell whose it is, and it stays.
fn begins_like(fs: &SimFs, name: &str, known: &str) -> bool {
    let read = |name: &str| fs.read_file(format!("{DIR}/{name}")).unwrap();
    let bytes = read(name);
    let known = read(known);
    let ours = &known[16..32];
    let theirs = bytes.get(16..).unwrap_or_default();
    let len = theirs.len().min(ours.len());
    bytes.starts_with(&known[..8]) && theirs[..len] == ours[..len]
}

/// A merge that met `plan`, and everything that must hold then. Whether it did meet it.
fn merge_under(seed: u64, plan: &FaultPlan, mode: Option<CrashMode>) -> Check<bool> {
    let mut world = World::new(SimFs::new(), Lie::None);
    if !world.open()? || !run(&mut world, runs(seed))? {
        return Err("the fault is to come later".to_owned());
    }
    world.fs.set_fault(Some(plan.clone()));
    let merged = world.db().compact();
    let fired = world.fs.fault_fired() > 0;
    if let Err(error) = &merged {
        let full = plan.error == ErrorKind::StorageFull;
        if full != matches!(error, Error::StorageFull { .. }) || !fired {
            return Err(format!("an error of another kind than the fault: {error:?}"));
        }
        // The clean-up may have taken away by now what was left to merge, and the trouble with it.
        let told = world.db().health().background_error.is_some();
        if !told && world.db().stats().runs > 1 {
            return Err("nothing is to be seen of it in health()".to_owned());
        }
        if !error.is_corruption() && world.db().health().writer_stopped.is_some() {
            return Err("a merge has stopped the writer".to_owned());
        }
    }
    if !fired || plan.kind == OpKind::Read {
        // It is not to meet the reads below.
        world.fs.set_fault(None);
    }
    // With the fault still there: it is no writer's.
    for durability in [Durability::Buffered, Durability::Sync] {
        world.step(put(DEFAULT, 50, 40, durability))?;
    }
    let found = observe(world.db())?;
    world.history.explain(&found, Demand::Live).map_err(|what| format!("live: {what}"))?;
    world.fs.set_fault(None);
    if let Some(mode) = mode {
        // As it is, without another word.
        let image = world.cut_off(mode, seed);
        let mut after = world.after(image);
        let context = |what| format!("after {mode:?}: {what}");
        after.recover(demand(mode)).map_err(context)?;
        let power = mode == CrashMode::PowerSubset;
        check_merged(&mut after, plan, power).map_err(context)?;
    } else {
        check_merged(&mut world, plan, false)?;
    }
    Ok(fired)
}

/// The disk works again: everything is merged, nothing is lost, health is clean, and no file is
/// left over; after a power loss, none that says whose it is (D36), but for those kept aside.
fn check_merged(world: &mut World, plan: &FaultPlan, power: bool) -> Check<()> {
    world.barrier(Db::compact)?;
    // The fault may have met the clean-up too, which is tried again at its next round.
    let rounds = 0..1_000;
    let healed = rounds.into_iter().any(|_| {
        let health = world.db().health();
        // Edits that the power took with their marks leave whole segments that may be data (I39).
        let only_kept = health.writer_stopped.is_none()
            && health.background_error.is_none()
            && health.indexes_rebuilt == 0;
        let healthy = health.is_healthy() || power && only_kept;
        if !healthy {
            std::thread::sleep(Duration::from_millis(10));
        }
        healthy
    });
    if !healed {
        return Err(format!("{:?}", world.db().health()));
    }
    if world.db().stats().runs != 1 {
        return Err(format!("{} runs after a merge without a fault", world.db().stats().runs));
    }
    let found = observe(world.db())?;
    world.history.explain(&found, Demand::Live).map_err(|what| format!("merged: {what}"))?;
    let mut named: Vec<_> =
        world.db().segments().iter().map(|info| format!("{:06}.seg", info.number)).collect();
    named.sort();
    world.db().close().map_err(|error| error.to_string())?;
    world.abandon();
    // What could not be removed goes with the next open.
    let mut left = segments(&world.fs);
    if power && let Some(known) = named.first() {
        left.retain(|name| begins_like(&world.fs, name, known));
    }
    if plan.kind != OpKind::Remove && left != named {
        return Err(format!("files {left:?}, of which {named:?} are known"));
    }
    Ok(())
}

#[test]
fn no_failing_call_of_a_merge_loses_anything() {
    let plans = |kind, file: &str| {
        let of = |error| FaultPlan::new(kind).on(file).error(error);
        let full = of(ErrorKind::StorageFull);
        let mut plans = vec![of(ErrorKind::Other), full.clone(), full.sticky()];
        if kind == OpKind::Write {
            plans.push(of(ErrorKind::Other).torn());
        }
        if kind == OpKind::Sync {
            plans.push(of(ErrorKind::Other).sync_loss());
        }
        plans
    };
    let targets = [
        (OpKind::Create, ".seg"),
        (OpKind::Write, ".seg"),
        (OpKind::Sync, ".seg"),
        (OpKind::Open, ".seg"),
        (OpKind::Read, ".seg"),
        (OpKind::Remove, ".seg"),
        (OpKind::Write, "MANIFEST"),
        (OpKind::Sync, "MANIFEST"),
        (OpKind::Create, "MANIFEST"),
        (OpKind::SyncDir, DIR),
    ];
    for seed in seeds() {
        println!("seed {seed}");
        let mut runs = 0;
        let mut fired = 0;
        for (kind, file) in targets {
            for (index, plan) in plans(kind, file).into_iter().enumerate() {
                let mut nth = mix(&[seed, index as u64]) % 2;
                loop {
                    let plan = plan.clone().nth(nth);
                    let modes = [None, Some(CrashMode::Process), Some(CrashMode::PowerSubset)];
                    let hits = modes.map(|mode| {
                        runs += 1;
                        let hit = merge_under(seed, &plan, mode);
                        hit.unwrap_or_else(|what| panic!("seed {seed}, {plan:?}: {what}"))
                    });
                    if !hits.contains(&true) {
                        break;
                    }
                    fired += hits.into_iter().filter(|&hit| hit).count();
                    nth += 2;
                }
            }
        }
        println!("{runs} runs, {fired} with a fault");
        assert!(fired > 60, "hardly a fault fired");
    }
}
