//! Runs of random segments and trims against a plain sorted list.

use std::path::Path;

use super::*;
use crate::ids::{FileNumber, RunId, Uuid};
use crate::io::files::kept;
use crate::io::{FaultPlan, OpKind, SimFs};
use crate::iter::Cursor;
use crate::iter::testing::{OwnedEntry, Random, drain, drain_both, entry};
use crate::iter::two_way::TwoWay;
use crate::options::Codec;
use crate::runs::SegmentRef;
use crate::runs::cursor::RunCursor;
use crate::segment::{BlockCache, Segment, SegmentWriter, SegmentWriterOptions};

const DATABASE: Uuid = Uuid([0xdb; 16]);

fn bound(entry: &OwnedEntry) -> BoundKey {
    BoundKey { keyspace: entry.keyspace, key: entry.key.clone() }
}

fn segment(fs: &SimFs, number: u64, entries: &[OwnedEntry]) -> Arc<Segment> {
    let database = DATABASE;
    let number = FileNumber(number);
    let dir = Path::new("");
    let block_bytes = [128, 300, 4096][number.0 as usize % 3];
    let codec = [Codec::None, Codec::Lz4][number.0 as usize % 2];
    let filter_bits = 10;
    let created_ms = 1;
    let options = SegmentWriterOptions { database, codec, block_bytes, filter_bits, created_ms };
    let mut writer = SegmentWriter::create(&kept(fs), dir, number, options).unwrap();
    entries.iter().for_each(|entry| writer.add(&entry.borrow()).unwrap());
    let expect = writer.finish().unwrap().expect(DATABASE);
    Arc::new(Segment::open(&kept(fs), dir, number, &expect, None, BlockCache::new(0)).unwrap())
}

/// Random sorted entries, sequences from `base` on.
fn entries(random: &mut Random, keys: usize, base: u64) -> Vec<OwnedEntry> {
    let mut entries = Vec::new();
    for n in 0..keys as u64 {
        let key = format!("key:{:04}", random.below(400));
        let versions = if random.below(30) == 0 { 40 } else { 1 };
        for version in 0..versions {
            let value = (random.below(5) > 0).then_some("some value");
            entries.push(entry(random.below(3) as u32, &key, base + n * 50 + version, value));
        }
    }
    entries.sort();
    entries
}

