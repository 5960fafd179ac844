//! Both kinds of memtable against a `BTreeMap`; readers beside the writer; damaged bodies.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::*;
use crate::format::Malformed;
use crate::format::coding::{put_bytes, put_varint};
use crate::format::hash::key_hash;
use crate::ids::SEQUENCE_MAX;
use crate::iter::Cursor;

/// Keyspace, key and sequence to kind and value: the internal order as a tuple's.
type Model = BTreeMap<(u32, Vec<u8>, Reverse<u64>), (Kind, Vec<u8>)>;

struct Random(fastrand::Rng);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("ALLUVIUM_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(0x5eed);
        // Shown by the harness when a test fails.
        eprintln!("ALLUVIUM_SEED={seed}");
        Self(fastrand::Rng::with_seed(seed))
    }

    /// The next number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end)
    }

    /// A key that shares much with the others: lengths around a prefix word and around two, zero
    /// bytes that look like padding, and the largest bytes.
    fn key(&mut self) -> Vec<u8> {
        let lens = [0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 24, 25, 33];
        let mut key = vec![*[0, b'a', 0xff].get(self.below(3)).unwrap(); lens[self.below(13)]];
        for _ in 0..self.below(3) {
            if !key.is_empty() {
                let at = self.below(key.len());
                key[at] = *[0, 1, b'a', 0xff].get(self.below(4)).unwrap();
            }
        }
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = [0, 1, 20, 100, 4096, 4097, 9000][self.below(7)];
        vec![self.below(256) as u8; len]
    }
}

/// `count` operations with sequences from `first` on. A key and a keyspace appear many times.
fn random_model(random: &mut Random, count: usize, first: u64, prefix: &[u8]) -> Model {
    let mut model = Model::new();
    for sequence in first..first + count as u64 {
        let key = [prefix, &random.key()].concat();
        let keyspace = [0, 0, 1, 7, u32::MAX][random.below(5)];
        let change = match random.below(4) {
            0 => (Kind::Tombstone, Vec::new()),
            _ => (Kind::Value, random.value()),
        };
        model.insert((keyspace, key, Reverse(sequence)), change);
    }
    model
}

/// Sequence, keyspace, key, kind, value.
type Operation<'a> = (u64, u32, &'a [u8], Kind, &'a [u8]);

fn in_commit_order(model: &Model) -> Vec<Operation<'_>> {
    let mut ops: Vec<_> = model
        .iter()
        .map(|((keyspace, key, sequence), (kind, value))| {
            (sequence.0, *keyspace, key.as_slice(), *kind, value.as_slice())
        })
        .collect();
    ops.sort_unstable_by_key(|op| op.0);
    ops
}

fn insert(writer: &mut MemtableWriter, keyspace: u32, key: &[u8], value: &[u8], sequence: u64) {
    let keyspace = KeyspaceId(keyspace);
    let op = Op { kind: Kind::Value, keyspace, key, value };
    writer.add(Sequence(sequence), std::iter::once(op));
}

fn active_of(model: &Model) -> Arc<Memtable> {
    let (mut writer, table) = Memtable::active(1 << 16);
    for (sequence, keyspace, key, kind, value) in in_commit_order(model) {
        let keyspace = KeyspaceId(keyspace);
        let sequence = Sequence(sequence);
        let op = std::iter::once(Op { kind, keyspace, key, value });
        match sequence.0 % 2 {
            0 => writer.add(sequence, op),
            _ => table.fill(writer.place(sequence, op.clone()), sequence, op),
        }
    }
    table
}

fn encode(out: &mut Vec<u8>, keyspace: u32, key: &[u8], kind: Kind, value: &[u8]) {
    out.push(kind as u8);
    put_varint(out, u64::from(keyspace));
    put_bytes(out, key);
    if kind == Kind::Value {
        put_bytes(out, value);
    }
}

/// The body of one data record: operation `i` in it has sequence `first + i`.
struct Body {
    chunk: Arc<Chunk>,
    start: usize,
    len: usize,
    first: Sequence,
}

