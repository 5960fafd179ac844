//! Looking at one key without leaving a trace: for `explain`.

use super::reader::Segment;
use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::key::Kind;
use crate::ids::{KeyspaceId, SEQUENCE_MAX, Sequence};

/// What a segment holds of a key.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// The data blocks that had to be looked at, and whether each was in memory.
    pub(crate) blocks: Vec<(usize, bool)>,
    /// Every version, newest first, with the length of its value.
    pub(crate) versions: Vec<(Sequence, Kind, usize)>,
}

impl Segment {
    /// Every version of a key. Reads blocks that are not in memory, and neither keeps nor counts
    /// them. Does not ask the filter.
    pub(crate) fn probe(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Probe> {
        let file = self.file();
        let index = self.index();
        let mut probe = Probe::default();
        let mut i = index.find(keyspace, key);
        while i < index.len() && index.keyspace(i) == keyspace {
            let slot = file.slots.at(i).load();
            probe.blocks.push((i, slot.is_some()));
            let goes_on = match slot.as_ref() {
                Some(block) => probe.take(block, key),
                None => probe.take(&file.read_from_file(index, i)?, key),
            };
            if !goes_on {
                break;
            }
            i += 1;
        }
        Ok(probe)
    }
}

impl Probe {
    /// Takes the versions of a key from a block. Returns whether the next may have more: if this
    /// one ends with the key.
    fn take(&mut self, block: &Block, key: &[u8]) -> bool {
        let mut entry = block.search(key, SEQUENCE_MAX);
        while entry < block.len() && block.has_key(entry, key) {
            let version = (block.sequence(entry), block.kind(entry), block.value(entry).len());
            self.versions.push(version);
            entry += 1;
        }
        entry == block.len() && block.has_key(entry - 1, key)
    }
}
