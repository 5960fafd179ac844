//! Round trips: what was written is what gets and cursors find, at every sequence and in both
//! directions.

use super::*;
use crate::io::SimFs;
use crate::iter::Cursor;

pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn key(&mut self) -> Vec<u8> {
        match self.below(12) {
            0 => Vec::new(),
            1 => vec![0xff; self.below(4) as usize],
            2 => vec![0; self.below(4) as usize],
            3 => [vec![b'l'; 300], vec![self.next() as u8]].concat(),
            4..=8 => format!("user:{:05}", self.below(500)).into_bytes(),
            _ => (0..self.below(5)).map(|_| b"ab\xff"[self.below(3) as usize]).collect(),
        }
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        match self.below(10) {
            0 | 1 => None,
            2 => Some(Vec::new()),
            3 => Some(vec![self.next() as u8; 200 + self.below(200) as usize]),
            _ => Some(vec![self.next() as u8; self.below(40) as usize]),
        }
    }

    /// Sorted rows with distinct sequences; some keys have many versions.
    pub(super) fn rows(&mut self, keys: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut sequence = 1 + self.below(300);
        for _ in 0..keys {
            let keyspace = [0, 1, 7][self.below(3) as usize];
            let key = self.key();
            let versions = if self.below(40) == 0 { 60 } else { 1 + self.below(3) };
            for _ in 0..versions {
                sequence += 1 + self.below(3);
                let value = self.value();
                rows.push(Row { keyspace, key: key.clone(), sequence: Reverse(sequence), value });
            }
        }
        rows.sort();
        rows
    }
}

