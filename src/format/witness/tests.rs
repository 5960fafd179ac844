//! Witnesses round trip, and damage is refused.

use super::*;

fn slot(turn: u64, claim: Claim) -> WitnessSlot {
    WitnessSlot { uuid: Uuid(*b"0123456789abcdef"), turn, claim }
}

fn nothing() -> WitnessSlot {
    slot(0, Claim::Nothing)
}

fn log(turn: u64) -> WitnessSlot {
    slot(turn, Claim::Log { log: LogNumber(3), synced: LogPosition(0x1000 + turn) })
}

fn manifest(turn: u64) -> WitnessSlot {
    slot(turn, Claim::Manifest { manifest: FileNumber(7), edits: 20 + turn })
}

fn file(slots: &[WitnessSlot]) -> Vec<u8> {
    let mut bytes = vec![0; WITNESS_BYTES];
    for slot in slots {
        let at = slot.offset() as usize;
        bytes[at..at + WITNESS_SLOT_BYTES].copy_from_slice(&slot.encode());
    }
    bytes
}

#[test]
fn golden_bytes() {
    let mut want = b"ALLUVWIT\x01\0\0\0\x01\0\0\x000123456789abcdef".to_vec();
    want.extend_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    want.extend_from_slice(&[5, 0x10, 0, 0, 0, 0, 0, 0]);
    want.extend_from_slice(&GOLDEN_SUM.to_le_bytes());
    assert_eq!(log(5).encode()[..], want);
    assert_eq!(manifest(1).encode()[12..16], [2, 0, 0, 0]);
    assert_eq!(manifest(1).encode()[40..56], [7, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 0, 0, 0, 0]);
}

const GOLDEN_SUM: u64 = 0x1539_b8f7_9698_72b2;

#[test]
fn claims_take_turns_in_two_slots_of_their_kind() {
    let slots = [nothing(), log(0), log(1), log(2), manifest(0), manifest(1)];
    let offsets = slots.map(|slot| slot.offset());
    assert_eq!(offsets, [0, 512, 1024, 512, 1536, 2048]);
    let slots = [nothing(), log(2), log(1), manifest(4), manifest(3)];
    assert_eq!(decode_witness(&file(&slots)), Ok(slots.to_vec()));
    assert_eq!(decode_witness(&file(&[])), Ok(Vec::new()));
    assert_eq!(decode_witness(&[]), Ok(Vec::new()));
}

#[test]
fn damage_takes_one_claim_and_a_file_without_any_is_malformed() {
    let sound = file(&[nothing(), manifest(0)]);
    for bit in 0..WITNESS_SLOT_BYTES * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode_witness(&bytes), Ok(vec![manifest(0)]), "bit {bit}");
        bytes[1536] ^= 1;
        let malformed = decode_witness(&bytes).unwrap_err();
        assert!(!malformed.newer, "bit {bit}");
    }
    for len in 0..sound.len() {
        let found = decode_witness(&sound[..len]);
        match len {
            0 => assert_eq!(found, Ok(Vec::new())),
            1..64 => assert!(found.is_err(), "cut to {len}"),
            64..1600 => assert_eq!(found, Ok(vec![nothing()]), "cut to {len}"),
            _ => assert_eq!(found, Ok(vec![nothing(), manifest(0)]), "cut to {len}"),
        }
    }
}

#[test]
fn a_sound_claim_of_a_newer_version_is_told_as_newer() {
    for at in [8, 12] {
        let mut bytes = file(&[nothing(), log(1)]);
        bytes[at] += 3;
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..WITNESS_SLOT_BYTES].copy_from_slice(&sum.to_le_bytes());
        assert!(decode_witness(&bytes).unwrap_err().newer, "byte {at}");
    }
}