/// A table of all bodies. Built at once and from two parts, cut anywhere, it has to be the same.
fn sorted(bodies: Vec<Body>) -> Result<Memtable, Malformed> {
    let bytes = bodies.iter().map(|body| body.len).sum::<usize>();
    let count = bodies.len();
    let whole = joined(&bodies, &[])?;
    let cut = bytes % (count + 1);
    let table = joined(&bodies, &[cut])?;
    assert_eq!((table.entries(), table.bytes() >= bytes), (whole.entries(), true));
    Ok(if bytes.is_multiple_of(2) { whole } else { table })
}

/// A table of `bodies`, each part between two `cuts` sorted by itself.
fn joined(bodies: &[Body], cuts: &[usize]) -> Result<Memtable, Malformed> {
    let mut parts = Vec::new();
    let ends = cuts.iter().copied().chain([bodies.len()]);
    let mut start = 0;
    for end in ends {
        // Whether the number of operations is known changes the memory that is taken, only.
        let mut builder = SortedBuilder::new(end - start);
        for Body { chunk, start, len, first } in &bodies[start..end] {
            builder.body(chunk, *start, *len, *first)?;
        }
        builder.sort();
        parts.push(builder);
        start = end;
    }
    let mut parts = parts.into_iter();
    let first = parts.next().expect("there is a last part");
    Ok(Memtable::sorted(parts.fold(first, |all, part| all.join(part).unwrap())))
}

/// Bodies of `ops_each` operations, a few to a chunk, with bytes between them that belong to none.
fn bodies_of(model: &Model, ops_each: usize, less: u64) -> Vec<Body> {
    let mut bodies: Vec<Body> = Vec::new();
    let ops = in_commit_order(model);
    let records: Vec<_> = ops.chunks(ops_each).collect();
    for group in records.chunks(3) {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for record in group {
            bytes.extend_from_slice(b"header");
            let start = bytes.len();
            for (_, keyspace, key, kind, value) in *record {
                encode(&mut bytes, *keyspace, key, *kind, value);
            }
            spans.push((start, bytes.len() - start, Sequence(record[0].0 - less)));
        }
        let chunk = Arc::new(Chunk(bytes));
        bodies.extend(spans.into_iter().map(|(start, len, first)| Body {
            chunk: Arc::clone(&chunk),
            start,
            len,
            first,
        }));
    }
    bodies
}

fn check_gets(table: &Memtable, model: &Model, random: &mut Random) {
    let mut keys: Vec<_> = model.keys().map(|(ks, key, _)| (*ks, key.clone())).collect();
    for _ in 0..200 {
        keys.push(([0, 1, 2, 7][random.below(4)], random.key()));
    }
    let largest = model.keys().map(|(.., sequence)| sequence.0).max().unwrap();
    for (keyspace, key) in keys {
        let hash = key_hash(KeyspaceId(keyspace), &key);
        let ats = [0, random.below(largest as usize + 1) as u64, largest, u64::MAX];
        let exact = model.range((keyspace, key.clone(), Reverse(u64::MAX))..).next();
        for at in ats.into_iter().chain(exact.map(|((.., sequence), _)| sequence.0)) {
            let want = model
                .range((keyspace, key.clone(), Reverse(at))..)
                .next()
                .filter(|((ks, found, _), _)| *ks == keyspace && *found == key)
                .map(|((.., sequence), (kind, value))| (Sequence(sequence.0), *kind, &**value));
            let at = Sequence(at);
            let got = table.get(KeyspaceId(keyspace), &key, hash, at);
            assert_eq!(got.map(|found| (found.sequence, found.kind, found.value)), want, "{key:?}");
            let owned = got.map(|found| table.keep_value(KeyspaceId(keyspace), &key, &found));
            assert_eq!(owned.as_deref(), want.map(|(_, _, value)| value), "{key:?}");
        }
    }
}

fn row<'a>(entry: &Entry<'a>) -> (u32, &'a [u8], u64, Kind, &'a [u8]) {
    (entry.keyspace.0, entry.key, entry.sequence.0, entry.kind, entry.value)
}

