//! Blocks of the earlier layout through the door that all data blocks come by, and blocks whose
//! tags are wrong.

use super::*;
use crate::format::block::{BLOCK_HEADER_BYTES, BlockHandle, BlockType, Frame, finish_block};
use crate::format::data_block::tests::{Row, encode_columns};
use crate::format::data_block::{Block, BlockBuilder};
use crate::format::lz4::Compressor;
use crate::io::{NamedFile, OpenMode};
use crate::segment::parts::open_data_block;
use crate::segment::scan::Entries;

const SEGMENT: Uuid = Uuid([7; 16]);
const OFFSET: u64 = 4096;

fn columns() -> Vec<Row> {
    let key = |n: u32| format!("key {:06}", n / 2).into_bytes();
    let row = |n: u32| {
        let value = format!("the value {} and the value {n}", n / 2).into_bytes();
        (key(n), u64::from(n ^ 1) + 1, Kind::Value, value)
    };
    (0..100).map(row).collect()
}

fn framed(payload: &[u8], codec: Codec, raw_bytes: usize) -> Vec<u8> {
    let mut bytes = [&[0; BLOCK_HEADER_BYTES], payload].concat();
    let frame = Frame { kind: BlockType::Columns, codec, raw_bytes: raw_bytes as u32 };
    finish_block(&mut bytes, frame, SEGMENT, OFFSET);
    bytes
}

#[test]
fn a_block_in_columns_is_read_as_it_is_and_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let file = NamedFile::shared(&kept(&DiskFs), path, OpenMode::Read).unwrap();
    let rows = columns();
    let raw = encode_columns(&rows);
    let mut compressor = Compressor::default();
    let stored = compressor.compress(&raw).expect("it is much shorter");
    let blocks = [framed(&raw, Codec::None, raw.len()), framed(stored, Codec::Lz4, raw.len())];
    for bytes in blocks {
        let block = open_data_block(&file, SEGMENT, OFFSET, bytes.clone()).unwrap();
        assert_eq!(block.len(), rows.len());
        for (i, (key, sequence, kind, value)) in rows.iter().enumerate() {
            assert!(block.has_key(i, key));
            assert_eq!((block.sequence(i), block.kind(i)), (Sequence(*sequence), *kind));
            assert_eq!(block.value(i), value);
            assert!(block.has_tag(i, key_hash(block.keyspace(), key)));
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert!(open_data_block(&file, SEGMENT, OFFSET, damaged).unwrap_err().is_corruption());
    }
}

/// A get would not find the key, and an iterator would: who looks through all entries says so.
#[test]
fn a_wrong_tag_is_noticed_where_all_entries_are_looked_at() {
    let rows = uniform_rows(20);
    for wrong in [None, Some(0), Some(7), Some(19)] {
        let mut builder = BlockBuilder::default();
        for (i, row) in rows.iter().enumerate() {
            let hash = key_hash(KeyspaceId(row.keyspace), &row.key);
            let hash = if Some(i) == wrong { !hash } else { hash };
            assert!(builder.add(&row.entry(), hash, usize::MAX));
        }
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        let whole = 0..bytes.len();
        let block = Block::decode(bytes, whole).unwrap();
        let handle = BlockHandle { offset: OFFSET, len: 100 };
        let result = Entries::new().add(&block, handle, |_, _| {});
        assert_eq!(result.err(), wrong);
    }
}