fn check_cursors(segment: &Arc<Segment>, rows: &[Row], targets: &[Position<'_>]) {
    let mut cursor = SegmentCursor::new(Arc::clone(segment), None);
    assert!(cursor.entry().is_none());
    cursor.seek(Position::first(KeyspaceId(0), b"")).unwrap();
    for row in rows {
        assert_eq!(cursor.entry(), Some(row.entry()));
        assert_eq!(cursor.value(), row.entry().value);
        cursor.next().unwrap();
    }
    assert!(cursor.entry().is_none() && cursor.value().is_empty());
    cursor.seek_before(Position::last(KeyspaceId(u32::MAX), b"")).unwrap();
    for row in rows.iter().rev() {
        assert_eq!(cursor.entry(), Some(row.entry()));
        cursor.prev().unwrap();
    }
    assert!(cursor.entry().is_none());
    for target in targets {
        let at = rows.partition_point(|row| row.position() < *target);
        cursor.seek(*target).unwrap();
        assert_eq!(cursor.entry(), rows.get(at).map(Row::entry), "seek {target:?}");
        if at < rows.len() {
            cursor.next().unwrap();
            assert_eq!(cursor.entry(), rows.get(at + 1).map(Row::entry));
        }
        cursor.seek_before(*target).unwrap();
        let before = |by: usize| at.checked_sub(by).map(|at| rows[at].entry());
        assert_eq!(cursor.entry(), before(1), "seek_before {target:?}");
        if at > 0 {
            cursor.prev().unwrap();
            assert_eq!(cursor.entry(), before(2));
        }
    }
}

fn check_gets(segment: &Segment, rows: &[Row], targets: &[Position<'_>]) {
    for target in targets {
        let at = rows.partition_point(|row| row.position() < *target);
        let want = rows.get(at).filter(|row| row.position().same_key(target)).map(Row::entry);
        let got = get(segment, target.keyspace, target.key, target.sequence).unwrap();
        let facts = got.as_ref().map(|found| (found.kind, found.sequence, &*found.value));
        assert_eq!(facts, want.map(|w| (w.kind, w.sequence, w.value)), "{target:?}");
        assert_eq!(got.map(|found| found.value).as_deref(), want.map(|w| w.value));
    }
    for row in rows {
        assert!(segment.may_contain(key_hash(KeyspaceId(row.keyspace), &row.key)));
    }
}

fn check(rows: &[Row], options: SegmentWriterOptions) {
    both(options).into_iter().for_each(|options| check_one(rows, options));
}

fn check_one(rows: &[Row], options: SegmentWriterOptions) {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 7, rows, options);
    let cache = BlockCache::new(1 << 30);
    let segment = open(dir.path(), &finished, &cache).unwrap();
    // Each row, its neighbours in every part of the order, and keys near its own.
    let mut owned = Vec::new();
    for row in rows {
        let sequence = row.sequence.0;
        for sequence in [0, sequence - 1, sequence, sequence + 1, u64::MAX] {
            owned.push((row.keyspace, row.key.clone(), sequence));
        }
        let longer = [row.key.as_slice(), b"\0"].concat();
        let shorter = row.key[..row.key.len().saturating_sub(1)].to_vec();
        owned.push((row.keyspace, longer, u64::MAX));
        owned.push((row.keyspace, shorter, sequence));
        owned.push((row.keyspace + 1, row.key.clone(), sequence));
    }
    let targets: Vec<Position<'_>> = owned
        .iter()
        .map(|(keyspace, key, sequence)| Position {
            keyspace: KeyspaceId(*keyspace),
            key,
            sequence: Sequence(*sequence),
        })
        .collect();
    check_gets(&segment, rows, &targets);
    check_cursors(&segment, rows, &targets);
    check_facts(&segment, &finished, rows);
}

fn check_facts(segment: &Segment, finished: &FinishedSegment, rows: &[Row]) {
    let first = rows.first().unwrap();
    let last = rows.last().unwrap();
    let sequences = || rows.iter().map(|row| Sequence(row.sequence.0));
    let properties = segment.properties();
    assert_eq!(finished.entries, rows.len() as u64);
    assert_eq!(properties.entries(), rows.len() as u64);
    assert_eq!(properties.values, rows.iter().filter(|row| row.value.is_some()).count() as u64);
    assert_eq!(properties.first, (KeyspaceId(first.keyspace), first.key.clone()));
    assert_eq!(properties.last, (KeyspaceId(last.keyspace), last.key.clone()));
    assert_eq!(Some(properties.smallest), sequences().min());
    assert_eq!(Some(properties.largest), sequences().max());
    assert_eq!(properties.created_ms, 1234);
    let same_key =
        |pair: &&[Row]| (pair[0].keyspace, &pair[0].key) == (pair[1].keyspace, &pair[1].key);
    let superseded = rows.windows(2).filter(same_key).count() as u64;
    assert_eq!(properties.superseded, Some(superseded));
    let bytes = |row: &Row| row.key.len() + row.value.as_ref().map_or(0, Vec::len);
    assert_eq!(properties.raw_bytes, rows.iter().map(bytes).sum::<usize>() as u64);
    // The writer counts by blocks; deriving the tables again counts by entries.
    assert_eq!(segment.rebuild(DATABASE).unwrap().0.properties(), properties);
    segment.verify(DATABASE, &mut |error| panic!("{error}"));
    assert_eq!(segment.number(), finished.number);
    assert_eq!(segment.bytes(), finished.bytes);
}

#[test]
fn random_entries_come_back() {
    let seed = std::env::var("ALLUVIUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5e9_3e47);
    eprintln!("ALLUVIUM_SEED={seed}");
    let mut random = Random::new(seed);
    for (keys, block_bytes, filter_bits) in
        [(1, 256, 10), (5, 256, 0), (60, 256, 10), (300, 4096, 10), (150, 300, 10)]
    {
        check(&random.rows(keys), options(block_bytes, filter_bits));
    }
}

#[test]
fn extreme_keys_come_back() {
    let long = |byte: u8| vec![byte; 65_535];
    let rows = [
        Row::new(0, b"", 5, Some(b"")),
        Row::new(0, b"", 3, None),
        Row::new(0, &long(0), 9, Some(b"zeros")),
        Row::new(0, &long(0xff)[1..], 8, None),
        Row::new(0, &long(0xff), 7, Some(b"newer")),
        Row::new(0, &long(0xff), 1, Some(b"older")),
        Row::new(u32::MAX - 1, b"\xff", 2, Some(b"")),
    ];
    check(&rows, options(4096, 10));
    check(&rows, options(1 << 20, 10));
}

#[test]
fn versions_of_one_key_go_on_over_many_blocks() {
    let mut rows = vec![Row::new(1, b"a", 1, Some(b"before"))];
    rows.extend((2..400).rev().map(|n| Row::new(1, b"hot", n, Some(&[n as u8; 20]))));
    rows.push(Row::new(1, b"hot\0", 1000, Some(b"after")));
    check(&rows, options(256, 10));
}

#[test]
fn a_value_far_larger_than_a_block_comes_back_and_keeps_only_its_block() {
    let huge: Vec<u8> = (0..1_u32 << 20).map(|n| ((n * 7) >> 3) as u8).collect();
    let rows = [
        Row::new(0, b"a", 1, Some(b"small")),
        Row::new(0, b"b", 2, Some(&huge)),
        Row::new(0, b"c", 3, Some(b"small")),
    ];
    check(&rows, options(4096, 10));

    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &rows, options(4096, 10));
    let cache = BlockCache::new(8 << 20);
    let segment = open(dir.path(), &finished, &cache).unwrap();
    let found = get(&segment, KeyspaceId(0), b"b", Sequence(9)).unwrap().unwrap();
    let value = found.value;
    drop(segment);
    assert_eq!(value, huge);
    assert!((1 << 20..(1 << 20) + 4096).contains(&cache.used()), "{}", cache.used());
    drop(value);
    assert_eq!(cache.used(), 0);
}

#[test]
fn small_values_are_copied_and_large_ones_shared() {
    let rows = [Row::new(0, b"a", 1, Some(&[1; 256])), Row::new(0, b"b", 2, Some(&[2; 257]))];
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &rows, options(4096, 10));
    let cache = BlockCache::new(8 << 20);
    for (key, shared) in [(b"a", false), (b"b", true)] {
        let segment = open(dir.path(), &finished, &cache).unwrap();
        let mut cursor = SegmentCursor::new(Arc::clone(&segment), None);
        cursor.seek(Position::first(KeyspaceId(0), key)).unwrap();
        let from_cursor = cursor.value();
        drop(cursor);
        let from_get = get(&segment, KeyspaceId(0), key, Sequence(9)).unwrap().unwrap().value;
        let hashed = (&key[..], key_hash(KeyspaceId(0), key));
        let in_place = segment.get_with(KeyspaceId(0), hashed, Sequence(9), |hit| hit.value.len());
        assert_eq!(in_place.unwrap(), Some(from_get.len()));
        drop(segment);
        assert_eq!(cache.used() > 0, shared);
        assert_eq!(from_cursor, from_get);
    }
    assert_eq!(cache.used(), 0);
}

