//! Verification: nothing in a sound file, and something for every damaged byte and every table that
//! would lose a key.

use super::*;
use crate::error::Error;
use crate::format::hash::key_hash;

fn verify(segment: &Segment) -> (u64, Vec<Error>) {
    let mut errors = Vec::new();
    let verified = segment.verify(DATABASE, &mut |error| errors.push(error));
    (verified.blocks, errors)
}

fn rows() -> Vec<Row> {
    let mut rows = uniform_rows(9);
    let key = rows[5].key.clone();
    // A key that goes on over several blocks, and another keyspace.
    rows.splice(5..6, (0..6).map(|n| Row::new(0, &key, 5_000 - n, Some(&[n as u8; 60]))));
    rows.push(Row::new(7, b"", 1, None));
    assert!(rows.is_sorted());
    rows
}

#[test]
fn every_damaged_byte_is_reported_while_the_file_is_open() {
    both(options(256, 10)).into_iter().for_each(check_every_byte);
}

fn check_every_byte(options: SegmentWriterOptions) {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &rows(), options);
    let path = segment_path(dir.path(), finished.number);
    let sound = std::fs::read(&path).unwrap();
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let blocks = segment.index().len() as u64;
    assert_eq!((verify(&segment).0, verify(&segment).1.len()), (blocks, 0));
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x20;
        std::fs::write(&path, &damaged).unwrap();
        let (found, errors) = verify(&segment);
        assert_eq!(errors.len(), 1, "byte {at}: {errors:?}");
        assert!(errors[0].is_corruption() && found >= blocks - 1, "byte {at}");
    }
    std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    assert!(!verify(&segment).1.is_empty());
}

#[test]
fn each_damaged_block_is_reported_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &rows(), options(512, 10));
    let path = segment_path(dir.path(), finished.number);
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let blocks = segment.index().len();
    let doomed: Vec<_> = (0..blocks).step_by(2).map(|i| segment.index().handle(i).offset).collect();
    doomed.iter().for_each(|&offset| bytes[offset as usize + 40] ^= 1);
    std::fs::write(&path, &bytes).unwrap();
    let (sound, errors) = verify(&segment);
    assert_eq!((sound as usize, errors.len()), (blocks - doomed.len(), doomed.len()));
}

/// The planted faults: tables that would lose a key, each in one way.
#[test]
fn tables_that_lose_a_key_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &rows(), options(512, 10));
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let (index, filter, properties) = segment.tables().encode();
    let filter = filter.unwrap();
    let with = |index: &[u8], filter: &[u8]| {
        let tables = Tables::decode(index, Some(filter), &properties, segment.bytes()).unwrap();
        segment.with_tables(tables).unwrap()
    };
    assert_eq!(verify(&with(&index, &filter)).1.len(), 0);

    let mut forgetful = filter.clone();
    forgetful[8..].fill(0);
    let forgetful = with(&index, &forgetful);
    assert!(!forgetful.may_contain(key_hash(KeyspaceId(0), &rows()[0].key)));
    let (_, errors) = verify(&forgetful);
    // It differs from the stored one, and it loses a key.
    assert!(errors.len() == 2 && errors[1].to_string().contains("filter"), "{errors:?}");
    assert!(errors[1].to_string().contains("to find key-000000000000 in block 0"));

    // The first separator lowered by one: the last key of its block is sought in the next one.
    let mut astray = index.clone();
    let end = segment.index().separator(0).len();
    let at = index.len()
        - (0..segment.index().len()).map(|i| segment.index().separator(i).len()).sum::<usize>();
    astray[at + end - 1] -= 1;
    let (_, errors) = verify(&with(&astray, &filter));
    assert!(errors.len() == 2 && errors[1].to_string().contains("index"), "{errors:?}");
}
