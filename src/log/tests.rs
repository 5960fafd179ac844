//! Chains written through the log's own writer on a simulated disk, damaged, and read back.

mod chain;
mod damage;
mod writer;

use super::*;
use crate::error::Error;
use crate::format::names::FileName;
use crate::format::record::RecordKind;
use crate::ids::{LogNumber, LogPosition, Sequence, Uuid};
use crate::io::{FaultPlan, OpKind};
use chain::{Chain, DIR, assert_corruption, path};

/// Three logs with two records each.
fn three_logs() -> Chain {
    let mut chain = Chain::new();
    for log in ["a", "b", "c"] {
        chain.next_log();
        chain.put(format!("{log}1"));
        chain.put(format!("{log}2"));
    }
    chain
}

#[test]
fn logs_read_back_in_order_whatever_their_slots() {
    let mut chain = three_logs();
    let old = chain.seal();
    // A slot's number says nothing about its log's place.
    chain.activate(chain.spare(0, 0).unwrap());
    chain.put("d1");
    let read = chain.read().unwrap();
    assert_eq!(chain.found(), ["a1", "a2", "b1", "b2", "c1", "c2", "d1"]);
    assert_eq!(read.last, Sequence(7));
    assert_eq!(read.logs.iter().map(|log| log.slot).collect::<Vec<_>>(), [1, 2, 3, 0]);
    assert_eq!(read.logs[2].end, old.end().unwrap());
    assert_eq!((read.number_max, read.slot_max), (LogNumber(4), 3));
    assert!(read.dead.is_empty() && read.unreachable.is_empty());
    assert!(read.logs.iter().all(|log| !log.ended));
}

#[test]
fn an_empty_directory_has_no_log() {
    let chain = Chain::new();
    let read = chain.read().unwrap();
    assert!(read.logs.is_empty());
    assert_eq!((read.last, read.synced, read.number_max), Default::default());
}

/// I12.
#[test]
fn the_highest_number_of_two_with_one_predecessor_is_in_the_chain() {
    let mut chain = Chain::new();
    chain.next_log();
    chain.put("a1");
    let sealed = chain.seal();
    let before = chain.last;
    // The rotation to log 2 wrote its header and failed, so log 3 takes its place.
    chain.next_log();
    chain.seal();
    chain.last = before;
    chain.next_log();
    chain.put("b1");
    let read = chain.read().unwrap();
    assert_eq!(chain.found(), ["a1", "b1"]);
    assert_eq!(read.logs[1].header.previous, sealed.header.number);
    assert_eq!((read.logs[1].header.number, read.number_max), (LogNumber(3), LogNumber(3)));
    assert_eq!(read.unreachable, [FileName::LogSlot(2)]);
    // The same at the head of a chain: the ghost names a dead log too.
    chain.expected.floor = LogNumber(2);
    assert_eq!(chain.found(), ["b1"]);
    assert_eq!(chain.read().unwrap().dead, [1]);
}

#[test]
fn logs_below_the_floor_are_dead_and_the_floor_must_be_there_if_it_was() {
    let mut chain = three_logs();
    chain.expected.floor = LogNumber(2);
    chain.expected.floor_exists = true;
    assert_eq!(chain.found(), ["b1", "b2", "c1", "c2"]);
    assert_eq!(chain.read().unwrap().dead, [1]);
    chain.fs.remove_file(path(2));
    let error = chain.read().unwrap_err();
    assert_corruption(&error, DIR, "log 2, the oldest that is still needed");
    // The manifest said so before the log was there; nothing knows of it.
    chain.expected.floor = LogNumber(4);
    chain.expected.floor_exists = false;
    let read = chain.read().unwrap();
    assert!(read.logs.is_empty());
    assert_eq!((read.dead, read.number_max), (vec![1, 3], LogNumber(3)));
    chain.expected.floor_exists = true;
    assert_corruption(&chain.read().unwrap_err(), DIR, "no such log");
}

