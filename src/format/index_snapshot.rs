//! A file with the tables of many segments, for an open that need not read each segment's own.
//!
//! Written whole, read whole. Only a copy: a segment that it does not name, or a lost file, costs
//! time and nothing else. All payloads are as in the segments themselves, without block headers.
//!
//! # Header
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic `ALLUVIDX` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | database uuid |
//! | 32 | 8 | compatible features: unknown bits change nothing |
//! | 40 | 8 | incompatible features: unknown bits forbid reading it |
//! | 48 | 8 | number of entries |
//! | 56 | 8 | length of the file |
//! | 64 | 8 | XXH3-64 of everything behind the header |
//! | 72 | 8 | XXH3-64 of bytes 0..72 |
//!
//! # Entry, one after another, numbers ascending
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | segment number |
//! | 8 | 16 | segment uuid |
//! | 24 | 8 | length of the segment file |
//! | 32 | 8 | length of the index payload |
//! | 40 | 8 | length of the filter payload, 0 for none |
//! | 48 | 8 | length of the properties payload |
//! | 56 | 8 | XXH3-64 of the payloads, seed XXH3-64 of bytes 0..56 |
//! | 64 | … | index ([`super::index`]), filter ([`super::filter`]), properties ([`super::properties`]) |
//!
//! The checksum of everything says whether the file is whole; that of an entry, where it is not.

use super::Malformed;
use super::coding::Decoder;
use super::hash::{checksum, checksum_seeded};
use crate::ids::{FileNumber, Uuid};

/// Length of the header.
pub(crate) const INDEX_SNAPSHOT_HEADER_BYTES: usize = 80;

const MAGIC: [u8; 8] = *b"ALLUVIDX";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = INDEX_SNAPSHOT_HEADER_BYTES - 8;
const ENTRY_HEAD_BYTES: usize = 64;
const WHAT: &str = "index snapshot";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexSnapshotHeader {
    pub(crate) database: Uuid,
    entries: u64,
    pub(crate) file_bytes: u64,
    sum: u64,
}

impl IndexSnapshotHeader {
    fn encode(&self) -> [u8; INDEX_SNAPSHOT_HEADER_BYTES] {
        let mut bytes = [0; INDEX_SNAPSHOT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.database.0);
        bytes[48..56].copy_from_slice(&self.entries.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.sum.to_le_bytes());
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header, before anything is allocated for the rest.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let whole = Decoder::new(bytes, WHAT).array::<INDEX_SNAPSHOT_HEADER_BYTES>()?;
        let mut decoder = Decoder::new(&whole, WHAT);
        let magic = decoder.array::<8>()?;
        if magic != MAGIC {
            let want = MAGIC.escape_ascii();
            let got = magic.escape_ascii();
            return Err(Malformed::new(0, WHAT, want.to_string(), got.to_string()));
        }
        let want = checksum(&whole[..CHECKSUM_AT]);
        let got = Decoder::new(&whole[CHECKSUM_AT..], WHAT).u64()?;
        check_sum(CHECKSUM_AT, want, got)?;
        let version = decoder.u32()?;
        let zeros = decoder.u32()?;
        let database = Uuid(decoder.array()?);
        let _compatible = decoder.u64()?;
        let incompatible = decoder.u64()?;
        if version != VERSION || incompatible != 0 {
            let want = format!("version {VERSION}, no such features");
            let got = format!("version {version}, features {incompatible:#x}");
            return Err(Malformed::new(8, WHAT, want, got).newer());
        }
        if zeros != 0 {
            return Err(Malformed::new(12, WHAT, "zeros", format!("{zeros:#x}")));
        }
        let entries = decoder.u64()?;
        let file_bytes = decoder.u64()?;
        let sum = decoder.u64()?;
        Ok(Self { database, entries, file_bytes, sum })
    }
}

/// The tables of one segment, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry<'a> {
    pub(crate) number: FileNumber,
    pub(crate) uuid: Uuid,
    /// Length of the segment file.
    pub(crate) bytes: u64,
    pub(crate) index: &'a [u8],
    pub(crate) filter: Option<&'a [u8]>,
    pub(crate) properties: &'a [u8],
    /// Where the payloads begin in the file; set by decoding.
    pub(crate) at: u64,
}

