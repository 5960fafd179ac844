//! Segments against a plain sorted list of entries, on the real disk.

mod cache;
mod compress;
mod damage;
mod layouts;
mod mapped;
mod model;
mod source;
mod tables;
mod verify;

use std::cmp::Reverse;
use std::path::Path;

use super::*;
use crate::error::Result;
use crate::format::hash::key_hash;
use crate::format::key::{Entry, Kind, Position};
use crate::ids::{KeyspaceId, Sequence, Uuid};
use crate::io::DiskFs;
use crate::io::files::kept;
use crate::options::Codec;
use crate::sync::Arc;
use crate::value::Value;

const DATABASE: Uuid = Uuid([0xdb; 16]);

/// One entry, owned; ordered as in a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    keyspace: u32,
    key: Vec<u8>,
    sequence: Reverse<u64>,
    value: Option<Vec<u8>>,
}

impl Row {
    fn new(keyspace: u32, key: &[u8], sequence: u64, value: Option<&[u8]>) -> Self {
        let key = key.to_vec();
        let sequence = Reverse(sequence);
        Self { keyspace, key, sequence, value: value.map(<[u8]>::to_vec) }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            keyspace: KeyspaceId(self.keyspace),
            key: &self.key,
            sequence: Sequence(self.sequence.0),
            kind: if self.value.is_some() { Kind::Value } else { Kind::Tombstone },
            value: self.value.as_deref().unwrap_or_default(),
        }
    }

    fn position(&self) -> Position<'_> {
        self.entry().position()
    }
}

fn options(block_bytes: usize, filter_bits: u8) -> SegmentWriterOptions {
    let database = DATABASE;
    let codec = Codec::None;
    let created_ms = 1234;
    SegmentWriterOptions { database, codec, block_bytes, filter_bits, created_ms }
}

/// The same options without compression and with it.
fn both(options: SegmentWriterOptions) -> [SegmentWriterOptions; 2] {
    [options, SegmentWriterOptions { codec: Codec::Lz4, ..options }]
}

fn write(dir: &Path, number: u64, rows: &[Row], options: SegmentWriterOptions) -> FinishedSegment {
    let mut writer =
        SegmentWriter::create(&kept(&DiskFs), dir, FileNumber(number), options).unwrap();
    rows.iter().for_each(|row| writer.add(&row.entry()).unwrap());
    let finished = writer.finish().unwrap();
    let on_disk = std::fs::metadata(segment_path(dir, FileNumber(number))).unwrap().len();
    assert_eq!(finished.bytes, on_disk);
    finished
}

fn open(dir: &Path, finished: &FinishedSegment, cache: &Arc<BlockCache>) -> Result<Arc<Segment>> {
    let expect = finished.expect(DATABASE);
    Segment::open(&kept(&DiskFs), dir, finished.number, &expect, None, Arc::clone(cache))
        .map(Arc::new)
}

/// A version of a key, owned.
#[derive(Debug)]
struct Found {
    kind: Kind,
    sequence: Sequence,
    value: Value,
}

/// The newest version of a key with a sequence of at most `at`.
fn get(segment: &Segment, keyspace: KeyspaceId, key: &[u8], at: Sequence) -> Result<Option<Found>> {
    let hash = key_hash(keyspace, key);
    segment.get_with(keyspace, (key, hash), at, |hit| Found {
        kind: hit.kind,
        sequence: hit.sequence,
        value: hit.to_value(),
    })
}

/// Rows of one keyspace whose blocks are all of one length: 16-byte keys, 100-byte values.
fn uniform_rows(count: u64) -> Vec<Row> {
    let row =
        |n: u64| Row::new(0, format!("key-{n:012}").as_bytes(), 1000 + n, Some(&[n as u8; 100]));
    (0..count).map(row).collect()
}