/// Symptom: with its first log missing, the chain was empty, though a later log knew part of the
/// first one to be synced: acknowledged writes were gone without a word. Mechanism: the base of the
/// oldest remaining log was taken for the start of the chain, and nobody had known that to be
/// synced. Fix: the start is where that log's predecessor began, which its header says.
#[test]
fn a_missing_first_log_that_was_synced_is_damage() {
    for synced in [false, true] {
        let mut chain = Chain::new();
        chain.next_log();
        chain.put("a1");
        if synced {
            chain.sync();
        }
        chain.put("a2");
        chain.next_log();
        chain.put("b1");
        assert_eq!(chain.found(), ["a1", "a2", "b1"]);
        chain.fs.remove_file(path(1));
        match chain.read() {
            Ok(read) => {
                assert!(!synced && read.logs.is_empty());
                assert_eq!(read.unreachable, [FileName::LogSlot(2)]);
            }
            Err(error) => {
                assert!(synced);
                assert_corruption(&error, &path(2), "log 1");
            }
        }
    }
}

/// I11.
#[test]
fn a_hole_ends_the_chain_or_is_damage_if_it_was_synced() {
    let mut chain = three_logs();
    let hole = LOG_DATA_START + 41;
    chain.fs.flip(path(2), hole, 1);
    let read = chain.read().unwrap();
    assert_eq!(chain.found(), ["a1", "a2"]);
    assert_eq!(read.unreachable, [FileName::LogSlot(3)]);
    assert_eq!(read.logs[1].end, LOG_DATA_START);
    chain.fs.flip(path(2), hole, 1);
    // A record in the last log is the only one to know.
    chain.sync();
    chain.put("c3");
    chain.fs.flip(path(2), hole, 1);
    assert_corruption(&chain.read().unwrap_err(), &path(2), "000003.wal (byte");
    // Now the header of an empty log as well.
    chain.next_log();
    assert_corruption(&chain.read().unwrap_err(), &path(2), "a valid record");
}

#[test]
fn bytes_behind_the_end_that_the_next_header_names_are_ignored() {
    let mut chain = Chain::new();
    chain.next_log();
    chain.put("a1");
    // The append reports a failure though its bytes are there, and zeroing them fails too.
    let fs = chain.fs.clone();
    chain.put("lost");
    let whole = fs.read_file(path(1)).unwrap();
    let end = chain.ends[0];
    fs.set_fault(Some(FaultPlan::new(OpKind::Write).on(".wal")));
    let writer = chain.log.take().unwrap();
    chain.last = writer.seal_failed();
    assert_eq!(fs.fault_fired(), 1);
    // The tail of the writer is behind the lost record; the engine's would be before it.
    chain.last.end = end;
    chain.last.position = LogPosition(end);
    assert_eq!(fs.read_file(path(1)).unwrap(), whole);
    chain.next_log();
    chain.put("b1");
    let read = chain.read().unwrap();
    assert_eq!(chain.found(), ["a1", "b1"]);
    assert_eq!((read.logs[0].end, read.last), (end, Sequence(3)));
    // Without the next log the bytes are a record like any other.
    fs.remove_file(path(2));
    assert_eq!(chain.found(), ["a1", "lost"]);
}

