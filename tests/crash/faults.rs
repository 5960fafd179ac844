//! A disk that fails: each call of each kind, once or from then on, with and without losing data.
//!
//! Whatever fails, no acknowledged write is lost, neither for readers of the open database nor for
//! the next open, and the errors say what they are.

use std::io::ErrorKind;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Db, Durability, Error};

use crate::oracle::{Demand, Effect};
use crate::power::{demand, put, run, workload};
use crate::world::{DEFAULT, Lie, World, observe};
use crate::{Check, env, mix, seeds};

const KINDS: [OpKind; 10] = [
    OpKind::Create,
    OpKind::Open,
    OpKind::Read,
    OpKind::Write,
    OpKind::SetLen,
    OpKind::Sync,
    OpKind::Rename,
    OpKind::Remove,
    OpKind::SyncDir,
    OpKind::List,
];

/// Every way in which operations of one kind can fail.
fn plans(kind: OpKind) -> Vec<FaultPlan> {
    let mut plans = Vec::new();
    for error in [ErrorKind::Other, ErrorKind::StorageFull] {
        let plan = FaultPlan::new(kind).error(error);
        plans.extend([plan.clone(), plan.clone().sticky()]);
        match kind {
            OpKind::Write => plans.push(plan.torn()),
            OpKind::Sync => plans.extend([plan.clone().sync_loss(), plan.sync_loss().sticky()]),
            _ => {}
        }
    }
    plans
}

fn probe(durability: Durability) -> Effect {
    put(DEFAULT, 40, 50, durability)
}

/// Runs the workload under a plan, and checks everything after. Returns whether the plan was
/// reached.
fn run_under(seed: u64, plan: &FaultPlan, lie: Lie) -> Check<bool> {
    let mut world = World::new(SimFs::new(), lie);
    world.faulty = true;
    world.fs.set_fault(Some(plan.clone()));
    world.open()?;
    run(&mut world, workload(seed))?;
    let fired = world.fs.fault_fired() > 0;
    world.fs.set_fault(None);
    let checked = check_after(&mut world, plan, seed);
    checked.map_err(|what| format!("{what}\n{}", world.fs.trace().join("\n")))?;
    Ok(fired)
}

fn check_after(world: &mut World, plan: &FaultPlan, seed: u64) -> Check<()> {
    check_kinds(world, plan)?;
    if world.db.is_some() {
        check_live(world, plan)?;
    }
    // As it is, without another word.
    for mode in [CrashMode::Process, CrashMode::PowerLoseAll, CrashMode::PowerSubset] {
        let image = world.cut_off(mode, seed);
        let mut after = world.after(image);
        let context = |what| format!("after {mode:?}: {what}");
        after.recover(demand(mode)).map_err(context)?;
        // A recovered database is an ordinary one.
        if !after.step(probe(Durability::Sync)).map_err(context)? {
            return Err(context("crashed".to_owned()));
        }
        after.reopen().map_err(context)?;
        after.history.explain(&observe(after.db())?, Demand::Live).map_err(context)?;
    }
    Ok(())
}

/// A full disk is told from others, and stops the writer only by way of a sync.
fn check_kinds(world: &World, plan: &FaultPlan) -> Check<()> {
    let full = plan.error == ErrorKind::StorageFull;
    for error in &world.errors {
        let fits = match error {
            Error::StorageFull { .. } => full,
            Error::Io { .. } => !full,
            // Whatever failed while it was opened may leave keyspaces without handles.
            Error::WriterStopped { .. } => !full || plan.kind == OpKind::Sync,
            Error::Closed => true,
            _ => false,
        };
        if !fits {
            return Err(format!("an error of another kind than the fault: {error:?}"));
        }
    }
    Ok(())
}

/// Reads go on; writes go on too, or have stopped for good and say so.
fn check_live(world: &mut World, plan: &FaultPlan) -> Check<()> {
    let found = observe(world.db())?;
    world.history.explain(&found, Demand::Live).map_err(|what| format!("live: {what}"))?;
    let stopped = world.db().health().writer_stopped.is_some();
    let told = world.errors.iter().any(|error| matches!(error, Error::WriterStopped { .. }));
    if told && !stopped && world.db().stats().visible > 0 && !reopened_since(world) {
        return Err("a stopped writer started again".to_owned());
    }
    if stopped {
        let refused = [
            world.db().put("never", "x"),
            world.db().put_with("never", "x", Durability::Sync),
            world.db().delete("k000"),
        ];
        if !refused.iter().all(|it| matches!(it, Err(Error::WriterStopped { .. }))) {
            return Err(format!("a stopped writer wrote: {refused:?}"));
        }
        return match observe(world.db())? == found {
            true => Ok(()),
            false => Err("a refused write showed".to_owned()),
        };
    }
    world.faulty = false;
    let context = |what| format!("the disk works again after {plan:?}, but {what}");
    for durability in [Durability::Buffered, Durability::Sync] {
        world.step(probe(durability)).map_err(context)?;
    }
    world.barrier(Db::flush).map_err(context)?;
    let found = observe(world.db())?;
    world.history.explain(&found, Demand::Live).map_err(|what| format!("resumed: {what}"))?;
    // A trouble with spares is over once the log thread has made some: when logs fill up, or half a
    // second later. It does its work in order, so that making a keyspace comes after.
    for key in 60..72 {
        world.step(put(DEFAULT, key, 700, Durability::Buffered)).map_err(context)?;
    }
    world.step(Effect::Create("probe")).map_err(context)?;
    if !world.db().health().is_healthy() {
        return Err(context(format!("{:?}", world.db().health())));
    }
    Ok(())
}

