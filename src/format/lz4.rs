//! LZ4 for the payload of one block: when it is worth it, and how far a stored length is believed.
//!
//! The bytes are one LZ4 block as its own specification has it (no frame, no length in front, no
//! dictionary); lengths and checksum are in the header of `block`. Which segments are compressed
//! at all is for `options` to say. Writers are background threads, readers any thread.

use std::fmt;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use super::Malformed;

/// The longest payload that is compressed: bounds what a reader allocates on the word of a header,
/// and what a writer needs on top of a huge value.
pub(crate) const LZ4_RAW_BYTES_MAX: u32 = 64 << 20;

/// No LZ4 block holds more than that many bytes for each of its own.
const RATIO_MAX: u64 = 255;

/// After as many payloads in a row that did not get shorter, most are not tried: an attempt on
/// noise costs up to a third of writing it.
const VAIN_MAX: u32 = 16;

/// One in that many is then tried all the same.
const TRIED_ONE_IN: u32 = 8;

/// Memory that a compressor keeps for the next block.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Compresses block after block with the same memory.
#[derive(Default)]
pub(crate) struct Compressor {
    table: CompressTable,
    out: Vec<u8>,
    /// Payloads in a row that were not worth it.
    vain: u32,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// The compressed form of a payload; `None` if that saves less than an eighth of it, which is
    /// not worth a decompression for each read, or if it is not tried after many that did not.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> Option<&[u8]> {
        self.vain = self.vain.saturating_add(1);
        let tried = self.vain <= VAIN_MAX || self.vain.is_multiple_of(TRIED_ONE_IN);
        if raw.len() > LZ4_RAW_BYTES_MAX as usize || !tried {
            return None;
        }
        self.out.truncate(KEPT_BYTES_MAX);
        self.out.shrink_to(KEPT_BYTES_MAX);
        let room = get_maximum_output_size(raw.len());
        if self.out.len() < room {
            self.out.resize(room, 0);
        }
        let len = compress_into_with_table(raw, &mut self.out, &mut self.table).ok()?;
        if !is_worth_it(len, raw.len()) {
            return None;
        }
        self.vain = 0;
        Some(&self.out[..len])
    }
}

/// Whether a payload of `raw` bytes is stored in `stored` bytes rather than as it is.
fn is_worth_it(stored: usize, raw: usize) -> bool {
    stored <= raw - raw / 8 && stored < raw
}

/// Whether a writer can have made `stored` bytes of `raw` bytes.
pub(crate) fn lengths_agree(stored: u32, raw: u32) -> bool {
    raw <= LZ4_RAW_BYTES_MAX
        && is_worth_it(stored as usize, raw as usize)
        && u64::from(raw) <= RATIO_MAX * u64::from(stored)
}

/// The `raw` bytes that `stored` holds; whether its length and theirs agree was asked before.
pub(crate) fn decompress(stored: &[u8], raw: u32) -> Result<Vec<u8>, Malformed> {
    let mut out = vec![0; raw as usize];
    match decompress_into(stored, &mut out) {
        Ok(len) if len == out.len() => Ok(out),
        Ok(len) => {
            Err(Malformed::new(0, "compressed block", format!("{raw} bytes"), len.to_string()))
        }
        Err(error) => {
            Err(Malformed::new(0, "compressed block", format!("{raw} bytes"), error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests;
