//! Models of the live logs: a leader's syncs against the writer who goes over to another log, and
//! against the flush that makes a log needless. The files are the model's.

use std::collections::VecDeque;

use super::{Covered, LiveLog, LiveLogs};
use crate::ids::{LogNumber, LogPosition, Sequence};
use crate::mvcc::group_sync::{GroupSync, SyncEnv};
use crate::mvcc::models::check;
use crate::mvcc::seal::Seal;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread::{self, JoinHandle};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// The position behind a log's header is stored before the log is listed.
    ListsLate,
    /// The position behind a record is stored without an edge.
    AppendsRelaxed,
    /// A leader copies the list, then reads the position.
    CopiesFirst,
    /// A leader reads `visible` after the syncs.
    ReadsVisibleLast,
    /// A sync of sealed logs says that it covers all that is appended.
    SealedCoversAll,
    /// A log is sealed before its last record is appended.
    SealsEarly,
    /// A flush lets the file go before the log leaves the list.
    RemovesFirst,
    /// A sync that fails fails, whatever has become of the log.
    NotLooked,
    /// A flush does not wait until the log behind the floor is durable.
    FloorNotSynced,
    /// A flush takes out the log behind the floor, too.
    TakesTooMany,
    /// A log that an open found is used again, not removed.
    ReusesRecovered,
}

/// Where a log's header and its only record end.
const HEADER: u64 = 1;
const END: u64 = 2;

/// A log and its file.
struct Log {
    number: u64,
    seal: Seal,
    /// How far it is written, and how far that is on the device. Relaxed: they order nothing.
    written: AtomicU64,
    durable: AtomicU64,
    /// The file was removed.
    gone: AtomicBool,
    /// The file has become another log's.
    reused: AtomicBool,
}

fn log(number: u64, written: u64, seal: Seal) -> Arc<Log> {
    let written = AtomicU64::new(written);
    let durable = AtomicU64::new(0);
    let gone = AtomicBool::new(false);
    let reused = AtomicBool::new(false);
    Arc::new(Log { number, seal, written, durable, gone, reused })
}

impl LiveLog for Log {
    fn number(&self) -> LogNumber {
        LogNumber(self.number)
    }

    fn base(&self) -> LogPosition {
        LogPosition(self.number * END)
    }

    fn sealed_at(&self) -> Option<LogPosition> {
        self.seal.end().map(|end| self.base().plus(end))
    }

    fn owes_sync(&self) -> bool {
        self.seal.owes()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Missing;

impl Log {
    /// As the shipped one: what is owed is written again, then what is covered becomes durable.
    fn sync(&self, covered: LogPosition) -> Result<(), Missing> {
        let sealed = self.seal.begin_sync();
        if self.gone.load(Ordering::Acquire) {
            return Err(Missing);
        }
        if let Some(sealed) = sealed
            && sealed.owed_from < sealed.end
        {
            let reused = self.reused.load(Ordering::Acquire);
            assert!(!reused, "a log is written over by a sync of the one before in its file");
        }
        let open = covered.0 - self.base().0;
        let covered = sealed.map_or(open, |sealed| sealed.end);
        let durable = self.written.load(Ordering::Relaxed).min(covered);
        self.durable.fetch_max(durable, Ordering::Relaxed);
        if let Some(sealed) = sealed {
            self.seal.settle(sealed);
        }
        Ok(())
    }

    /// Whether all of it below `position` is on the device.
    fn is_durable(&self, position: LogPosition) -> bool {
        let covered = position.0.saturating_sub(self.base().0).min(END);
        self.durable.load(Ordering::Relaxed) >= covered
    }
}

struct Db {
    fault: Fault,
    logs: LiveLogs<Log>,
    group: GroupSync<Missing>,
    visible: AtomicU64,
    durable: AtomicU64,
    /// Both logs, listed or not.
    all: [Arc<Log>; 2],
    /// A flush has made durable what the first log holds.
    flushed: AtomicBool,
}

fn db(fault: Fault, all: [Arc<Log>; 2], listed: usize, appended: u64) -> Arc<Db> {
    let live: VecDeque<_> = all.iter().take(listed).cloned().collect();
    Arc::new(Db {
        fault,
        logs: LiveLogs::new(live, LogPosition(appended)),
        group: GroupSync::new(LogPosition(0)),
        visible: AtomicU64::new(0),
        durable: AtomicU64::new(0),
        all,
        flushed: AtomicBool::new(false),
    })
}

/// Starts a thread.
fn shared<R: 'static>(db: &Arc<Db>, run: impl FnOnce(&Db) -> R + 'static) -> JoinHandle<R> {
    let db = Arc::clone(db);
    thread::spawn(move || run(&db))
}

impl Db {
    /// Waits until everything below `position` is durable.
    fn wait(&self, position: LogPosition) -> Result<(), Missing> {
        self.group.wait(position, self)
    }