fn check_cursor(table: &Arc<Memtable>, model: &Model, random: &mut Random) {
    let rows: Vec<_> = model
        .iter()
        .map(|((ks, key, seq), (kind, value))| (*ks, &**key, seq.0, *kind, &**value))
        .collect();
    let mut cursor = table.cursor();
    assert!(cursor.entry().is_none() && cursor.value().is_empty());
    let mut targets: Vec<_> = model.keys().cloned().collect();
    for (keyspace, key, Reverse(sequence)) in model.keys() {
        targets.push((*keyspace, key.clone(), Reverse(sequence + 1)));
        targets.push((*keyspace, key.clone(), Reverse(sequence - 1)));
        targets.push((*keyspace, key.clone(), Reverse(u64::MAX)));
        targets.push((*keyspace, key.clone(), Reverse(0)));
        targets.push((*keyspace, [key, &[0][..]].concat(), Reverse(u64::MAX)));
        targets.push((random.below(3) as u32, random.key(), Reverse(u64::MAX)));
    }
    targets.push((0, Vec::new(), Reverse(u64::MAX)));
    targets.push((u32::MAX, vec![0xff; 70_000], Reverse(0)));
    for target in &targets {
        let (keyspace, key, Reverse(sequence)) = target;
        let position =
            Position { keyspace: KeyspaceId(*keyspace), key, sequence: Sequence(*sequence) };
        let start = rows.partition_point(|row| {
            (row.0, row.1, Reverse(row.2)) < (*keyspace, &**key, Reverse(*sequence))
        });
        cursor.seek(position).unwrap();
        for want in rows[start..].iter().take(3) {
            assert_eq!(row(&cursor.entry().unwrap()), *want, "from {target:?}");
            assert_eq!(cursor.value(), want.4);
            cursor.next().unwrap();
        }
        assert!(start + 3 < rows.len() || cursor.entry().is_none());
        cursor.seek_before(position).unwrap();
        for want in rows[..start].iter().rev().take(3) {
            assert_eq!(row(&cursor.entry().unwrap()), *want, "back from {target:?}");
            assert_eq!(cursor.value(), want.4);
            cursor.prev().unwrap();
        }
        assert!(start > 3 || cursor.entry().is_none());
    }
}

/// All rows, forward and backward, through one seek each.
fn check_whole(table: &Arc<Memtable>, model: &Model) {
    let want: Vec<_> = model.keys().map(|(ks, key, seq)| (*ks, key.clone(), seq.0)).collect();
    let take = |cursor: &MemtableCursor| {
        cursor.entry().map(|entry| (entry.keyspace.0, entry.key.to_vec(), entry.sequence.0))
    };
    let mut cursor = table.cursor();
    let mut got = Vec::new();
    cursor.seek(Position::first(KeyspaceId(0), &[])).unwrap();
    while let Some(row) = take(&cursor) {
        got.push(row);
        cursor.next().unwrap();
    }
    assert_eq!(got, want);
    got.clear();
    cursor.seek_before(Position::last(KeyspaceId(u32::MAX), &[0xff; 300])).unwrap();
    while let Some(row) = take(&cursor) {
        got.push(row);
        cursor.prev().unwrap();
    }
    got.reverse();
    assert_eq!(got, want);
}

fn check_table(table: Memtable, model: &Model, random: &mut Random) {
    check_shared(&Arc::new(table), model, random);
}

fn check_shared(table: &Arc<Memtable>, model: &Model, random: &mut Random) {
    let sequences = || model.keys().map(|(.., sequence)| Sequence(sequence.0));
    assert_eq!(table.entries(), model.len());
    assert_eq!(table.smallest_sequence(), sequences().min());
    check_gets(table, model, random);
    check_cursor(table, model, random);
    check_whole(table, model);
}

#[test]
fn an_active_table_agrees_with_the_model() {
    let mut random = Random::new();
    for count in [1, 2, 10, 600] {
        let model = random_model(&mut random, count, 1, b"");
        let table = active_of(&model);
        check_shared(&table, &model, &mut random);
        table.seal();
        check_shared(&table, &model, &mut random);
    }
}

#[test]
fn a_sorted_table_agrees_with_the_model_whatever_the_keys_share() {
    let mut random = Random::new();
    for prefix in [&b""[..], b"user:", b"\0\0\0\0\0\0\0\0\0", &[0xff; 40]] {
        for (count, ops_each) in [(1, 1), (10, 3), (600, 1), (600, 77), (300, 1000)] {
            let model = random_model(&mut random, count, 1, prefix);
            let table = sorted(bodies_of(&model, ops_each, 0)).unwrap();
            check_table(table, &model, &mut random);
        }
    }
}