/// The workload opens its database twice; the second one starts with a writer that works.
fn reopened_since(world: &World) -> bool {
    let opens = world.fs.trace().iter().filter(|line| line.contains("Lock")).count();
    opens > 1
}

fn sweep(kind: OpKind, seed: u64, stride: u64, lie: Lie) -> Check<(u64, u64)> {
    let mut runs = 0;
    let mut fired = 0;
    for (index, plan) in plans(kind).into_iter().enumerate() {
        let mut nth = mix(&[seed, index as u64]) % stride;
        loop {
            let plan = plan.clone().nth(nth);
            let context = |what| format!("seed {seed}, {plan:?}: {what}");
            runs += 1;
            if !run_under(seed, &plan, lie).map_err(context)? {
                break;
            }
            fired += 1;
            nth += stride;
        }
    }
    Ok((runs, fired))
}

#[test]
fn no_failing_call_loses_an_acknowledged_write() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut runs = 0;
        let mut fired = 0;
        for kind in KINDS {
            let stride = env("ALLUVIUM_FAULT_STRIDE", 7);
            let result = sweep(kind, seed, stride, Lie::None);
            let (ran, hit) = result.unwrap_or_else(|what| panic!("{what}"));
            println!("{kind:?}: {ran} runs, {hit} with a fault");
            (runs, fired) = (runs + ran, fired + hit);
        }
        println!("{runs} runs, {fired} with a fault");
        assert!(fired > 100, "hardly a fault fired");
    }
}

/// The sweep finds what is planted: failures that nobody hears of.
#[test]
fn a_swallowed_error_is_caught() {
    for (kind, lie) in [(OpKind::Write, Lie::LogWriteErrors), (OpKind::Sync, Lie::LogSyncErrors)] {
        let caught = (0..4).any(|seed| sweep(kind, seed, 1, lie).is_err());
        assert!(caught, "{lie:?} went unnoticed");
    }
}

/// After a failed sync of the log nothing is written, everything is read, and a reopening finds
/// what was acknowledged as durable, also if the page cache forgot the rest.
#[test]
fn a_failed_sync_stops_the_writer_for_good() {
    for loss in [false, true] {
        let fs = SimFs::new();
        let mut world = World::new(fs.clone(), Lie::None);
        world.faulty = true;
        world.open().unwrap();
        world.step(put(DEFAULT, 1, 10, Durability::Sync)).unwrap();
        world.step(put(DEFAULT, 2, 10, Durability::Buffered)).unwrap();
        // The log that was first, and not a spare, of which the log thread may be making one.
        let plan = FaultPlan::new(OpKind::Sync).on("000001.wal");
        fs.set_fault(Some(if loss { plan.sync_loss() } else { plan }));
        world.step(put(DEFAULT, 3, 10, Durability::Sync)).unwrap();
        assert_eq!(fs.fault_fired(), 1);
        let stopped =
            |result: Result<(), Error>| matches!(result, Err(Error::WriterStopped { .. }));
        assert!(world.errors.iter().any(|it| matches!(it, Error::WriterStopped { .. })));
        // The fault is over; the latch is not.
        assert!(stopped(world.db().put("x", "x").map(drop)) && stopped(world.db().sync()));
        assert!(stopped(world.db().keyspace("new").map(drop)));
        assert!(world.db().health().writer_stopped.is_some());
        world.history.explain(&observe(world.db()).unwrap(), Demand::Live).unwrap();
        world.abandon();
        for &mode in CrashMode::ALL {
            let mut after = world.after(fs.crash(mode, 1));
            after.recover(demand(mode)).unwrap();
        }
    }
}

/// A disk that fills up at every size that the workload passes through, and is freed again.
#[test]
fn writing_resumes_when_a_full_disk_has_space() {
    for seed in seeds() {
        let mut full = 0;
        let mut runs = 0;
        for kib in (0..1_200).step_by(env("ALLUVIUM_CAPACITY_STRIDE", 40) as usize) {
            let mut world = World::new(SimFs::new(), Lie::None);
            world.faulty = true;
            world.fs.set_capacity(Some(kib << 10));
            world.open().unwrap();
            run(&mut world, workload(seed)).unwrap();
            world.fs.set_capacity(None);
            full += u64::from(!world.errors.is_empty());
            runs += 1;
            let plan = FaultPlan::new(OpKind::Write).error(ErrorKind::StorageFull);
            let checked = check_after(&mut world, &plan, seed);
            checked.unwrap_or_else(|what| panic!("seed {seed}, {kib} KiB: {what}"));
        }
        println!("{runs} capacities, {full} of them too small");
        assert!(full > 3 && full < runs, "the capacities miss the point");
    }
}
