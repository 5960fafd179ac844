//! The earlier layout of a data block's payload, which this version reads and does not write: it
//! becomes rows as it is read, so that nothing else knows of it.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 4 | keyspace id |
//! | 4 | 4 | count *n* of entries, at least 1 |
//! | 8 | 2 | length *p* of the prefix that all keys share |
//! | 10 | 1 | width *k* of a key end, 2 or 4 |
//! | 11 | 1 | width *v* of a value end, 2 or 4 |
//! | 12 | 1 | width *s* of a sequence delta, 1, 2, 4 or 8 |
//! | 13 | 3 | zero |
//! | 16 | 8 | base sequence |
//! | 24 | p | the prefix |
//! | | n × k | key ends: where each key's suffix ends in the key area |
//! | | n × v | value ends: where each value ends in the value area |
//! | | n × s | sequence deltas: sequence minus base |
//! | | n × 1 | kinds |
//! | | last key end | key area: the keys without the prefix |
//! | | last value end | value area, to the end of the payload |

use super::builder::{is_wide, row_bytes};
use super::{Block, HEAD_BYTES, KIND_BITS, SPAN_END, tag};
use crate::format::Malformed;
use crate::format::coding::Decoder;
use crate::format::hash::key_hash;
use crate::format::key::{KIND_RESERVED_MAX, Kind};
use crate::ids::KeyspaceId;

const WHAT: &str = "data block in columns";

/// Checks a payload in columns, and makes a block in rows of it, which has memory of its own: less
/// than three times the payload's. Offsets in the error count from the beginning of the payload.
pub(crate) fn decode(payload: &[u8]) -> Result<Block, Malformed> {
    let columns = Columns::decode(payload)?;
    let rows = columns.to_rows()?;
    let whole = 0..rows.len();
    // What is still wrong is in a row. The offset is no place in the columns.
    Block::decode(rows, whole).map_err(|error| Malformed { at: 0, what: WHAT, ..error })
}

/// The areas of a payload, of the right lengths.
struct Columns<'a> {
    keyspace: u32,
    base: u64,
    prefix: &'a [u8],
    key_ends: Column<'a>,
    value_ends: Column<'a>,
    deltas: Column<'a>,
    kinds: &'a [u8],
    /// Key area and value area.
    rest: &'a [u8],
}

/// Little-endian numbers of one width.
#[derive(Clone, Copy)]
struct Column<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Column<'a> {
    fn numbers(self) -> impl DoubleEndedIterator<Item = u64> + use<'a> {
        self.bytes.chunks_exact(self.width).map(|number| {
            let mut word = [0; 8];
            word[..number.len()].copy_from_slice(number);
            u64::from_le_bytes(word)
        })
    }

    fn last(self) -> u64 {
        self.numbers().next_back().unwrap_or(0)
    }
}