#[test]
fn a_writer_refuses_an_existing_file_and_an_empty_segment_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let create =
        || SegmentWriter::create(&kept(&DiskFs), dir.path(), FileNumber(3), options(4096, 10));
    let writer = create().unwrap();
    assert!(create().is_err());
    let path = segment_path(dir.path(), FileNumber(3));
    assert_eq!(path.file_name().unwrap(), "000003.seg");
    assert!(matches!(writer.finish(), Err(crate::Error::InvalidArgument { .. })));
    std::fs::remove_file(&path).unwrap();
    let mut writer = create().unwrap();
    let before = writer.written_bytes();
    writer.add(&Row::new(0, b"k", 1, Some(&[0; 1000])).entry()).unwrap();
    assert!((before + 1000..before + 1100).contains(&writer.written_bytes()));
    writer.abandon(&DiskFs);
    assert!(!path.exists());
}

/// Batches of any length give the blocks, the tables and the length that single entries give, and
/// a file that was not going to come to some length has not.
#[test]
fn many_entries_at_a_time_make_what_one_by_one_makes() {
    let seed = std::env::var("ALLUVIUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x6261_7463);
    eprintln!("ALLUVIUM_SEED={seed}");
    let mut random = Random::new(seed);
    let mut many = 0;
    let mut near = 0;
    for round in 0..60 {
        let keys = 1 + random.below(300);
        let mut rows = random.rows(keys);
        if round % 2 == 0 {
            // Longer stretches of keys that are all different.
            rows.dedup_by(|b, a| (a.keyspace, &a.key) == (b.keyspace, &b.key));
        }
        let fs = SimFs::new();
        let dir = Path::new("");
        let options = options([64, 300, 4096][round % 3], [0, 10][round % 2]);
        let create =
            |number| SegmentWriter::create(&kept(&fs), dir, FileNumber(number), options).unwrap();
        let mut single = create(1);
        let mut batched = create(2);
        rows.iter().for_each(|row| single.add(&row.entry()).unwrap());

        let entries: Vec<_> = rows.iter().map(Row::entry).collect();
        let mut left = &entries[..];
        let mut last = None;
        while !left.is_empty() {
            let (now, later) = left.split_at(1 + random.below(left.len() as u64) as usize);
            let places: Vec<_> = last.into_iter().chain(now).map(|e| e.position()).collect();
            let distinct = !places.windows(2).any(|pair| pair[0].same_key(&pair[1]));
            let bytes = now.iter().map(|e| (e.key.len() + e.value.len()) as u64).sum();
            let goal = batched.written_bytes() + random.below(4 * bytes + 200 * now.len() as u64);
            let may = batched.may_come_to(goal, now.len(), bytes);
            batched.add_all(now, distinct).unwrap();
            assert!(may || !batched.has_written(goal), "seed {seed}");
            assert_eq!(batched.has_written(goal), batched.written_bytes() >= goal);
            near += usize::from(!may);
            many += usize::from(distinct && now.len() > 20);
            (left, last) = (later, now.last());
        }
        assert_eq!(single.written_bytes(), batched.written_bytes());
        let [single, batched] = [(1, single), (2, batched)].map(|(number, writer)| {
            let expect = writer.finish().unwrap().expect(DATABASE);
            Segment::open(&kept(&fs), dir, FileNumber(number), &expect, None, BlockCache::new(0))
                .unwrap()
        });
        assert_eq!(single.bytes(), batched.bytes());
        assert_eq!(single.properties(), batched.properties());
        let handles = |segment: &Segment| {
            (0..segment.index().len()).map(|i| segment.index().handle(i)).collect::<Vec<_>>()
        };
        assert_eq!(handles(&single), handles(&batched));
        for row in &rows {
            let keyspace = KeyspaceId(row.keyspace);
            let at = Sequence(row.sequence.0);
            let got = get(&batched, keyspace, &row.key, at).unwrap();
            assert_eq!(got.unwrap().sequence, at, "seed {seed}");
        }
    }
    assert!(many > 20 && near > 20, "{many} batches, {near} bounds");
}

/// When a block is closed its last key may come into the index whole.
///
/// Found by a review: `may_come_to` said no to 70,104 bytes, and 120,189 were written. Mechanism:
/// only the keys to come were counted. Fix: the last key so far is counted too.
#[test]
fn the_bound_covers_the_key_before_the_batch() {
    let fs = SimFs::new();
    let dir = Path::new("");
    let mut writer =
        SegmentWriter::create(&kept(&fs), dir, FileNumber(1), options(4096, 0)).unwrap();
    let long = [&b"a"[..], &[0xff; 60_000]].concat();
    writer.add(&Row::new(0, &long, 1, Some(b"v")).entry()).unwrap();
    let rows = [Row::new(0, b"b", 2, Some(b"v")), Row::new(0, b"c", 3, Some(b"v"))];
    let goal = writer.written_bytes() + 10_000;
    let may = writer.may_come_to(goal, 2, 4);
    writer.add_all(&rows.each_ref().map(Row::entry), true).unwrap();
    assert!(writer.has_written(goal) && may, "{} bytes", writer.written_bytes());
}
