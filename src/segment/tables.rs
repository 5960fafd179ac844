//! What a segment keeps in memory to find and judge its blocks: index, filter, properties.
//!
//! Three ways to get them, with the same result: from the segment's own blocks, from a copy that
//! was saved elsewhere, and by a pass over the data blocks (`scan`).

use super::parts::read_part;
use crate::error::Result;
use crate::format::Malformed;
use crate::format::block::BlockType;
use crate::format::filter::Filter;
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::index::Index;
use crate::format::properties::Properties;
use crate::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::ids::Uuid;
use crate::io::NamedFile;

/// Index, filter and properties of one segment.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(super) index: Index,
    pub(super) filter: Option<Filter>,
    pub(super) properties: Properties,
}

impl Tables {
    /// Reads what the segment itself has stored.
    pub(super) fn read(file: &NamedFile, uuid: Uuid, footer: &Footer) -> Result<Self> {
        let meta_end = footer.file_bytes - FOOTER_BYTES as u64;
        let index = read_part(file, uuid, footer.index, BlockType::Index, |payload| {
            Index::decode(payload, SEGMENT_HEADER_BYTES as u64, meta_end)
        })?;
        let filter = footer
            .filter
            .map(|handle| read_part(file, uuid, handle, BlockType::Filter, Filter::decode));
        let filter = filter.transpose()?;
        let properties = Self::read_properties(file, uuid, footer)?;
        if properties.data_blocks != index.len() as u64 {
            let want = format!("{} data blocks", index.len());
            let got = properties.data_blocks.to_string();
            return Err(file.corruption(footer.properties.offset, "properties", want, got));
        }
        Ok(Self { index, filter, properties })
    }

    pub(super) fn read_properties(
        file: &NamedFile,
        uuid: Uuid,
        footer: &Footer,
    ) -> Result<Properties> {
        read_part(file, uuid, footer.properties, BlockType::Properties, Properties::decode)
    }

    /// Reads a copy of what a segment file of `bytes` bytes has stored.
    pub(crate) fn decode(
        index: &[u8],
        filter: Option<&[u8]>,
        properties: &[u8],
        bytes: u64,
    ) -> Result<Self, Malformed> {
        let to = bytes.saturating_sub(FOOTER_BYTES as u64);
        let index = Index::decode(index, SEGMENT_HEADER_BYTES as u64, to)?;
        let filter = filter.map(Filter::decode).transpose()?;
        let properties = Properties::decode(properties)?;
        if properties.data_blocks != index.len() as u64 {
            let want = index.len().to_string();
            let got = properties.data_blocks.to_string();
            return Err(Malformed::new(0, "properties", format!("{want} data blocks"), got));
        }
        Ok(Self { index, filter, properties })
    }

    /// The payloads that [`Self::decode`] reads: index, filter, properties.
    pub(crate) fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>, Vec<u8>) {
        let mut index = Vec::new();
        let mut properties = Vec::new();
        self.index.encode(&mut index);
        let filter = self.filter.as_ref().map(|filter| {
            let mut out = Vec::new();
            filter.encode(&mut out);
            out
        });
        self.properties.encode(&mut properties);
        (index, filter, properties)
    }

    /// Memory of index and filter.
    pub(super) fn memory_bytes(&self) -> usize {
        self.index.memory_bytes() + self.filter.as_ref().map_or(0, Filter::bytes)
    }
}