/// Parts that share more or less than all do, or nothing at all, or are empty.
#[test]
fn parts_joined_are_one_table_wherever_they_are_cut() {
    let mut random = Random::new();
    for prefixes in [[&b""[..], b""], [b"user:1", b"user:2"], [b"user:", b"us"], [b"a", b"b"]] {
        let mut model = random_model(&mut random, 60, 1, prefixes[0]);
        let next = model.keys().map(|key| key.2.0).max().unwrap() + 1;
        model.extend(random_model(&mut random, 60, next, prefixes[1]));
        let bodies = bodies_of(&model, 3, 0);
        for cut in 0..=bodies.len() {
            check_table(joined(&bodies, &[cut]).unwrap(), &model, &mut random);
        }
        let cuts = [bodies.len() / 4, bodies.len() / 4, bodies.len() / 2];
        check_table(joined(&bodies, &cuts).unwrap(), &model, &mut random);
    }
}

#[test]
fn a_batch_takes_its_sequences_and_logs_when_they_are_known() {
    let mut random = Random::new();
    let model = random_model(&mut random, 300, 70_000, b"k");
    let mut table = sorted(bodies_of(&model, 300, 70_000)).unwrap();
    assert_eq!(table.smallest_sequence(), Some(Sequence(0)));
    table.set_base(Sequence(70_000));
    table.set_log_first(LogNumber(8));
    assert_eq!(table.log_first(), LogNumber(8));
    check_table(table, &model, &mut random);
}

#[test]
fn keys_that_differ_only_in_zero_bytes_keep_apart() {
    let stem = b"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut model = Model::new();
    for len in (0..=stem.len()).rev() {
        let sequence = Reverse(model.len() as u64 + 1);
        model.insert((0, stem[..len].to_vec(), sequence), (Kind::Value, vec![len as u8]));
    }
    let mut random = Random::new();
    let table = active_of(&model);
    check_shared(&table, &model, &mut random);
    table.seal();
    check_shared(&table, &model, &mut random);
    check_table(sorted(bodies_of(&model, 4, 0)).unwrap(), &model, &mut random);
}

#[test]
fn a_large_value_is_shared_from_a_sorted_table_and_outlives_it() {
    let mut body = Vec::new();
    encode(&mut body, 0, b"large", Kind::Value, &[7; 5000]);
    encode(&mut body, 0, b"small", Kind::Value, &[8; 4096]);
    let chunk = Arc::new(Chunk(body));
    let start = 0;
    let len = chunk.0.len();
    let body = Body { chunk: Arc::clone(&chunk), start, len, first: Sequence(1) };
    let table = sorted(vec![body]).unwrap();
    let get = |key: &[u8]| {
        let hash = key_hash(KeyspaceId(0), key);
        let found = table.get(KeyspaceId(0), key, hash, SEQUENCE_MAX).unwrap();
        table.keep_value(KeyspaceId(0), key, &found)
    };
    let large = get(b"large");
    let small = get(b"small");
    drop(table);
    assert_eq!(
        Arc::strong_count(&chunk),
        2,
        "the large value shares the chunk, the small does not"
    );
    assert_eq!((large, small), (Value::copy(&[7; 5000]), Value::copy(&[8; 4096])));
}

#[test]
fn an_empty_table_holds_nothing_and_its_cursor_stands_nowhere() {
    let check = |table: Arc<Memtable>| {
        assert_eq!((table.entries(), table.smallest_sequence()), (0, None));
        let hash = key_hash(KeyspaceId(0), b"k");
        assert!(table.get(KeyspaceId(0), b"k", hash, SEQUENCE_MAX).is_none());
        let mut cursor = table.cursor();
        cursor.seek(Position::first(KeyspaceId(0), b"")).unwrap();
        assert!(cursor.entry().is_none());
        cursor.seek_before(Position::last(KeyspaceId(u32::MAX), b"\xff")).unwrap();
        assert!(cursor.entry().is_none());
    };
    check(Memtable::active(1 << 16).1);
    check(Arc::new(sorted(Vec::new()).unwrap()));
}

