//! The record's bytes are pinned, and any others are refused.

use super::*;

fn record() -> BackupRecord {
    let segment = |number: u64, bytes| BackupSegment {
        number: FileNumber(number),
        uuid: Uuid([number as u8; 16]),
        bytes,
        checksum: 0x0102_0304_0506_0708,
    };
    BackupRecord {
        id: 7,
        time_ms: 300,
        sequence: Sequence(9),
        new_bytes: 128,
        label: "noon".to_owned(),
        state: b"state".to_vec(),
        segments: vec![segment(1, 5), segment(3, 6)],
    }
}

/// The record with a checksum that fits what `change` has made of it.
fn finished(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = record().encode();
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    change(&mut bytes);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn golden_bytes() {
    let segment = |number: u8, bytes: u8| {
        [&[number][..], &[number; 16], &[bytes], &[8, 7, 6, 5, 4, 3, 2, 1]].concat()
    };
    let want = [
        &b"ALLUVBAK\x01\0\0\0\0\0\0\0"[..],
        &[7, 0xac, 2, 9, 0x80, 1],
        b"\x04noon\x05state\x02",
        &segment(1, 5),
        &segment(3, 6),
    ]
    .concat();
    let bytes = record().encode();
    assert_eq!(bytes[..want.len()], want);
    assert_eq!(bytes[want.len()..], GOLDEN_SUM.to_le_bytes());
    assert_eq!(BackupRecord::decode(&bytes), Ok(record()));
}

const GOLDEN_SUM: u64 = 0x49c7_c967_3188_05ec;

/// I19.
#[test]
fn any_other_byte_or_length_is_malformed() {
    let bytes = record().encode();
    for len in 0..bytes.len() {
        assert!(BackupRecord::decode(&bytes[..len]).is_err(), "{len} bytes");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let error = BackupRecord::decode(&damaged).unwrap_err();
            assert!(!error.newer, "byte {at}: damage is no newer version");
        }
    }
}

/// I19: what a writer of bad records could make of it.
#[test]
fn any_bytes_under_a_sound_checksum_are_read_or_refused() {
    let len = record().encode().len() - CHECKSUM_BYTES;
    let mut refused = 0;
    for at in HEADER_BYTES..len {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            refused += usize::from(BackupRecord::decode(&finished(|it| it[at] = byte)).is_err());
        }
        assert!(BackupRecord::decode(&finished(|it| it.truncate(at))).is_err());
    }
    assert!(refused > 0);
    // A count of segments that no memory holds.
    let many = |it: &mut Vec<u8>| {
        it.truncate(HEADER_BYTES + 6 + 5 + 6);
        put_varint(it, u64::MAX);
    };
    assert!(BackupRecord::decode(&finished(many)).is_err());
    assert!(BackupRecord::decode(&finished(|it| it.push(0))).is_err());
}

#[test]
fn another_version_is_newer_and_numbers_ascend() {
    let newer = BackupRecord::decode(&finished(|it| it[8] = 2)).unwrap_err();
    assert!(newer.newer);
    let zeros = BackupRecord::decode(&finished(|it| it[13] = 2)).unwrap_err();
    assert!(!zeros.newer && zeros.at == 12);
    let mut twice = record();
    twice.segments[1].number = FileNumber(1);
    assert!(BackupRecord::decode(&twice.encode()).is_err());
}