#[test]
fn either_copy_of_a_header_is_enough() {
    let mut chain = three_logs();
    chain.sync();
    chain.put("c3");
    for at in [0, LOG_SECOND_HEADER] {
        chain.fs.flip(path(2), at + 40, 0x80);
        assert_eq!(chain.found().len(), 7, "the copy at {at} is damaged");
        chain.fs.flip(path(2), at + 40, 0x80);
    }
    chain.fs.flip(path(2), 40, 0x80);
    chain.fs.flip(path(2), LOG_SECOND_HEADER + 40, 0x80);
    assert_corruption(&chain.read().unwrap_err(), &path(1), "a valid record");
    // Nothing knows the last log to be synced, so it may as well be a torn creation.
    let mut chain = three_logs();
    chain.fs.flip(path(3), 40, 1);
    chain.fs.flip(path(3), LOG_SECOND_HEADER + 40, 1);
    assert_eq!(chain.found(), ["a1", "a2", "b1", "b2"]);
    assert_eq!(chain.read().unwrap().dead, [3]);
    // Without our magic it may be somebody else's, and is left alone.
    chain.fs.flip(path(3), 0, 1);
    chain.fs.flip(path(3), LOG_SECOND_HEADER, 1);
    assert_eq!(chain.found(), ["a1", "a2", "b1", "b2"]);
    assert!(chain.read().unwrap().dead.is_empty());
    chain.expected.floor = LogNumber(3);
    assert!(chain.found().is_empty());
}

/// I10.
#[test]
fn records_of_a_files_earlier_life_never_come_back() {
    let mut chain = Chain::new();
    chain.next_log();
    chain.put("old 1");
    chain.put("old 2");
    chain.sync();
    chain.put("old 3");
    let old = chain.seal();
    chain.next_log();
    chain.put("kept");
    // The first file becomes the third log, below a floor that has risen past its first life.
    chain.activate(SpareLog::recycle(&old).unwrap());
    chain.expected.floor = LogNumber(2);
    chain.expected.floor_exists = true;
    assert_eq!(chain.found(), ["kept"]);
    chain.put("new");
    let read = chain.read().unwrap();
    assert_eq!(chain.found(), ["kept", "new"]);
    assert_eq!(read.logs[1].slot, 1);
    // As long as the first of the old ones, so that the second stands where one could be read.
    assert_ne!(read.logs[1].header.salt, old.header.salt);
    let behind = read.logs[1].end as usize;
    assert!(read.logs[1].bytes[behind..].iter().any(|&byte| byte != 0));
}

#[test]
fn behind_an_end_record_nothing_counts() {
    let mut chain = Chain::new();
    chain.next_log();
    chain.put("a1");
    let end = chain.ends[0];
    chain.sync();
    chain.put("a2");
    let read = chain.read().unwrap();
    let log = &read.logs[0];
    write_end_record(&log.file, &log.header, end, read.synced).unwrap();
    let read = chain.read().unwrap();
    assert!(read.logs[0].ended);
    assert_eq!((read.logs[0].end, chain.found()), (end, vec!["a1".to_owned()]));
    // The chain goes on behind it.
    chain.log = None;
    chain.last = LogEnd { number: LogNumber(1), end, position: LogPosition(end) };
    chain.next_log();
    chain.put("b1");
    assert_eq!(chain.found(), ["a1", "b1"]);
}

/// I10: a record is valid at its own offset of its own log only.
#[test]
fn a_record_elsewhere_is_none() {
    let chain = three_logs();
    let first = LOG_DATA_START as usize;
    let second = LOG_DATA_START as usize + 48;
    let sound = chain.fs.read_file(path(3)).unwrap();
    let mut moved = sound.clone();
    moved.copy_within(first..second, second);
    chain.fs.write_file(path(3), &moved);
    assert_eq!(chain.found(), ["a1", "a2", "b1", "b2", "c1"]);
    let other = chain.fs.read_file(path(2)).unwrap();
    moved[second..second + 48].copy_from_slice(&other[second..second + 48]);
    chain.fs.write_file(path(3), &moved);
    assert_eq!(chain.found(), ["a1", "a2", "b1", "b2", "c1"]);
    chain.fs.write_file(path(3), &sound);
    assert_eq!(chain.found().len(), 6);
}