    /// Appends the record of a log, which is the one of this sequence.
    fn append(&self, log: &Log, sequence: u64) -> LogPosition {
        log.written.store(END, Ordering::Relaxed);
        let position = log.base().plus(END);
        if self.fault == Fault::AppendsRelaxed {
            self.logs.appended.store(position.0, Ordering::Relaxed);
        } else {
            self.logs.set_appended(position);
        }
        self.visible.store(sequence, Ordering::Release);
        position
    }

    /// Goes over to the second log.
    fn roll(&self) {
        let [first, second] = &self.all;
        first.seal.close(END);
        second.written.store(HEADER, Ordering::Relaxed);
        let position = second.base().plus(HEADER);
        if self.fault == Fault::ListsLate {
            self.logs.set_appended(position);
            self.logs.push(Arc::clone(second));
        } else {
            self.logs.push(Arc::clone(second));
            self.logs.set_appended(position);
        }
    }

    fn visible(&self) -> Sequence {
        Sequence(self.visible.load(Ordering::Acquire))
    }

    fn is_durable(&self, position: LogPosition) -> bool {
        let [first, second] = &self.all;
        let flushed = self.flushed.load(Ordering::Acquire);
        (flushed || first.is_durable(position)) && second.is_durable(position)
    }

    /// Looks whether all that is said to be durable is.
    fn check(&self) {
        let durable = self.durable.load(Ordering::Acquire);
        assert!(self.is_durable(self.group.synced()), "synced covers what is not durable");
        assert!(self.is_durable(LogPosition(durable * END)), "a sequence is not durable");
    }

    /// [`LiveLogs::sync_all`], or what a fault makes of it.
    fn sync_all(&self, synced: LogPosition) -> Result<Covered<Log>, Missing> {
        let sync = |log: &Arc<Log>, covered| log.sync(covered);
        match self.fault {
            Fault::CopiesFirst => {
                let logs = self.logs.list();
                let position = self.logs.appended();
                let visible = self.visible();
                for log in logs.iter().filter(|log| log.base() < position) {
                    self.logs.sync_one(log, synced, |log| sync(log, position))?;
                }
                Ok(Covered { position, visible, newest: None })
            }
            Fault::ReadsVisibleLast => {
                let covered = self.logs.sync_all(synced, || Sequence(0), sync)?;
                Ok(Covered { visible: self.visible(), ..covered })
            }
            Fault::NotLooked => {
                let position = self.logs.appended();
                self.logs.list().iter().try_for_each(|log| sync(log, position))?;
                Ok(Covered { position, visible: Sequence(0), newest: None })
            }
            _ => self.logs.sync_all(synced, || self.visible(), sync),
        }
    }
}

impl SyncEnv for Db {
    type Error = Missing;

    fn sync(&self) -> Result<LogPosition, Missing> {
        let covered = self.sync_all(self.group.synced())?;
        self.durable.fetch_max(covered.visible.0, Ordering::Release);
        Ok(covered.position)
    }

    fn panicked() -> Missing {
        Missing
    }
}

/// The log thread's turn.
struct Sealed<'a> {
    db: &'a Db,
    end: LogPosition,
}

impl SyncEnv for Sealed<'_> {
    type Error = Missing;

    fn sync(&self) -> Result<LogPosition, Missing> {
        let synced = self.db.group.synced();
        let logs = &self.db.logs;
        logs.sync_sealed(synced, self.end, |log, covered| log.sync(covered))?;
        let all = self.db.fault == Fault::SealedCoversAll;
        Ok(if all { logs.appended() } else { self.end })
    }

    fn panicked() -> Missing {
        Missing
    }
}

/// A writer with two records, the second one in another log, and a thread that syncs twice.
fn a_sync_reaches_all_logs(fault: Fault) {
    let db = db(fault, [log(0, HEADER, Seal::open()), log(1, 0, Seal::open())], 1, HEADER);
    let writer = shared(&db, move |db| {
        let [first, second] = &db.all;
        db.append(first, 1);
        db.roll();
        db.append(second, 2)
    });
    for _ in 0..2 {
        assert_eq!(db.wait(db.logs.appended()), Ok(()));
        db.check();
    }
    let last = writer.join().expect("no thread panics");
    assert_eq!(db.wait(last), Ok(()));
    db.check();
}