#[test]
fn drops_are_kept_until_they_are_forgotten_and_count_as_sequences() {
    let (mut writer, table) = Memtable::active(1 << 16);
    table.add_drop(KeyspaceId(4), Sequence(10));
    assert_eq!(table.smallest_sequence(), Some(Sequence(10)));
    insert(&mut writer, 0, b"k", b"v", 11);
    table.add_drop(KeyspaceId(2), Sequence(12));
    let want = [(KeyspaceId(4), Sequence(10)), (KeyspaceId(2), Sequence(12))];
    assert_eq!(table.drops(), want.into());
    table.forget_drops(&[KeyspaceId(4), KeyspaceId(9)]);
    assert_eq!(table.drops(), [want[1]].into());
    assert_eq!(table.smallest_sequence(), Some(Sequence(10)));
    assert_eq!(table.entries(), 1);
}

#[test]
fn a_table_knows_the_keyspaces_of_its_versions() {
    let check = |table: &Memtable, want: &[u32]| {
        let has = (0..6).filter(|&id| table.has_keyspace(KeyspaceId(id)));
        assert_eq!(has.collect::<Vec<_>>(), want);
    };
    let (mut writer, table) = Memtable::active(1 << 16);
    check(&table, &[]);
    table.add_drop(KeyspaceId(2), Sequence(9));
    insert(&mut writer, 3, b"", b"v", 10);
    insert(&mut writer, 1, b"k", b"v", 11);
    check(&table, &[1, 3]);
    let mut bytes = Vec::new();
    encode(&mut bytes, 4, b"k", Kind::Value, b"v");
    encode(&mut bytes, 2, b"k", Kind::Tombstone, b"");
    let len = bytes.len();
    let body = Body { chunk: Arc::new(Chunk(bytes)), start: 0, len, first: Sequence(1) };
    check(&sorted(vec![body]).unwrap(), &[2, 4]);
}

#[test]
fn a_table_is_full_by_bytes_or_by_entries_and_an_empty_one_never() {
    let (mut writer, table) = Memtable::active(1 << 16);
    assert!(writer.fits(1 << 30, u32::MAX) && table.bytes() == 0);
    insert(&mut writer, 0, b"k", &[1; 999], 1);
    assert_eq!(table.bytes(), 1000 + ENTRY_OVERHEAD);
    let left = (1 << 16) - 1000 - 2 * ENTRY_OVERHEAD;
    assert!(writer.fits(left, 1) && !writer.fits(left + 1, 1) && !writer.fits(left, 2));
    assert!(!writer.fits(usize::MAX, u32::MAX));
    let (mut writer, table) = Memtable::active(1 << 16);
    for sequence in 1_u64.. {
        if !writer.fits(1, 1) {
            break;
        }
        insert(&mut writer, 0, b"k", b"", sequence);
    }
    assert_eq!(table.entries(), (1 << 16) / ENTRY_BYTES_TYPICAL);
    assert!(table.bytes() < 1 << 16);
    // Without a spare to go on with, the table grows past its bounds.
    let mut next = table.entries() as u64;
    for _ in 0..5_000 {
        next += 1;
        insert(&mut writer, 0, b"k", &[2; 30], next);
    }
    let hash = key_hash(KeyspaceId(0), b"k");
    assert_eq!(table.get(KeyspaceId(0), b"k", hash, Sequence(next)).unwrap().value, [2; 30]);
}

/// I19.
#[test]
fn cut_bodies_are_malformed_except_between_operations_and_no_flip_panics() {
    let mut body = Vec::new();
    let mut ends = vec![0];
    for (key, kind, value) in [
        (&b"key"[..], Kind::Value, &b"value"[..]),
        (b"", Kind::Tombstone, b""),
        (&[b'x'; 200], Kind::Value, &[b'y'; 300]),
    ] {
        encode(&mut body, 300, key, kind, value);
        ends.push(body.len());
    }
    let build = |bytes: Vec<u8>, start, len| {
        let chunk = Arc::new(Chunk(bytes));
        sorted(vec![Body { chunk, start, len, first: Sequence(1) }])
    };
    for len in 0..=body.len() {
        let built = build(body[..len].to_vec(), 0, len);
        match ends.iter().position(|&end| end == len) {
            Some(entries) => assert_eq!(built.unwrap().entries(), entries),
            None => assert!(built.is_err(), "cut at {len}"),
        }
    }
    for at in 0..body.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = body.clone();
            bytes[at] ^= flip;
            if let Ok(table) = build(bytes, 0, body.len()) {
                assert!(table.entries() <= body.len() / 3);
            }
        }
    }
    assert!(build(body.clone(), 1, body.len()).is_err());
    assert!(build(body.clone(), usize::MAX, 2).is_err());
    let error = |kind| build(vec![9, kind, 0, 0], 1, 3).err().unwrap();
    assert_eq!((error(3).newer, error(3).at), (true, 1));
    assert!(!error(0).newer && !error(7).newer);
    let long = [&[2, 0, 0x80, 0x80, 4][..], &[0; 65_536]].concat();
    let len = long.len();
    assert!(build(long, 0, len).is_err(), "a key of 65,536 bytes");
    let chunk = Arc::new(Chunk(body));
    let body = Body { len: chunk.0.len(), chunk, start: 0, first: Sequence(u64::MAX) };
    assert!(sorted(vec![body]).is_err(), "sequences beyond 64 bits");
}

