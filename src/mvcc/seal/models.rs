//! Model of a seal after a failed append, against the leader's syncs.

use super::Seal;
use crate::mvcc::models::check;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::models::thread;

const END: u64 = 7;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// A sync that began before the seal settles the debt as well.
    SettlesUnsealed,
    /// The leader looks for the end after it has synced.
    LooksAfterSync,
    /// The record is taken back after the seal.
    TakesBackLate,
}

/// The file of one log, the place of its failed record, and the log after it.
struct Log {
    seal: Seal,
    /// The record was taken back in the file, and that is durable.
    taken_back: AtomicBool,
    durable: AtomicBool,
    /// The next log is listed, so that a sync goes on to it.
    next: AtomicBool,
}

impl Log {
    fn seal_failed(&self, fault: Fault) {
        if fault == Fault::TakesBackLate {
            self.seal.close_owing(END);
            self.taken_back.store(true, Ordering::Relaxed);
        } else {
            self.taken_back.store(true, Ordering::Relaxed);
            self.seal.close_owing(END);
        }
        self.next.store(true, Ordering::Release);
    }

    /// Syncs the file below its end, or with what stands behind it.
    fn sync_file(&self, whole: bool) {
        if whole {
            self.durable.store(self.taken_back.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn sync(&self, fault: Fault) {
        let sealed = self.seal.begin_sync();
        self.sync_file(sealed.is_some());
        let settled = match fault {
            Fault::LooksAfterSync => self.seal.begin_sync(),
            _ => sealed,
        };
        if let Some(sealed) = settled {
            self.seal.settle(sealed);
        } else if fault == Fault::SettlesUnsealed {
            self.seal.settle(super::Sealed { end: END, owed_from: END });
        }
    }

    /// One turn of the leader. All below the end was durable before, so that only a debt, or an end
    /// that is not known, asks for a sync.
    fn lead(&self, fault: Fault) {
        let next = self.next.load(Ordering::Acquire);
        if self.seal.end().is_none() || self.seal.owes() {
            self.sync(fault);
        }
        let durable = self.durable.load(Ordering::Relaxed);
        assert!(!next || durable, "the next log counts as synced, what was taken back is not");
    }
}

fn what_was_taken_back_is_durable(fault: Fault) {
    let log = Arc::new(Log {
        seal: Seal::open(),
        taken_back: AtomicBool::new(false),
        durable: AtomicBool::new(false),
        next: AtomicBool::new(false),
    });
    let writer = {
        let log = Arc::clone(&log);
        thread::spawn(move || log.seal_failed(fault))
    };
    log.lead(fault);
    log.lead(fault);
    writer.join().expect("the writer does not panic");
    log.lead(fault);
    assert!(!log.seal.owes() && log.seal.end() == Some(END));
}

/// I10.
#[test]
fn a_record_that_was_taken_back_is_durably_so_before_later_logs_count_as_synced() {
    let symptom = "what was taken back is not";
    let faults = [
        (Fault::SettlesUnsealed, symptom),
        (Fault::LooksAfterSync, symptom),
        (Fault::TakesBackLate, symptom),
    ];
    check("seal", what_was_taken_back_is_durable, &faults);
}
