//! Golden bytes and damage, for manifest headers and edits.

use super::*;
use crate::options::{Compression, KeyspaceOptions};

fn bound(keyspace: u32, key: &[u8]) -> BoundKey {
    BoundKey { keyspace: KeyspaceId(keyspace), key: key.to_vec() }
}

fn run() -> RunMeta {
    let segment = SegmentMeta {
        number: FileNumber(5),
        uuid: Uuid(*b"fedcba9876543210"),
        bytes: 300,
        entries: 9,
        first: bound(0, b"a"),
        last: bound(1, b"zz"),
        smallest: Sequence(10),
        largest: Sequence(20),
        created_ms: 1000,
    };
    let whole = SegmentRefMeta { segment: segment.clone(), from: None, to: Some(bound(0, b"c")) };
    let part = SegmentRefMeta { segment, from: Some(bound(0, b"m")), to: None };
    RunMeta { id: RunId(3), segments: vec![whole, part], sequence_override: Some(Sequence(7)) }
}

fn keyspace() -> KeyspaceMeta {
    KeyspaceMeta {
        id: KeyspaceId(2),
        name: "users".to_owned(),
        options: KeyspaceOptions {
            filter_bits: 10,
            block_bytes: 4096,
            compression: Compression::Auto,
        },
        created_at: Sequence(4),
        dropped_at: Some(Sequence(6)),
    }
}

/// One edit with every change in it.
fn sample() -> Edit {
    let changes = vec![
        Change::AddKeyspace(keyspace()),
        Change::DropKeyspace { id: KeyspaceId(2), at: Sequence(300) },
        Change::ForgetKeyspace { id: KeyspaceId(2) },
        Change::AddRun(run()),
        Change::ReplaceRuns { remove: vec![RunId(1), RunId(2)], add: vec![run()] },
        Change::LogFloor { number: LogNumber(8), exists: true },
        Change::SequenceCeiling(Sequence(1 << 32)),
        Change::RenameKeyspace { id: KeyspaceId(300), name: "new".to_owned() },
    ];
    Edit { time_ms: 128, changes }
}

#[test]
fn golden_edit() {
    let segment = b"\x05fedcba9876543210\xac\x02\x09\0\x01a\x01\x02zz\x0a\x14\xe8\x07";
    let run = [b"\x03\x01\x07\x02\x02", &segment[..], b"\0\x01c\x01", segment, b"\0\x01m"].concat();
    let keyspace = b"\x02\x05users\x04\x0a\x80\x20\x02\x04\x01\x06";
    let mut want = vec![0x80, 1];
    want.extend_from_slice(&[1, keyspace.len() as u8]);
    want.extend_from_slice(keyspace);
    want.extend_from_slice(&[2, 3, 2, 0xac, 2]);
    want.extend_from_slice(&[3, 1, 2]);
    want.extend_from_slice(&[4, run.len() as u8]);
    want.extend_from_slice(&run);
    want.extend_from_slice(&[5, run.len() as u8 + 4, 2, 1, 2, 1]);
    want.extend_from_slice(&run);
    want.extend_from_slice(&[6, 2, 8, 1]);
    want.extend_from_slice(&[7, 5, 0x80, 0x80, 0x80, 0x80, 0x10]);
    want.extend_from_slice(b"\x09\x06\xac\x02\x03new");
    assert_eq!(sample().encode(), want);
    assert_eq!(Edit::decode(&want), Ok(sample()));
}

#[test]
fn cut_edits_are_malformed_unless_cut_between_changes() {
    let sample = sample();
    let bytes = sample.encode();
    let whole: Vec<usize> = (0..=sample.changes.len())
        .map(|count| {
            let changes = sample.changes[..count].to_vec();
            Edit { time_ms: sample.time_ms, changes }.encode().len()
        })
        .collect();
    for len in 0..bytes.len() {
        assert_eq!(Edit::decode(&bytes[..len]).is_ok(), whole.contains(&len), "cut to {len}");
    }
}

/// The record's hash protects an edit; without it damage must still cause no panic.
/// I19.
#[test]
fn damaged_edits_never_panic() {
    let bytes = sample().encode();
    for at in 0..bytes.len() {
        for byte in 0..=255 {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            if let Ok(edit) = Edit::decode(&damaged) {
                assert_eq!(
                    edit.encode(),
                    damaged,
                    "byte {at} as {byte}: two spellings of one edit"
                );
            }
        }
    }
}

#[test]
fn what_a_newer_version_adds_is_told_as_newer() {
    let check = |bytes: &[u8], what: &str| {
        assert!(Edit::decode(bytes).unwrap_err().newer, "{what}");
    };
    check(&[0, 10, 0], "change 10");
    check(b"\0\x01\x0d\x02\x05users\x03\x0a\x80\x20\x04\x02", "a keyspace flag");
    check(b"\0\x01\x0e\x02\x05users\x04\x0a\x80\x20\0\x04\0", "a compression");
    check(b"\0\x01\x0e\x02\x05users\x04\x0a\x80\x20\x03\x04\0", "a compression");
    check(b"\0\x01\x0f\x02\x05users\x05\x0a\x80\x20\x02\0\x04\0", "a keyspace option");
    check(&[0, 4, 3, 3, 2, 0], "a run flag");
}

