//! What a database says about its segments, for people and for the shell.

use super::Engine;
use crate::ids::{KeyspaceId, Sequence};
use crate::runs::SegmentRef;

/// One segment file of a database, from [`Db::segments`](crate::Db::segments).
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("a", "")?;
/// db.put("z", "")?;
/// db.flush()?;
/// let [segment] = &db.segments()[..] else { panic!("one segment") };
/// assert_eq!((&segment.first_key[..], &segment.last_key[..]), (&b"a"[..], &b"z"[..]));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The run that it is part of. Runs are numbered in the order in which they were made.
    pub run: u64,
    /// Place of that run among all, 0 for the newest. For each key, versions in a run of lower age
    /// are newer.
    pub age: usize,
    /// The number in its file's name.
    pub number: u64,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// Bytes of the keys and values in it, as they were written: more than `bytes` if compression
    /// has helped.
    pub raw_bytes: u64,
    /// Data blocks in it.
    pub blocks: u64,
    /// Versions in it, tombstones included.
    pub entries: u64,
    /// Tombstones in it.
    pub tombstones: u64,
    /// Name of the keyspace of its first key; `#` and a number for one that is forgotten.
    pub first_keyspace: String,
    /// The first key.
    pub first_key: Vec<u8>,
    /// Name of the keyspace of its last key.
    pub last_keyspace: String,
    /// The last key, inclusive.
    pub last_key: Vec<u8>,
    /// Sequence of its oldest version.
    pub smallest: Sequence,
    /// Sequence of its newest version.
    pub largest: Sequence,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Bytes of memory that its index and filter take for as long as the database is open.
    pub pinned_bytes: u64,
}

impl Engine {
    /// Every segment of this moment, newest run first, in key order within a run.
    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        let view = self.core.view.load_full();
        let mut infos = Vec::new();
        for (age, run) in view.segments.runs.iter().enumerate() {
            infos.extend(run.segments.iter().map(|part| self.segment_info(run.id.0, age, part)));
        }
        infos
    }

    fn segment_info(&self, run: u64, age: usize, part: &SegmentRef) -> SegmentInfo {
        let segment = &part.segment;
        let properties = segment.properties();
        SegmentInfo {
            run,
            age,
            number: segment.number().0,
            bytes: segment.bytes(),
            raw_bytes: properties.raw_bytes,
            blocks: properties.data_blocks,
            entries: properties.entries(),
            tombstones: properties.tombstones,
            first_keyspace: self.keyspace_name(part.first.keyspace),
            first_key: part.first.key.clone(),
            last_keyspace: self.keyspace_name(part.last.keyspace),
            last_key: part.last.key.clone(),
            smallest: properties.smallest,
            largest: properties.largest,
            created_ms: properties.created_ms,
            pinned_bytes: segment.pinned_bytes() as u64,
        }
    }

    fn keyspace_name(&self, id: KeyspaceId) -> String {
        let known = self.core.keyspaces.by_id(id);
        known.map_or_else(|| format!("#{}", id.0), |state| state.name.clone())
    }
}
