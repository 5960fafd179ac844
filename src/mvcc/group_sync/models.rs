//! Models of the group sync over two logs: who is told "durable" is durable, a failure reaches
//! everyone, and nobody sleeps for ever (the checker reports a deadlock).

use super::{GroupSync, Role, SyncEnv};
use crate::ids::LogPosition;
use crate::mvcc::models::check;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, lock, wait};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// `synced` is raised before the device has synced.
    PublishesFirst,
    /// The position to report is read after the syncs.
    ReadsAppendedLast,
    /// The newer log is synced first, and reported before the older one is.
    NewestFirst,
    /// The role is free before the error is latched.
    FreesRoleFirst,
    /// A sync that has failed is tried again.
    TriesAgain,
    /// A leader wakes nobody.
    WakesNobody,
    /// A leader wakes everyone, and gives the role up then.
    WakesFirst,
    /// A sync that was under way takes back what was latched meanwhile.
    Unlatches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

/// The first log holds the positions below this one, the second log the others.
const FIRST_LOG_END: u64 = 1;

struct Log {
    fault: Fault,
    group: GroupSync<Failed>,
    appended: AtomicU64,
    /// How far each log is on the device.
    durable: [AtomicU64; 2],
    /// The device will report, once, that it lost what it was given.
    will_fail: AtomicBool,
    lost: AtomicBool,
}

fn log(fault: Fault, will_fail: bool) -> Log {
    Log {
        fault,
        group: GroupSync::new(LogPosition(0)),
        appended: AtomicU64::new(0),
        durable: [AtomicU64::new(0), AtomicU64::new(0)],
        will_fail: AtomicBool::new(will_fail),
        lost: AtomicBool::new(false),
    }
}

impl Log {
    /// Appends one byte and waits for it.
    fn append_and_sync(&self) -> Result<(), Failed> {
        let target = LogPosition(self.appended.fetch_add(1, Ordering::AcqRel) + 1);
        self.group.wait(target, self)?;
        assert!(self.is_durable(target), "an acknowledged sync is not durable");
        assert!(self.group.synced() >= target);
        Ok(())
    }

    fn is_durable(&self, position: LogPosition) -> bool {
        let [first, second] = &self.durable;
        !self.lost.load(Ordering::Relaxed)
            && first.load(Ordering::Relaxed) >= position.0.min(FIRST_LOG_END)
            && (position.0 <= FIRST_LOG_END || second.load(Ordering::Relaxed) >= position.0)
    }

    fn sync_log(&self, index: usize, appended: u64) {
        let end = if index == 0 { appended.min(FIRST_LOG_END) } else { appended };
        self.durable[index].fetch_max(end, Ordering::Relaxed);
    }
}

impl SyncEnv for Log {
    type Error = Failed;

    fn sync(&self) -> Result<LogPosition, Failed> {
        let appended = self.appended.load(Ordering::Acquire);
        if self.will_fail.swap(false, Ordering::AcqRel) {
            // From now on a sync succeeds, but what was lost stays lost.
            self.lost.store(true, Ordering::Relaxed);
            if self.fault == Fault::TriesAgain {
                return Ok(LogPosition(appended));
            }
            if self.fault == Fault::FreesRoleFirst {
                lock(&self.group.state).role = Role::Free;
                self.group.changed.notify_all();
            }
            return Err(Failed);
        }
        match self.fault {
            Fault::PublishesFirst => {
                self.group.synced.fetch_max(appended, Ordering::Release);
                self.sync_log(0, appended);
                self.sync_log(1, appended);
            }
            Fault::NewestFirst => {
                self.sync_log(1, appended);
                self.group.synced.fetch_max(appended, Ordering::Release);
                self.sync_log(0, appended);
            }
            _ => {
                self.sync_log(0, appended);
                self.sync_log(1, appended);
            }
        }
        if self.fault == Fault::Unlatches {
            lock(&self.group.state).latched = None;
        }
        if self.fault == Fault::ReadsAppendedLast {
            return Ok(LogPosition(self.appended.load(Ordering::Acquire)));
        }
        Ok(LogPosition(appended))
    }

    fn panicked() -> Failed {
        Failed
    }
}