/// Gathers entries, numbers ascending, and makes the file of them.
#[derive(Debug)]
pub(crate) struct IndexSnapshotBuilder {
    bytes: Vec<u8>,
    entries: u64,
}

impl IndexSnapshotBuilder {
    /// A file without entries.
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; INDEX_SNAPSHOT_HEADER_BYTES], entries: 0 }
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, entry: &IndexEntry<'_>) {
        let head_at = self.bytes.len();
        let filter = entry.filter.unwrap_or_default();
        self.bytes.extend_from_slice(&entry.number.0.to_le_bytes());
        self.bytes.extend_from_slice(&entry.uuid.0);
        self.bytes.extend_from_slice(&entry.bytes.to_le_bytes());
        for part in [entry.index, filter, entry.properties] {
            self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        }
        let head = checksum(&self.bytes[head_at..]);
        self.bytes.extend_from_slice(&[0; 8]);
        let body_at = self.bytes.len();
        for part in [entry.index, filter, entry.properties] {
            self.bytes.extend_from_slice(part);
        }
        let sum = checksum_seeded(&self.bytes[body_at..], head);
        self.bytes[body_at - 8..body_at].copy_from_slice(&sum.to_le_bytes());
        self.entries += 1;
    }

    /// The file's bytes.
    pub(crate) fn finish(mut self, database: Uuid) -> Vec<u8> {
        let sum = checksum(&self.bytes[INDEX_SNAPSHOT_HEADER_BYTES..]);
        let file_bytes = self.bytes.len() as u64;
        let header = IndexSnapshotHeader { database, entries: self.entries, file_bytes, sum };
        self.bytes[..INDEX_SNAPSHOT_HEADER_BYTES].copy_from_slice(&header.encode());
        self.bytes
    }
}

/// Reads a whole file. All of it is checked but the payloads' own structure.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Uuid, Vec<IndexEntry<'_>>), Malformed> {
    let header = IndexSnapshotHeader::decode(bytes)?;
    if header.file_bytes != bytes.len() as u64 {
        let want = format!("{} bytes", header.file_bytes);
        let got = bytes.len().to_string();
        return Err(Malformed::new(56, WHAT, want, got));
    }
    let mut decoder = Decoder::new(bytes, WHAT);
    decoder.take(INDEX_SNAPSHOT_HEADER_BYTES)?;
    let mut entries: Vec<IndexEntry<'_>> = Vec::new();
    for _ in 0..header.entries {
        let at = decoder.at();
        let entry = decode_entry(&mut decoder, bytes)?;
        if entries.last().is_some_and(|last| last.number >= entry.number) {
            let got = entry.number.0.to_string();
            return Err(Malformed::new(at, WHAT, "ascending segment numbers", got));
        }
        entries.push(entry);
    }
    decoder.finish()?;
    check_sum(64, checksum(&bytes[INDEX_SNAPSHOT_HEADER_BYTES..]), header.sum)?;
    Ok((header.database, entries))
}

fn decode_entry<'a>(
    decoder: &mut Decoder<'a>,
    bytes: &'a [u8],
) -> Result<IndexEntry<'a>, Malformed> {
    let at = decoder.at();
    let number = FileNumber(decoder.u64()?);
    let uuid = Uuid(decoder.array()?);
    let file_bytes = decoder.u64()?;
    let mut lens = [0; 3];
    for len in &mut lens {
        // A length beyond memory is beyond the end of the file too.
        *len = usize::try_from(decoder.u64()?).unwrap_or(usize::MAX);
    }
    let got = decoder.u64()?;
    let body_at = decoder.at();
    debug_assert_eq!(body_at - at, ENTRY_HEAD_BYTES);
    let parts = [decoder.take(lens[0])?, decoder.take(lens[1])?, decoder.take(lens[2])?];
    let want = checksum_seeded(&bytes[body_at..decoder.at()], checksum(&bytes[at..body_at - 8]));
    check_sum(body_at - 8, want, got)?;
    let [index, filter, properties] = parts;
    let filter = Some(filter).filter(|filter| !filter.is_empty());
    let at = body_at as u64;
    Ok(IndexEntry { number, uuid, bytes: file_bytes, index, filter, properties, at })
}