/// I10, and I16: none is above the ceiling.
#[test]
fn sequences_ascend_without_a_gap_within_a_log() {
    let check = |firsts: &[(u64, u64)], want: Option<&str>| {
        let mut chain = Chain::new();
        chain.expected.ceiling = Sequence(100);
        chain.next_log();
        for &(log, first) in firsts {
            if log > chain.last.number.0 + 1 {
                chain.next_log();
            }
            chain.sequence = Sequence(first);
            chain.put("x");
        }
        match (chain.read(), want) {
            (Ok(read), None) => assert_eq!(read.last.0, firsts[firsts.len() - 1].1),
            (Err(error), Some(want)) => assert_corruption(&error, ".wal", want),
            (result, want) => panic!("{firsts:?}: {result:?}, and not {want:?}"),
        }
    };
    check(&[(1, 1), (1, 2)], None);
    check(&[(1, 7), (1, 8)], None);
    check(&[(1, 1), (1, 3)], Some("expected sequence 2"));
    check(&[(1, 5), (1, 5)], Some("expected sequence 6"));
    check(&[(1, 5), (1, 4)], Some("expected sequence 6"));
    check(&[(1, 0)], Some("expected sequence 1"));
    // A failed append spends sequences, and the next log shows it.
    check(&[(1, 1), (2, 9)], None);
    check(&[(1, 5), (2, 5)], Some("expected sequence 6"));
    check(&[(1, 5), (2, 1)], Some("expected sequence 6"));
    check(&[(1, 100)], None);
    check(&[(1, 101)], Some("sequences up to 100"));
    check(&[(1, u64::MAX)], Some("sequences up to 100"));
}

#[test]
fn a_log_holds_operations_only() {
    for kind in [RecordKind::Edit, RecordKind::Snapshot, RecordKind::Synced] {
        let mut chain = Chain::new();
        chain.next_log();
        chain.append(b"x", kind);
        assert_corruption(&chain.read().unwrap_err(), &path(1), "a record of operations");
    }
    let mut chain = Chain::new();
    chain.next_log();
    chain.append(b"x", RecordKind::Control);
    assert_eq!(chain.read().unwrap().logs[0].records().next().unwrap().kind, RecordKind::Control);
}

#[test]
fn a_base_that_does_not_follow_is_damage() {
    let mut chain = Chain::new();
    chain.next_log();
    chain.put("a1");
    chain.seal();
    chain.last.position = chain.last.position.plus(8);
    chain.next_log();
    assert_corruption(&chain.read().unwrap_err(), &path(2), "base position");
}

#[test]
fn logs_of_another_database_are_left_alone() {
    let mut chain = three_logs();
    chain.database = Uuid([8; 16]);
    chain.next_log();
    chain.put("foreign");
    let read = chain.read().unwrap();
    assert_eq!(chain.found().len(), 6);
    assert!(read.dead.is_empty() && read.unreachable.is_empty());
    assert_eq!((read.number_max, read.slot_max), (LogNumber(3), 4));
}

#[test]
fn one_number_in_two_files_is_damage() {
    let chain = three_logs();
    let copy = chain.fs.read_file(path(2)).unwrap();
    chain.fs.write_file(path(9), &copy);
    assert_corruption(&chain.read().unwrap_err(), &path(9), "log 2 in 000009.wal and in");
}

#[test]
fn a_newer_header_is_refused_and_not_taken_for_damage() {
    for at in [8, 12, 80] {
        let chain = three_logs();
        for copy in [0, LOG_SECOND_HEADER] {
            let header = (copy + at) as usize;
            chain.patch_header(2, copy as usize, |bytes| bytes[header] = 9);
        }
        let error = chain.read().unwrap_err();
        assert!(matches!(error, Error::UnsupportedFormat { .. }), "{error}");
        assert!(error.to_string().contains("000002.wal"), "{error}");
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_never_the_end() {
    let chain = three_logs();
    let before = chain.fs.read_count();
    chain.read().unwrap();
    let reads = chain.fs.read_count() - before;
    for nth in 0..reads {
        chain.fs.set_fault(Some(FaultPlan::new(OpKind::Any).nth(nth)));
        let error = chain.read().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "read {nth}: {error}");
    }
    chain.fs.set_fault(None);
    assert_eq!(chain.found().len(), 6);
}