/// Two writers that sync, and a third thread that looks at `synced`.
fn acknowledged_is_durable(fault: Fault) {
    let log = Arc::new(log(fault, false));
    let writers = [(), ()].map(|()| {
        let log = Arc::clone(&log);
        thread::spawn(move || log.append_and_sync())
    });
    let synced = log.group.synced();
    assert!(log.is_durable(synced), "synced covers what is not durable");
    for writer in writers {
        assert_eq!(writer.join().expect("no writer panics"), Ok(()));
    }
    assert_eq!((log.group.synced(), log.group.latched()), (LogPosition(2), None));
}

/// I8.
#[test]
fn what_is_acknowledged_as_synced_is_durable_in_both_logs() {
    let faults = [
        (Fault::PublishesFirst, "not durable"),
        (Fault::ReadsAppendedLast, "not durable"),
        (Fault::NewestFirst, "not durable"),
    ];
    check("group sync", acknowledged_is_durable, &faults);
}

/// Three writers that sync, on a device that fails once.
fn failure_reaches_everyone(fault: Fault) {
    let log = Arc::new(log(fault, true));
    let writers = [(), ()].map(|()| {
        let log = Arc::clone(&log);
        thread::spawn(move || log.append_and_sync())
    });
    let mine = log.append_and_sync();
    assert_eq!(mine, Err(Failed), "a sync after the failed one succeeded");
    assert_eq!(log.group.latched(), Some(Failed), "the failure is latched");
    for writer in writers {
        assert_eq!(writer.join().expect("no writer panics"), Err(Failed));
    }
    assert_eq!(log.group.synced(), LogPosition(0), "synced did not move");
}

/// I9.
#[test]
fn a_failed_sync_fails_everyone_from_then_on() {
    let faults = [(Fault::FreesRoleFirst, "not durable"), (Fault::TriesAgain, "not durable")];
    check("failed sync", failure_reaches_everyone, &faults);
}

/// Leads once like the shipped code, but wakes nobody, or too early.
fn lead_without_waking(log: &Log) {
    let mut state = lock(&log.group.state);
    while state.role == Role::Taken {
        state = wait(&log.group.changed, state);
    }
    state.role = Role::Taken;
    drop(state);
    let result = log.sync();
    let mut state = lock(&log.group.state);
    log.group.settle(&mut state, result);
    if log.fault == Fault::WakesFirst {
        drop(state);
        log.group.changed.notify_all();
        state = lock(&log.group.state);
    }
    state.role = Role::Free;
}

/// A writer that writes twice, against another or a faulty leader.
fn everyone_wakes(fault: Fault) {
    // Leaked: a deadlock leaves no thread active that the checker's `Arc` could be dropped on.
    let log: &Log = Box::leak(Box::new(log(fault, false)));
    let other = thread::spawn(move || {
        if fault == Fault::None {
            log.append_and_sync().expect("nothing fails here");
        } else {
            log.appended.fetch_add(1, Ordering::AcqRel);
            lead_without_waking(log);
        }
    });
    for _ in 0..2 {
        log.append_and_sync().expect("nothing fails here");
    }
    other.join().expect("no thread panics");
}

#[test]
fn no_waiter_sleeps_for_ever() {
    let faults = [(Fault::WakesNobody, "deadlock"), (Fault::WakesFirst, "deadlock")];
    check("wake-up", everyone_wakes, &faults);
}

/// Two writers that sync, and a failure that comes from elsewhere.
fn latch_ends_every_wait(fault: Fault) {
    let log = Arc::new(log(fault, false));
    let writers = [(), ()].map(|()| {
        let log = Arc::clone(&log);
        thread::spawn(move || log.append_and_sync())
    });
    log.group.latch(Failed);
    assert_eq!(log.group.latched(), Some(Failed));
    for writer in writers {
        // Covered by a sync that was under way, or refused: never told "durable" for nothing.
        let outcome = writer.join().expect("no writer panics");
        assert!(outcome.is_err() || log.group.synced() > LogPosition(0));
    }
    if log.group.synced() < LogPosition(2) {
        assert_eq!(log.append_and_sync(), Err(Failed), "a sync began after the latch");
    }
}

#[test]
fn a_latch_from_elsewhere_ends_every_wait() {
    let faults = [
        (Fault::ReadsAppendedLast, "not durable"),
        (Fault::Unlatches, "a sync began after the latch"),
    ];
    check("latch from elsewhere", latch_ends_every_wait, &faults);
}
