//! Crashes during recovery: at every operation of an open, and of the open after that.
//!
//! After a power loss what is on the medium is all there is, so every recovery of it, however
//! often one is cut off, has to end in the same state.

use alluvium::io::{CrashMode, SimFs};

use crate::oracle::{Demand, State};
use crate::power::{Act, demand, run, small_workload, workload};
use crate::world::{Lie, World, observe};
use crate::{Check, Random, env, mix, seeds};

/// One image of a crash, and what a recovery that is left alone makes of it.
struct Image<'a> {
    first: &'a World,
    mode: CrashMode,
    seed: u64,
    want: State,
}

impl Image<'_> {
    fn world(&self) -> World {
        self.first.after(self.first.fs.crash(self.mode, self.seed))
    }

    /// Recovers `world`, which is the image after crashes in `modes`.
    fn check(&self, mut world: World, modes: &[CrashMode]) -> Check<()> {
        if self.mode != CrashMode::Process {
            let found = observe_after_open(&mut world)?;
            if found != self.want {
                return Err(format!("{modes:?} led to another state\n{:?}", self.want));
            }
        }
        world.abandon();
        let mut world = world.after(world.fs.crash(CrashMode::Process, 0));
        let all_process = modes.iter().chain([&self.mode]).all(|&it| it == CrashMode::Process);
        let demand = if all_process { Demand::Acknowledged } else { Demand::Durable };
        world.recover(demand).map(drop)
    }
}

fn observe_after_open(world: &mut World) -> Check<State> {
    if !world.open()? {
        return Err("the file system crashed by itself".to_owned());
    }
    observe(world.db())
}

/// Opens `world`, crashing at its operation `at`. Whether that was reached before the open was
/// over and its threads idle.
fn crash_open(world: &mut World, at: u64) -> Check<bool> {
    world.fs.crash_at(at);
    let alive = world.open()?;
    world.abandon();
    let crashed = world.fs.crashed();
    assert!(crashed || alive, "an open fails by the crash or not at all");
    Ok(crashed)
}

/// Cuts the recovery of one image off at every operation, and some of the recoveries after that at
/// every operation again. Returns how many were compared.
fn crash_recoveries(first: &World, mode: CrashMode, seed: u64, nested: bool) -> Check<u64> {
    let mut random = Random::new(seed);
    let mut image = Image { first, mode, seed, want: State::default() };
    image.want = image.world().recover(demand(mode))?;
    let mut compared = 0;
    for at in 0.. {
        let mut world = image.world();
        if !crash_open(&mut world, at)? {
            break;
        }
        let then = *random.pick(CrashMode::ALL);
        let context = |what| format!("recovery crashed at {at}, {then:?}: {what}");
        let second = || world.after(world.fs.crash(then, seed + at));
        image.check(second(), &[then]).map_err(context)?;
        compared += 1;
        if !nested {
            continue;
        }
        for at in 0.. {
            let mut world = second();
            if !crash_open(&mut world, at).map_err(context)? {
                break;
            }
            let last = *random.pick(CrashMode::ALL);
            let third = world.after(world.fs.crash(last, seed + at));
            image
                .check(third, &[then, last])
                .map_err(|what| context(format!("and again at {at}, {last:?}: {what}")))?;
            compared += 1;
        }
    }
    Ok(compared)
}

/// Crashes `acts` at every `stride`-th operation and then their recoveries.
/// The recoveries are lied to as `lie` says.
fn enumerate(
    seed: u64,
    stride: u64,
    nested: bool,
    lie: Lie,
    acts: impl Fn() -> Vec<Act>,
) -> Check<u64> {
    let mut compared = 0;
    let mut at = seed % stride;
    loop {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.fs.crash_at(at);
        let ran = world.open().and_then(|alive| Ok(alive && run(&mut world, acts())?));
        ran.map_err(|what| format!("seed {seed}, crash at {at}: {what}"))?;
        let over = !world.fs.crashed();
        let _ = world.fs.crash(CrashMode::Process, 0);
        world.abandon();
        world.lie = lie;
        let mode = CrashMode::ALL[(mix(&[seed, at]) % CrashMode::ALL.len() as u64) as usize];
        let seed_here = mix(&[seed, at, 1]);
        compared += crash_recoveries(&world, mode, seed_here, nested).map_err(|what| {
            let trace = world.fs.trace().join("\n");
            format!("seed {seed}, crash at {at}, {mode:?}: {what}\nfirst life\n{trace}")
        })?;
        if over {
            return Ok(compared);
        }
        at += stride;
    }
}

#[test]
fn a_recovery_that_crashes_anywhere_ends_in_the_same_state() {
    for seed in seeds() {
        println!("seed {seed}");
        let stride = env("ALLUVIUM_RECOVERY_STRIDE", 7);
        let compared = enumerate(seed, stride, false, Lie::None, || workload(seed))
            .unwrap_or_else(|e| panic!("{e}"));
        println!("{compared} recoveries after a recovery that crashed");
        assert!(compared > 100, "hardly any recovery was crashed");
    }
}

#[test]
fn a_recovery_that_crashes_twice_ends_in_the_same_state() {
    for seed in seeds() {
        println!("seed {seed}");
        let stride = env("ALLUVIUM_RECOVERY_STRIDE", 7);
        let compared = enumerate(seed, 4 * stride, true, Lie::None, small_workload)
            .unwrap_or_else(|e| panic!("{e}"));
        println!("{compared} recoveries after two that crashed");
        assert!(compared > 100, "hardly any recovery was crashed");
    }
}

/// The enumerator finds what is planted: a recovery whose directory syncs do not happen.
#[test]
fn a_disk_that_lies_to_the_recovery_is_caught() {
    let caught =
        (0..8).any(|seed| enumerate(seed, 1, false, Lie::DirSync, small_workload).is_err());
    assert!(caught, "directory syncs that did not happen went unnoticed");
}