/// I8, I10.
#[test]
fn what_a_sync_covers_is_durable_in_every_log_it_reaches_into() {
    let faults = [
        (Fault::ListsLate, "synced covers what is not durable"),
        (Fault::AppendsRelaxed, "not durable"),
        (Fault::CopiesFirst, "not durable"),
        (Fault::ReadsVisibleLast, "a sequence is not durable"),
    ];
    check("live logs", a_sync_reaches_all_logs, &faults);
}

/// The same writer, who waits for its second record, and the log thread's sync of what is sealed.
fn sealed_logs_go_first(fault: Fault) {
    let db = db(fault, [log(0, HEADER, Seal::open()), log(1, 0, Seal::open())], 1, HEADER);
    let writer = shared(&db, move |db| {
        if fault == Fault::SealsEarly {
            db.all[0].seal.close(END);
        }
        db.append(&db.all[0], 1);
        db.roll();
        let last = db.append(&db.all[1], 2);
        assert_eq!(db.wait(last), Ok(()));
        db.check();
    });
    if let Some((end, more)) = db.logs.sealed_end(db.group.synced(), 1) {
        assert!(!more && end == LogPosition(END), "one is sealed");
        assert_eq!(db.group.wait(end, &Sealed { db: &db, end }), Ok(()));
    }
    db.check();
    writer.join().expect("no thread panics");
    db.check();
}

/// I8.
#[test]
fn a_sync_of_sealed_logs_says_no_more_than_they_hold() {
    let faults = [
        (Fault::SealedCoversAll, "synced covers what is not durable"),
        (Fault::SealsEarly, "synced covers what is not durable"),
    ];
    check("sealed logs", sealed_logs_go_first, &faults);
}

impl Db {
    /// What a flush does with the first log once a recovery begins behind it.
    fn let_go(&self) {
        let [first, _] = &self.all;
        // The edit is synced.
        self.flushed.store(true, Ordering::Release);
        if self.fault == Fault::RemovesFirst {
            first.gone.store(true, Ordering::Release);
        }
        let floor = if self.fault == Fault::TakesTooMany { 2 } else { 1 };
        let dead = self.logs.retire_below(LogNumber(floor));
        assert!(Arc::ptr_eq(&dead[0], first) && !self.logs.is_live(first));
        if self.fault == Fault::ReusesRecovered {
            first.reused.store(true, Ordering::Release);
        } else {
            first.gone.store(true, Ordering::Release);
        }
    }
}

const NEEDLESS: &str = "a log that is needless fails a sync";

/// A leader, and a flush of what the first log holds. The open log's record comes meanwhile.
fn a_log_goes(fault: Fault) {
    let first = log(0, END, Seal::found(END, None));
    let db = db(fault, [first, log(1, HEADER, Seal::open())], 2, END + HEADER);
    let flush = shared(&db, move |db| {
        let floor = db.logs.appended();
        if fault != Fault::FloorNotSynced {
            assert_eq!(db.wait(floor), Ok(()), "{NEEDLESS}");
        }
        let durable = db.all[1].is_durable(floor);
        assert!(durable, "a recovery begins at a log that is not durable");
        db.let_go();
    });
    let last = db.append(&db.all[1], 2);
    assert_eq!(db.wait(last), Ok(()), "{NEEDLESS}");
    db.check();
    flush.join().expect("no thread panics");
    db.check();
}

/// The same with a log that the open found, whose bytes are to be written again, and none behind
/// it: then a flush waits for no sync.
fn a_recovered_log_goes(fault: Fault) {
    let first = log(0, END, Seal::found(END, Some(HEADER)));
    let db = db(fault, [first, log(1, 0, Seal::open())], 1, END);
    let flush = shared(&db, Db::let_go);
    assert_eq!(db.wait(LogPosition(END)), Ok(()), "{NEEDLESS}");
    db.check();
    flush.join().expect("no thread panics");
    db.check();
}

/// I10, I34.
#[test]
fn a_log_goes_only_when_nobody_needs_it() {
    let faults = [
        (Fault::FloorNotSynced, "a recovery begins at a log that is not durable"),
        (Fault::TakesTooMany, "synced covers what is not durable"),
    ];
    check("log goes", a_log_goes, &faults);
    let faults = [
        (Fault::RemovesFirst, NEEDLESS),
        (Fault::NotLooked, NEEDLESS),
        (Fault::ReusesRecovered, "a log is written over"),
    ];
    check("recovered log goes", a_recovered_log_goes, &faults);
}
