//! Segments: immutable sorted files, their writer, their reader and the cache of their blocks.
//!
//! A segment knows entries and sequences; it knows no snapshot, no run and no memtable. Background
//! threads write segments and evict their blocks; any thread reads them.
//!
//! A file is: header · data blocks · filter block · index block · properties block · footer. Each
//! part has its byte table in `format/`. An open segment is its file, which owns the cached blocks,
//! and the tables that find them: these are replaced as a whole, by another segment over the same
//! file.

mod cache;
mod clock;
mod cursor;
mod file;
mod parts;
mod probe;
mod reader;
mod scan;
pub(crate) mod skips;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::path::{Path, PathBuf};

use crate::ids::FileNumber;

pub(crate) use cache::{BlockCache, CachedBlock};
pub(crate) use clock::ClockHand;
pub(crate) use cursor::SegmentCursor;
pub(crate) use file::SegmentFile;
pub(crate) use parts::Expect;
pub(crate) use reader::{Segment, SegmentHit};
pub(crate) use skips::Skips;
pub(crate) use source::SegmentSource;
pub(crate) use tables::Tables;
pub(crate) use writer::{FinishedSegment, SegmentWriter, SegmentWriterOptions};

/// The longest value that a read copies out; a longer one shares its block.
const VALUE_COPY_BYTES_MAX: usize = 256;

/// The path of the segment file with this number.
pub(crate) fn segment_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(format!("{:06}.seg", number.0))
}
