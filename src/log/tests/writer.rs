//! Appends that fail, tails that are written again, and files that wait to become logs.

use super::chain::{Chain, DIR, path};
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind};
use crate::ids::LogPosition;
use crate::io::files::kept;
use crate::io::{CrashMode, FaultPlan, Fs, NamedFile, OpKind, OpenMode};
use crate::log::{LOG_DATA_START, LogFile, SpareLog};
use crate::sync::Arc;

/// Also over what a log that is used again still holds.
#[test]
fn a_body_appended_from_where_it_lies_makes_the_same_record() {
    for len in 0..40 {
        let text = "b".repeat(len);
        let mut chain = Chain::new();
        chain.next_log();
        let file = chain.fs.open(path(1).as_ref(), OpenMode::ReadWrite).unwrap();
        file.write_all_at(&[0xff; 320], LOG_DATA_START).unwrap();
        let (_, header, hash) = chain.record(text.as_bytes(), RecordKind::Data);
        let writer = chain.log.as_mut().unwrap();
        let end = writer.append_body(text.as_bytes(), &header, hash).unwrap();
        assert_eq!(end, writer.position());
        chain.sequence = chain.sequence.plus(1);
        chain.put("next");
        assert_eq!(chain.found(), [&*text, "next"]);
    }
}

#[test]
fn a_body_whose_append_fails_at_any_write_leaves_no_record() {
    for nth in 0..3 {
        for torn in [false, true] {
            let mut chain = Chain::new();
            chain.next_log();
            chain.put("a1");
            let plan = FaultPlan::new(OpKind::Write).on(".wal").nth(nth);
            chain.fs.set_fault(Some(if torn { plan.torn() } else { plan }));
            let (_, header, hash) = chain.record(b"lost, in three", RecordKind::Data);
            let mut writer = chain.log.take().unwrap();
            let before = writer.position();
            assert!(writer.append_body(b"lost, in three", &header, hash).is_err(), "{nth}");
            assert_eq!(writer.position(), before);
            chain.last = writer.seal_failed();
            chain.sequence = chain.sequence.plus(1);
            chain.next_log();
            chain.put("b1");
            assert_eq!(chain.found(), ["a1", "b1"]);
        }
    }
}

#[test]
fn a_failed_append_leaves_no_record() {
    for torn in [false, true] {
        let mut chain = Chain::new();
        chain.next_log();
        chain.put("a1");
        let plan = FaultPlan::new(OpKind::Write).on(".wal");
        chain.fs.set_fault(Some(if torn { plan.torn() } else { plan }));
        let (mut record, header, hash) = chain.record(b"lost", RecordKind::Data);
        let mut writer = chain.log.take().unwrap();
        let before = writer.position();
        assert!(writer.append(&mut record, &header, hash).is_err());
        assert_eq!(writer.position(), before);
        chain.last = writer.seal_failed();
        assert_eq!(chain.last.position, before);
        chain.sequence = chain.sequence.plus(1);
        assert_eq!(chain.found(), ["a1"]);
        chain.next_log();
        chain.put("b1");
        assert_eq!(chain.found(), ["a1", "b1"]);
    }
}

/// The rest of a prepared file may be dirty as a whole, and is nobody's.
#[test]
fn a_sync_is_of_what_was_appended() {
    for seal in [false, true] {
        let mut chain = Chain::new();
        chain.next_log();
        chain.put("a1");
        let covered = chain.log.as_ref().unwrap().position();
        chain.put("a2");
        let log = Arc::clone(chain.log.as_ref().unwrap().log());
        // Not appended, so nobody waits for it.
        let behind = LOG_DATA_START + 300;
        log.file.write_all_at(b"rest", behind).unwrap();
        if seal {
            chain.seal();
        }
        log.sync(covered).unwrap();
        chain.fs = chain.fs.crash(CrashMode::PowerLoseAll, 1);
        let want: &[&str] = if seal { &["a1", "a2"] } else { &["a1"] };
        assert_eq!(chain.found(), want);
        let after = chain.fs.read_file(path(1)).unwrap();
        assert_eq!(after[behind as usize..][..4], [0; 4]);
    }
}