/// Three versions of each key, scattered over the order; some keys are longer than a node's prefix.
fn scattered_key(sequence: u64) -> String {
    let spread = (sequence / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let stem = format!("{spread:020}")[..8 + (spread % 12) as usize].to_owned();
    format!("{stem}-{}", sequence / 3)
}

/// Two readers beside the writer: whatever is at or below a sequence they loaded is there, by get
/// and by cursor.
/// I18.
#[test]
fn readers_find_everything_at_or_below_a_published_sequence() {
    const COUNT: u64 = if cfg!(miri) { 200 } else { 30_000 };
    let key = &scattered_key;
    let visible = AtomicU64::new(0);
    let (mut writer, table) = Memtable::active(1 << 20);
    let read = &|mut random: Random| {
        let mut cursor = table.cursor();
        loop {
            // Pairs with the Release store below.
            let seen = visible.load(Ordering::Acquire);
            for _ in 0..usize::from(seen > 0) * 20 {
                let sequence = 1 + random.below(seen as usize) as u64;
                let key = key(sequence);
                let hash = key_hash(KeyspaceId(0), key.as_bytes());
                let found = table.get(KeyspaceId(0), key.as_bytes(), hash, Sequence(sequence));
                let found = found.expect("published");
                assert_eq!(found.sequence, Sequence(sequence));
                assert_eq!(found.value, key.as_bytes());
                let at = Position {
                    keyspace: KeyspaceId(0),
                    key: key.as_bytes(),
                    sequence: Sequence(sequence),
                };
                cursor.seek(at).unwrap();
                assert_eq!(cursor.entry().unwrap().position(), at);
                // Walks into entries that may be newer than `seen`: in order, and whole.
                for _ in 0..5 {
                    let Some(entry) = cursor.entry() else { break };
                    assert_eq!(entry.key, entry.value);
                    assert!(entry.position() >= at);
                    cursor.next().unwrap();
                }
            }
            if seen == COUNT {
                cursor.seek(Position::first(KeyspaceId(0), b"")).unwrap();
                let mut entries = 0;
                while cursor.entry().is_some() {
                    entries += 1;
                    cursor.next().unwrap();
                }
                assert_eq!(entries, COUNT);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (1..=2)
            .map(|n| scope.spawn(move || read(Random(fastrand::Rng::with_seed(n)))))
            .collect();
        for sequence in 1..=COUNT {
            let key = key(sequence);
            insert(&mut writer, 0, key.as_bytes(), key.as_bytes(), sequence);
            visible.store(sequence, Ordering::Release);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn tables_writers_and_cursors_may_move_between_threads() {
    fn check<T: Send + 'static>() {}
    fn check_shared<T: Send + Sync + 'static>() {}
    check::<MemtableWriter>();
    check_shared::<MemtableCursor>();
    check_shared::<Memtable>();
}

/// A cursor keeps the memory it stands on when all others have let go.
#[test]
fn a_cursor_keeps_its_table() {
    let model = random_model(&mut Random::new(), 50, 1, b"");
    let check = |table: Arc<Memtable>| {
        let mut cursor = table.cursor();
        cursor.seek(Position::first(KeyspaceId(0), b"")).unwrap();
        drop(table);
        for want in model.keys() {
            assert_eq!(cursor.entry().unwrap().key, want.1);
            cursor.next().unwrap();
        }
        assert!(cursor.entry().is_none());
    };
    check(active_of(&model));
    check(Arc::new(sorted(bodies_of(&model, 5, 0)).unwrap()));
}