#[test]
fn a_huge_count_costs_nothing() {
    let mut payload = Vec::new();
    put_varint(&mut payload, u64::MAX);
    let mut bytes = vec![0, 5];
    put_bytes(&mut bytes, &payload);
    assert!(Edit::decode(&bytes).is_err());
}

#[test]
fn bounds_may_be_one_byte_longer_than_keys() {
    let with_key = |len: usize| {
        let mut run = run();
        run.segments[0].to = Some(bound(0, &vec![b'b'; len]));
        Edit { time_ms: 0, changes: vec![Change::AddRun(run)] }.encode()
    };
    assert!(Edit::decode(&with_key(65_536)).is_ok());
    assert!(Edit::decode(&with_key(65_537)).is_err());
}

const HEADER_SAMPLE: ManifestHeader = ManifestHeader {
    uuid: Uuid(*b"0123456789abcdef"),
    number: FileNumber(7),
    salt: 0x1122_3344_5566_7788,
    read_only_compatible: false,
};
const GOLDEN_SUM: u64 = 0x3875_0718_63be_5b8f;

fn rechecked(mut bytes: [u8; MANIFEST_HEADER_BYTES]) -> [u8; MANIFEST_HEADER_BYTES] {
    let sum = checksum(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn golden_header() {
    let mut want = b"ALLUVMAN\x01\0\0\0\x01\0\0\0".to_vec();
    want.resize(32, 0);
    want.extend_from_slice(b"\x01\0\0\0\0\0\0\0");
    want.extend_from_slice(b"0123456789abcdef\x07\0\0\0\0\0\0\0");
    want.extend_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    want.resize(88, 0);
    want.extend_from_slice(&GOLDEN_SUM.to_le_bytes());
    assert_eq!(HEADER_SAMPLE.encode()[..], want);
    assert_eq!(ManifestHeader::decode(&want), Ok(HEADER_SAMPLE));
}

#[test]
fn truncation_and_every_flipped_bit_of_a_header_are_malformed() {
    let bytes = HEADER_SAMPLE.encode();
    for len in 0..bytes.len() {
        assert!(ManifestHeader::decode(&bytes[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!ManifestHeader::decode(&damaged).unwrap_err().newer, "bit {bit}");
    }
}

#[test]
fn unknown_features_refuse_what_they_must() {
    let with = |at: usize, byte: u8| {
        let mut bytes = HEADER_SAMPLE.encode();
        bytes[at] = byte;
        ManifestHeader::decode(&rechecked(bytes))
    };
    assert_eq!(with(16, 1), Ok(HEADER_SAMPLE));
    // As the first version wrote it: log files are `*.log`.
    assert_eq!(with(32, 0), Ok(HEADER_SAMPLE));
    assert_eq!(with(24, 1), Ok(ManifestHeader { read_only_compatible: true, ..HEADER_SAMPLE }));
    for (at, byte) in [(8, 2), (12, 2), (32, 2), (32, 3), (39, 2)] {
        assert!(with(at, byte).unwrap_err().newer, "byte {at}");
    }
    for at in (13..16).chain(72..88) {
        assert!(!with(at, 1).unwrap_err().newer, "byte {at}");
    }
}

#[test]
fn compression_is_kept_with_a_keyspace_and_left_out_if_there_is_none() {
    let encoded = |compression| {
        let mut keyspace = keyspace();
        keyspace.options.compression = compression;
        let edit = Edit { time_ms: 0, changes: vec![Change::AddKeyspace(keyspace)] };
        let bytes = edit.encode();
        assert_eq!(Edit::decode(&bytes), Ok(edit));
        bytes
    };
    assert_eq!(encoded(Compression::Auto)[10..15], [4, 10, 0x80, 0x20, 2]);
    assert_eq!(encoded(Compression::Lz4)[10..15], [4, 10, 0x80, 0x20, 1]);
    // What was written before there was compression.
    let before = b"\0\x01\x0e\x02\x05users\x03\x0a\x80\x20\x04\x01\x06";
    assert_eq!(encoded(Compression::None), before);
}

#[test]
fn golden_edit_of_options() {
    let options = crate::options::KeyspaceOptions::new().filter_bits(3).block_bytes(512);
    let edit =
        Edit { time_ms: 1, changes: vec![Change::SetOptions { id: KeyspaceId(7), options }] };
    let want = b"\x01\x08\x06\x07\x04\x03\x80\x04\x02";
    assert_eq!(edit.encode(), want);
    assert_eq!(Edit::decode(want).unwrap(), edit);
}