/// Whatever part of a failed record is in the file, no crash brings it back behind a sync: its
/// header was zeroed beyond the log's end.
#[test]
fn a_sync_covers_the_place_of_a_failed_record() {
    let mut torn = 0;
    for seed in 0..20 {
        let mut chain = Chain::new();
        chain.next_log();
        chain.put("a1");
        chain.sync();
        let plan = FaultPlan::new(OpKind::Write).on(".wal").torn();
        chain.fs.set_fault(Some(plan));
        let body = vec![b'x'; 100];
        let (mut record, header, hash) = chain.record(&body, RecordKind::Data);
        let mut writer = chain.log.take().unwrap();
        let log = Arc::clone(writer.log());
        assert!(writer.append(&mut record, &header, hash).is_err());
        let end = writer.seal_failed().end as usize;
        torn +=
            usize::from(chain.fs.read_file(path(1)).unwrap()[end + RECORD_HEADER_BYTES] == b'x');
        // Also where everything before it is durable: the sync leader asks.
        assert!(log.needs_sync());
        log.sync(LogPosition(u64::MAX)).unwrap();
        assert!(!log.needs_sync());
        let after = chain.fs.crash(CrashMode::PowerSubset, seed).read_file(path(1)).unwrap();
        assert_eq!(after[end..end + RECORD_HEADER_BYTES], [0; RECORD_HEADER_BYTES], "{seed}");
    }
    assert_eq!(torn, 20, "part of each record was there");
}

#[test]
fn a_recovered_tail_is_written_again_once_by_its_first_sync() {
    // Without the rewrite the sync succeeds and the record is lost all the same.
    for rewrite in [true, false] {
        let mut chain = Chain::new();
        chain.next_log();
        chain.put("synced");
        chain.sync();
        chain.put("in the page cache");
        let plan = FaultPlan::new(OpKind::Sync).on(".wal").sync_loss();
        chain.fs.set_fault(Some(plan));
        let writer = chain.log.as_ref().unwrap();
        assert!(writer.log().sync(writer.position()).is_err());
        chain.fs = chain.fs.crash(CrashMode::Process, 1);
        let mut read = chain.read().unwrap();
        assert_eq!(chain.found().len(), 2);
        let log = read.logs.remove(0);
        let from = rewrite.then_some(chain.synced.0);
        let file = LogFile::recovered(log.file, log.slot, log.header, from, log.end);
        assert_eq!(file.needs_sync(), rewrite);
        let end = file.end_position().unwrap();
        let rewritten = file.sync(end).unwrap();
        assert_eq!(rewritten, from.map_or(0, |from| log.end - from));
        assert_eq!(file.sync(end).unwrap(), 0);
        assert!(!file.needs_sync() && file.was_recovered());
        chain.fs = chain.fs.crash(CrashMode::PowerLoseAll, 1);
        assert_eq!(chain.found().len(), if rewrite { 2 } else { 1 });
    }
}

#[test]
fn a_body_written_ahead_counts_once_its_headers_are_there() {
    let mut chain = Chain::new();
    chain.next_log();
    chain.put("a1");
    chain.seal();
    let (record, header, hash) = chain.record(b"a big one", RecordKind::Data);
    let spare = chain.empty(2).unwrap();
    spare.write_body_ahead(&record[RECORD_HEADER_BYTES..]).unwrap();
    assert_eq!(chain.read().unwrap().dead, [2]);
    let log = spare.activate_with_record(chain.place(), &header, hash).unwrap();
    assert_eq!(chain.found(), ["a1", "a big one"]);
    assert_eq!(log.end(), Some(LOG_DATA_START + record.len() as u64));
}

#[test]
fn a_spare_that_cannot_be_filled_leaves_no_file() {
    let chain = Chain::new();
    for nth in 0..3 {
        let plan = FaultPlan::new(OpKind::AnyMutating).nth(nth + 1);
        chain.fs.set_fault(Some(plan));
        assert!(chain.spare(1, 8 << 10).is_err());
        assert!(chain.fs.files(DIR).is_empty(), "operation {nth}");
    }
    let spare = chain.spare(1, 8 << 10).unwrap();
    assert_eq!(spare.capacity(), 8 << 10);
    drop(spare);
    assert_eq!(SpareLog::reopen(&kept(&chain.fs), DIR.as_ref(), 1).unwrap().capacity(), 8 << 10);
    let opened = NamedFile::open(&chain.fs, path(1).into(), OpenMode::Read).unwrap();
    assert_eq!(opened.len().unwrap(), 8 << 10);
    assert_eq!(chain.fs.list(DIR.as_ref()).unwrap(), ["000001.wal"]);
}

/// It took a call for each page, so more than a thousand.
#[test]
fn a_log_is_made_with_few_calls_and_is_all_zeros_behind_its_headers() {
    let chain = Chain::new();
    let capacity = (1 << 20) + 24;
    chain.spare(1, capacity).unwrap();
    assert!(chain.fs.op_count() <= 80, "{} calls", chain.fs.op_count());
    let bytes = chain.fs.crash(CrashMode::PowerLoseAll, 0).read_file(path(1)).unwrap();
    assert_eq!(bytes.len() as u64, capacity);
    assert!(bytes[LOG_DATA_START as usize..].iter().all(|&byte| byte == 0));
}