impl<'a> Columns<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(payload, WHAT);
        let keyspace = decoder.u32()?;
        let count = decoder.u32()? as usize;
        let prefix_bytes = usize::from(decoder.u16()?);
        let [key_width, value_width, sequence_width, zeros @ ..] = decoder.array::<6>()?;
        let base = decoder.u64()?;
        if count == 0 || zeros != [0; 3] {
            let got = format!("{count} entries, {zeros:?}");
            return Err(Malformed::new(4, WHAT, "at least one entry, and zeros", got));
        }
        if ![2, 4].contains(&key_width)
            || ![2, 4].contains(&value_width)
            || ![1, 2, 4, 8].contains(&sequence_width)
        {
            let got = format!("{key_width}, {value_width}, {sequence_width}");
            return Err(Malformed::new(10, WHAT, "widths of 2 or 4, 2 or 4, 1, 2, 4 or 8", got));
        }
        let prefix = decoder.take(prefix_bytes)?;
        // Each is within the payload, or there is no block.
        let mut column = |width: u8| {
            let width = usize::from(width);
            let bytes = decoder.take(count.saturating_mul(width))?;
            Ok(Column { bytes, width })
        };
        let key_ends = column(key_width)?;
        let value_ends = column(value_width)?;
        let deltas = column(sequence_width)?;
        let kinds = column(1)?.bytes;
        let at = decoder.at();
        let rest = decoder.take(decoder.remaining())?;
        let columns = Self { keyspace, base, prefix, key_ends, value_ends, deltas, kinds, rest };
        columns.check(at)?;
        Ok(columns)
    }

    /// Checks what a row would not say, or not in full width.
    fn check(&self, keys_at: usize) -> Result<(), Malformed> {
        let keys = self.key_ends.last();
        let values = self.value_ends.last();
        let left = self.rest.len() as u64;
        let ascend = |column: Column<'_>| column.numbers().is_sorted();
        if keys + values != left || !ascend(self.key_ends) || !ascend(self.value_ends) {
            let want = format!("{left} bytes of keys and values, one after another");
            return Err(Malformed::new(keys_at, WHAT, want, format!("{keys} and {values}")));
        }
        if let Some(delta) = self.deltas.numbers().find(|&delta| delta >= SPAN_END) {
            let want = "sequences less than 2^61 apart";
            return Err(Malformed::new(keys_at, WHAT, want, delta.to_string()));
        }
        let known = |&kind: &u8| Kind::from_byte(kind).is_some();
        if let Some(i) = self.kinds.iter().position(|kind| !known(kind)) {
            let byte = self.kinds[i];
            let at = keys_at - self.kinds.len() + i;
            let unknown = Malformed::new(at, WHAT, "kind 1 or 2", byte.to_string());
            let reserved = (1..=KIND_RESERVED_MAX).contains(&byte);
            return Err(if reserved { unknown.newer() } else { unknown });
        }
        Ok(())
    }

    /// The same entries in rows.
    fn to_rows(&self) -> Result<Vec<u8>, Malformed> {
        let count = self.kinds.len();
        let keys = self.key_ends.last() as usize;
        let span = self.deltas.numbers().max().unwrap_or(0);
        let wide = is_wide(keys, self.rest.len() - keys, span);
        let width = row_bytes(wide);
        let others = self.prefix.len() + self.rest.len();
        let bytes = bytes_in_rows(count, width, others).ok_or_else(|| {
            let got = format!("{count} entries, and {others} bytes of keys and values");
            Malformed::new(4, WHAT, "less than what a block may take in memory", got)
        })?;
        let mut out = Vec::with_capacity(bytes);
        out.extend_from_slice(&self.keyspace.to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
        out.extend_from_slice(&(self.prefix.len() as u16).to_le_bytes());
        out.extend_from_slice(&[width as u8, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(self.prefix);
        let tags_at = out.len();
        let mut key = self.prefix.to_vec();
        let mut from = 0;
        for to in self.key_ends.numbers() {
            let to = to as usize;
            key.truncate(self.prefix.len());
            key.extend_from_slice(&self.rest[from..to]);
            out.push(tag(key_hash(KeyspaceId(self.keyspace), &key)));
            from = to;
        }
        out.resize(tags_at + count.next_multiple_of(8), 0);
        let ends = self.key_ends.numbers().zip(self.value_ends.numbers());
        let versions = self.deltas.numbers().zip(self.kinds);
        for ((key_end, value_end), (delta, &kind)) in ends.zip(versions) {
            let version = delta << KIND_BITS | u64::from(kind);
            if wide {
                out.extend_from_slice(&(key_end | value_end << 32).to_le_bytes());
                out.extend_from_slice(&version.to_le_bytes());
            } else {
                out.extend_from_slice(&(key_end | value_end << 16 | version << 32).to_le_bytes());
            }
        }
        out.extend_from_slice(self.rest);
        Ok(out)
    }
}

/// The length of a payload of so many rows, with `others` bytes beside them: less than 4 GiB, and
/// than what a process of 32 bits can take at once. The rows may be three times the columns.
pub(super) fn bytes_in_rows(count: usize, width: usize, others: usize) -> Option<usize> {
    let rows = count.checked_mul(width)?.checked_add(count.checked_next_multiple_of(8)?)?;
    let bytes = rows.checked_add(others)?.checked_add(HEAD_BYTES)?;
    (bytes <= (u32::MAX as usize).min(isize::MAX as usize)).then_some(bytes)
}
