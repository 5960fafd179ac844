//! The group sync with real threads; `models.rs` has the interleavings.

use super::{GroupSync, SyncEnv};
use crate::ids::LogPosition;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Default)]
struct Device {
    appended: AtomicU64,
    syncs: AtomicU64,
    syncing: AtomicBool,
    fails: AtomicBool,
    panics: AtomicBool,
}

impl SyncEnv for Device {
    type Error = &'static str;

    fn sync(&self) -> Result<LogPosition, &'static str> {
        let appended = self.appended.load(Ordering::Acquire);
        assert!(!self.syncing.swap(true, Ordering::AcqRel), "two leaders");
        self.syncs.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.load(Ordering::Relaxed), "planted");
        std::thread::yield_now();
        self.syncing.store(false, Ordering::Release);
        if self.fails.load(Ordering::Relaxed) { Err("failed") } else { Ok(LogPosition(appended)) }
    }

    fn panicked() -> &'static str {
        "panicked"
    }
}

impl Device {
    fn append(&self) -> LogPosition {
        LogPosition(self.appended.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

#[test]
fn what_is_covered_needs_no_sync() {
    let device = Device::default();
    let group = GroupSync::new(LogPosition(5));
    assert_eq!(group.wait(LogPosition(5), &device), Ok(()));
    assert_eq!(device.syncs(), 0);
    device.appended.store(7, Ordering::Relaxed);
    assert_eq!(group.wait(LogPosition(6), &device), Ok(()));
    assert_eq!((group.synced(), device.syncs()), (LogPosition(7), 1));
    assert_eq!(group.wait(LogPosition(7), &device), Ok(()));
    assert_eq!(device.syncs(), 1);
}

/// I9.
#[test]
fn the_first_failure_stays_and_the_device_is_not_asked_again() {
    let device = Device::default();
    let group = GroupSync::new(LogPosition(0));
    let covered = device.append();
    assert_eq!(group.wait(covered, &device), Ok(()));
    device.fails.store(true, Ordering::Relaxed);
    assert_eq!(group.latched(), None);
    assert_eq!(group.wait(device.append(), &device), Err("failed"));
    device.fails.store(false, Ordering::Relaxed);
    group.latch("second");
    assert_eq!(group.wait(device.append(), &device), Err("failed"));
    assert_eq!((group.latched(), device.syncs()), (Some("failed"), 2));
    assert_eq!(group.wait(covered, &device), Ok(()), "what was durable before still is");
    assert_eq!(group.synced(), covered);
}

#[test]
fn an_error_from_elsewhere_fails_the_next_wait() {
    let device = Device::default();
    let group = GroupSync::new(LogPosition(0));
    group.latch("append failed twice");
    assert_eq!(group.wait(device.append(), &device), Err("append failed twice"));
    assert_eq!(device.syncs(), 0);
}

/// I8.
#[test]
fn writers_share_syncs_and_all_are_covered() {
    const THREADS: u64 = 4;
    const WRITES: u64 = 500;
    let device = Device::default();
    let group = GroupSync::new(LogPosition(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    let target = device.append();
                    assert_eq!(group.wait(target, &device), Ok(()));
                    assert!(group.synced() >= target);
                }
            });
        }
    });
    assert_eq!(group.synced(), LogPosition(THREADS * WRITES));
    assert!(device.syncs() <= THREADS * WRITES);
}

/// I9: a sync that panicked is a failed one.
#[test]
fn a_panicking_leader_is_the_last_and_all_others_get_an_error() {
    let device = Device::default();
    let group = GroupSync::new(LogPosition(0));
    device.panics.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let waiters = [(), (), ()].map(|()| scope.spawn(|| group.wait(device.append(), &device)));
        let outcomes = waiters.map(|waiter| waiter.join().ok());
        let told = outcomes.iter().filter(|outcome| **outcome == Some(Err("panicked")));
        assert_eq!(told.count(), 2, "{outcomes:?}");
    });
    assert_eq!(device.syncs(), 1);
    assert_eq!((group.latched(), group.synced()), (Some("panicked"), LogPosition(0)));
}