fn check_sum(at: usize, want: u64, got: u64) -> Result<(), Malformed> {
    if want == got {
        return Ok(());
    }
    let want = format!("checksum {want:016x}");
    let got = format!("{got:016x}");
    Err(Malformed::new(at, WHAT, want, got))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: Uuid = Uuid(*b"0123456789abcdef");

    fn entry(number: u64, filter: Option<&'static [u8]>) -> IndexEntry<'static> {
        let index = &b"index"[..];
        let properties = &b"prop"[..];
        let uuid = Uuid([number as u8; 16]);
        let number = FileNumber(number);
        IndexEntry { number, uuid, bytes: 1000, index, filter, properties, at: 0 }
    }

    fn file(entries: &[IndexEntry<'_>]) -> Vec<u8> {
        let mut builder = IndexSnapshotBuilder::new();
        entries.iter().for_each(|entry| builder.add(entry));
        builder.finish(DATABASE)
    }

    fn sample() -> Vec<u8> {
        file(&[entry(2, Some(b"filter")), entry(7, None)])
    }

    /// Makes the checksums that cover a changed header agree again.
    fn recheck(bytes: &mut [u8]) {
        let sum = checksum(&bytes[INDEX_SNAPSHOT_HEADER_BYTES..]);
        bytes[64..72].copy_from_slice(&sum.to_le_bytes());
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..INDEX_SNAPSHOT_HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn golden_bytes() {
        let bytes = sample();
        let mut want = b"ALLUVIDX\x01\0\0\0\0\0\0\x000123456789abcdef".to_vec();
        want.extend_from_slice(&[0; 16]);
        want.extend_from_slice(b"\x02\0\0\0\0\0\0\0\xe8\0\0\0\0\0\0\0");
        assert_eq!(bytes[..64], want);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!((word(64), word(72)), (GOLDEN_SUMS[0], GOLDEN_SUMS[1]));
        let mut want = b"\x02\0\0\0\0\0\0\0".to_vec();
        want.extend_from_slice(&[2; 16]);
        want.extend_from_slice(b"\xe8\x03\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0");
        want.extend_from_slice(b"\x04\0\0\0\0\0\0\0");
        assert_eq!(bytes[80..136], want);
        assert_eq!(word(136), GOLDEN_SUMS[2]);
        assert_eq!(&bytes[144..159], b"indexfilterprop");
        let (database, entries) = decode(&bytes).unwrap();
        let first = entry(2, Some(b"filter"));
        let second = entry(7, None);
        let want = [IndexEntry { at: 144, ..first }, IndexEntry { at: 223, ..second }];
        assert_eq!((database, entries), (DATABASE, want.to_vec()));
        assert_eq!(decode(&file(&[])), Ok((DATABASE, Vec::new())));
    }

    const GOLDEN_SUMS: [u64; 3] =
        [0xa530_a1fd_73af_1bd6, 0xd313_1b6f_4771_e19b, 0xa00c_50ca_6cff_04cf];

    #[test]
    fn truncation_extension_and_every_flipped_bit_are_malformed() {
        let bytes = sample();
        for len in 0..bytes.len() {
            assert!(!decode(&bytes[..len]).unwrap_err().newer, "cut to {len}");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!decode(&damaged).unwrap_err().newer, "bit {bit}");
        }
    }

    #[test]
    fn a_sound_file_of_a_newer_version_is_told_as_newer() {
        for (at, newer) in [(8, Some(true)), (12, Some(false)), (32, None), (40, Some(true))] {
            let mut bytes = sample();
            bytes[at] += 1;
            recheck(&mut bytes);
            assert_eq!(decode(&bytes).err().map(|error| error.newer), newer, "byte {at}");
        }
    }

    #[test]
    fn entries_out_of_order_are_malformed_and_lengths_are_checked_before_they_are_used() {
        for numbers in [[7, 2], [7, 7]] {
            assert!(decode(&file(&numbers.map(|number| entry(number, None)))).is_err());
        }
        for at in [32, 40, 48] {
            let mut bytes = sample();
            bytes[80 + at..80 + at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            recheck(&mut bytes);
            assert!(decode(&bytes).is_err());
        }
        let mut bytes = sample();
        bytes[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
        recheck(&mut bytes);
        assert!(decode(&bytes).is_err());
    }
}
