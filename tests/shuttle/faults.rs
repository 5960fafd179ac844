//! That the schedules find what they are for: each world with a fault planted under the engine,
//! in the seam or in the file system, fails within so many schedules.
//!
//! A world that passes all of them says that the harness sees nothing, and fails here.

use alluvium::schedules::{Fault, plant};

use crate::scheduler::Kind;
use crate::{World, run_one, worlds};

/// A planted fault is found within so many schedules.
const SCHEDULES_MAX: u64 = 200;

fn is_found(name: &str, world: World, fault: Fault) {
    plant(Some(fault));
    let found = (0..SCHEDULES_MAX).find_map(|seed| Some((seed, run_one(world, seed).err()?)));
    plant(None);
    let Some((seed, what)) = found else {
        panic!("{name}: {fault:?} was not found in {SCHEDULES_MAX} schedules");
    };
    let what: String = what.chars().take(160).collect();
    println!("{name}: {fault:?} found by seed {seed} ({:?}): {what}", Kind::of(seed));
}

#[test]
fn a_lost_signal_is_found() {
    is_found("overload", worlds::overload, Fault::LostSignal);
}

#[test]
fn a_lost_message_is_found() {
    is_found("keyspaces", worlds::keyspaces, Fault::LostMessage);
}

#[test]
fn a_lost_update_of_the_view_is_found() {
    is_found("live", worlds::live, Fault::LostUpdate);
}

#[test]
fn a_stale_view_is_found() {
    is_found("live", worlds::live, Fault::StaleView);
}