/// Splits entries into segments between user keys, trims some of them, and says what is left.
fn run(random: &mut Random, fs: &SimFs, all: Vec<OwnedEntry>) -> (Arc<Run>, Vec<OwnedEntry>) {
    let mut segments = Vec::new();
    let mut left = Vec::new();
    let mut groups: Vec<Vec<OwnedEntry>> = Vec::new();
    for entry in all {
        let group = groups.last_mut().filter(|group| {
            let last = group.last().expect("no group is empty");
            bound(last) == bound(&entry) || group.len() % 30 != 0
        });
        match group {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    for group in groups {
        let segment = segment(fs, random.next() >> 20, &group);
        let mut whole = SegmentRef::whole(Arc::clone(&segment));
        let pick = |random: &mut Random| bound(&group[random.below(group.len())]);
        let mut low = pick(random);
        let mut high = pick(random);
        if low > high {
            std::mem::swap(&mut low, &mut high);
        }
        // Sometimes a bound that is no key.
        if random.below(2) == 0 {
            high.key.push(0);
        }
        match random.below(4) {
            // The beginning was merged away, or the end, or the middle.
            0 => {
                whole.first = low.clone();
                left.extend(group.into_iter().filter(|entry| bound(entry) >= low));
                segments.push(whole);
            }
            1 if bound(&group[0]) < high => {
                whole.to = Some(high.clone());
                left.extend(group.into_iter().filter(|entry| bound(entry) < high));
                segments.push(whole);
            }
            2 if bound(&group[0]) < low && high <= whole.last => {
                let end = SegmentRef { first: high.clone(), ..whole.clone() };
                whole.to = Some(low.clone());
                let cut = low..high;
                left.extend(group.into_iter().filter(|entry| !cut.contains(&bound(entry))));
                segments.extend([whole, end]);
            }
            _ => {
                left.extend(group);
                segments.push(whole);
            }
        }
    }
    (Arc::new(Run { id: RunId(1), segments }), left)
}

fn check_random_runs(random: &mut Random) {
    let fs = SimFs::new();
    let keys = [1, 5, 200, 600][random.below(4)];
    let all = entries(random, keys, 1);
    let (run, left) = run(random, &fs, all.clone());
    let context = format!("seed {}", random.seed);
    assert_eq!(drain(RunSource::new(Arc::clone(&run), None).unwrap()).unwrap(), left, "{context}");
    for _ in 0..40 {
        let mut from = bound(&all[random.below(all.len())]);
        match random.below(4) {
            0 => from.key.push(0),
            1 => drop(from.key.pop()),
            _ => {}
        }
        let want: Vec<_> = left.iter().filter(|entry| bound(entry) >= from).cloned().collect();
        let source = RunSource::new(Arc::clone(&run), Some(&from)).unwrap();
        assert_eq!(drain(source).unwrap(), want, "from {from:?}, {context}");
    }
}

#[test]
fn any_end_of_a_run_comes_as_from_a_list() {
    let mut random = Random::from_env(0x7275_6e73);
    (0..60).for_each(|_| check_random_runs(&mut random));
}

#[test]
fn two_runs_come_merged() {
    let mut random = Random::from_env(0x7275_6e32);
    for _ in 0..40 {
        let fs = SimFs::new();
        let keys = 1 + random.below(300);
        let base = 1 << 20;
        let newer = entries(&mut random, keys, base);
        let older = entries(&mut random, keys, 1);
        let (newer_run, newer) = run(&mut random, &fs, newer);
        let (older_run, older) = run(&mut random, &fs, older);
        let mut want = [newer, older].concat();
        want.sort();
        let from = bound(&want[random.below(want.len())]);
        want.retain(|entry| bound(entry) >= from);
        let newer = RunSource::new(newer_run, Some(&from)).unwrap();
        let older = RunSource::new(older_run, Some(&from)).unwrap();
        assert_eq!(drain_both(TwoWay::new(newer, older)).unwrap(), want, "seed {}", random.seed);
    }
}

#[test]
fn a_segment_is_read_when_it_is_reached_and_an_error_is_the_end() {
    let fs = SimFs::new();
    let all: Vec<_> = (0..30).map(|n| entry(0, &format!("{n:02}"), 1 + n, Some("v"))).collect();
    let segments: Vec<_> = (0..3).map(|n| segment(&fs, n, &all[n as usize * 10..][..10])).collect();
    let run = Arc::new(Run {
        id: RunId(1),
        segments: segments.iter().cloned().map(SegmentRef::whole).collect(),
    });
    let source = || RunSource::new(Arc::clone(&run), None);
    let before = fs.read_count();
    let mut one = source().unwrap();
    assert_eq!(fs.read_count() - before, 1);
    (0..9).for_each(|_| one.pass(1).unwrap());
    assert_eq!(fs.read_count() - before, 1);
    one.pass(1).unwrap();
    assert_eq!(fs.read_count() - before, 2);

    for failing in 0..3 {
        fs.set_fault(Some(FaultPlan::new(OpKind::Read).nth(failing)));
        let Ok(mut source) = source() else {
            assert_eq!(failing, 0);
            continue;
        };
        for n in 1..10 * failing {
            source.pass(1).unwrap();
            assert_eq!(source.entry(), Some(all[n as usize].borrow()));
        }
        assert!(matches!(source.pass(1), Err(crate::Error::Io { .. })));
        // The segment behind the failure must not come as if there had been none.
        assert!(source.entry().is_none());
        source.pass(1).unwrap();
        assert!(source.entry().is_none());
    }

    // In the middle of a segment, too.
    fs.set_fault(None);
    let index = segments[0].index();
    let first = segments[0].read_block(0).unwrap().len();
    assert!(fs.flip("000000.seg", index.handle(1).offset + 30, 1));
    let mut source = source().unwrap();
    (1..first).for_each(|_| source.pass(1).unwrap());
    assert!(source.pass(1).unwrap_err().is_corruption());
    assert!(source.entry().is_none());
    source.pass(1).unwrap();
    assert!(source.entry().is_none());
}

/// A cursor over a run finds the same from wherever it is sought, also from keys that trims keep
/// out.
#[test]
fn a_cursor_finds_what_trims_leave_from_everywhere() {
    let mut random = Random::from_env(53);
    for _ in 0..40 {
        let fs = SimFs::new();
        let all = entries(&mut random, 200, 1);
        let (run, left) = run(&mut random, &fs, all.clone());
        let mut cursor = RunCursor::new(run, None);
        for target in &all {
            let target = target.position();
            let at = left.partition_point(|entry| entry.position() < target);
            let found = |cursor: &RunCursor| cursor.entry().map(OwnedEntry::from);
            let context = || format!("ALLUVIUM_SEED={}, {target:?}", random.seed);
            cursor.seek(target).unwrap();
            assert_eq!(found(&cursor).as_ref(), left.get(at), "{}", context());
            if at < left.len() {
                cursor.next().unwrap();
                assert_eq!(found(&cursor).as_ref(), left.get(at + 1), "next, {}", context());
            }
            let before = at.checked_sub(1);
            cursor.seek_before(target).unwrap();
            assert_eq!(found(&cursor).as_ref(), before.map(|at| &left[at]), "{}", context());
            if let Some(before) = before {
                cursor.prev().unwrap();
                let want = before.checked_sub(1).map(|at| &left[at]);
                assert_eq!(found(&cursor).as_ref(), want, "prev, {}", context());
            }
        }
    }
}
