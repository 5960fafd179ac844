//! What a database says about its runs and segments, for people and for the shell.
//!
//! On the caller's thread, from one view; nothing here is asked by reads, writes or merges.

use crate::engine::Engine;
use crate::ids::{KeyspaceId, RunId, Sequence};
use crate::runs::{Run, SegmentRef};

/// One run of a database, from [`Db::runs`](crate::Db::runs): segments that do not overlap, in key
/// order, made by a flush or by merges.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// db.flush()?;
/// let [run] = &db.runs()[..] else { panic!("one run") };
/// assert_eq!((run.age, run.segments, run.trimmed), (0, 1, 0));
/// assert_eq!((run.entries, run.tombstones), (1, 0));
/// assert!(run.bytes < run.file_bytes && !run.merging);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its number, given in the order in which runs were made. A merge goes on under the number of
    /// the older run.
    pub id: u64,
    /// Its place among all, 0 for the newest. For each key, versions in a run of lower age are
    /// newer.
    pub age: u64,
    /// Segments in it. One of which a merge has taken the middle out counts as two.
    pub segments: u64,
    /// How many of these a merge under way, or one that was given up, has trimmed: of the file only
    /// a part still belongs to the run.
    pub trimmed: u64,
    /// Bytes of data blocks that belong to it.
    pub bytes: u64,
    /// Length of its files, with their filters and indexes and what trims keep out. A file of which
    /// two runs have a part counts in both.
    pub file_bytes: u64,
    /// Versions in it, tombstones included. Of a trimmed segment this is an estimate, by the share
    /// of its bytes.
    pub entries: u64,
    /// Tombstones in it, as exact as `entries`.
    pub tombstones: u64,
    /// Whether a merge of it has begun. It may be waiting for its turn.
    pub merging: bool,
}

/// One segment of a database, from [`Db::segments`](crate::Db::segments): a file, or the part of
/// one that belongs to a run.
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
    pub age: u64,
    /// The number in its file's name.
    pub number: u64,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// Bytes of the keys and values in it, as they were written: more than `bytes` if compression
    /// has helped.
    pub raw_bytes: u64,
    /// Bytes of the data blocks that can be met here: of all in the file, if it is not trimmed.
    pub used_bytes: u64,
    /// Whether a merge has trimmed it: of the file only what lies between `first_key` and
    /// `last_key` belongs to the run. The counts are those of the file.
    pub trimmed: bool,
    /// Data blocks in it.
    pub blocks: u64,
    /// Versions in it, tombstones included.
    pub entries: u64,
    /// Tombstones in it.
    pub tombstones: u64,
    /// Name of the keyspace of its first key; `#` and a number for one that is forgotten.
    pub first_keyspace: String,
    /// The first key, or from which key on the file belongs to the run.
    pub first_key: Vec<u8>,
    /// Name of the keyspace of its last key.
    pub last_keyspace: String,
    /// The last key, inclusive; or, with `last_excluded`, before which key the part ends.
    pub last_key: Vec<u8>,
    /// Whether a merge has trimmed the end off.
    pub last_excluded: bool,
    /// Sequence of its oldest version.
    pub smallest: Sequence,
    /// Sequence of its newest version.
    pub largest: Sequence,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Bytes of memory that its index and filter take for as long as the database is open.
    pub pinned_bytes: u64,
}

/// Every segment of this moment, newest run first, in key order within a run.
pub(crate) fn list_segments(engine: &Engine) -> Vec<SegmentInfo> {
    if engine.core.is_forked() {
        return Vec::new();
    }
    let view = engine.core.view.load_full();
    let mut infos = Vec::new();
    for (age, run) in view.segments.runs.iter().enumerate() {
        infos.extend(run.segments.iter().map(|part| segment_info(engine, run.id.0, age, part)));
    }
    infos
}

/// Every run of this moment, newest first.
pub(crate) fn list_runs(engine: &Engine) -> Vec<RunInfo> {
    if engine.core.is_forked() {
        return Vec::new();
    }
    // A job that ends in between has runs that the view may not have: those are passed over.
    let merging = engine.core.merges.merging();
    let view = engine.core.view.load_full();
    let runs = view.segments.runs.iter().enumerate();
    runs.map(|(age, run)| run_info(run, age, &merging)).collect()
}

fn segment_info(engine: &Engine, run: u64, age: usize, part: &SegmentRef) -> SegmentInfo {
    let segment = &part.segment;
    let properties = segment.properties();
    let last = part.to.as_ref().unwrap_or(&part.last);
    SegmentInfo {
        run,
        age: age as u64,
        number: segment.number().0,
        bytes: segment.bytes(),
        raw_bytes: properties.raw_bytes,
        used_bytes: part.bytes,
        trimmed: part.is_trimmed(),
        blocks: properties.data_blocks,
        entries: properties.entries(),
        tombstones: properties.tombstones,
        first_keyspace: keyspace_name(engine, part.first.keyspace),
        first_key: part.first.key.clone(),
        last_keyspace: keyspace_name(engine, last.keyspace),
        last_key: last.key.clone(),
        last_excluded: part.to.is_some(),
        smallest: properties.smallest,
        largest: properties.largest,
        created_ms: properties.created_ms,
        pinned_bytes: segment.pinned_bytes() as u64,
    }
}

fn keyspace_name(engine: &Engine, id: KeyspaceId) -> String {
    let known = engine.core.keyspaces.by_id(id);
    known.map_or_else(|| format!("#{}", id.0), |state| state.name())
}

fn run_info(run: &Run, age: usize, merging: &[RunId]) -> RunInfo {
    let parts = &run.segments;
    let count = |of: fn(&SegmentRef) -> u64| parts.iter().map(|part| share(part, of(part))).sum();
    // A file comes once for each of its parts, and not always side by side.
    let mut files: Vec<_> =
        parts.iter().map(|part| (part.segment.number(), part.segment.bytes())).collect();
    files.sort_unstable();
    files.dedup();
    RunInfo {
        id: run.id.0,
        age: age as u64,
        segments: parts.len() as u64,
        trimmed: parts.iter().filter(|part| part.is_trimmed()).count() as u64,
        bytes: run.bytes(),
        file_bytes: files.iter().map(|(_, bytes)| bytes).sum(),
        entries: count(|part| part.segment.properties().entries()),
        tombstones: count(|part| part.segment.properties().tombstones),
        merging: merging.contains(&run.id),
    }
}

/// Of what a whole file counts, what is about in the part of it.
fn share(part: &SegmentRef, whole: u64) -> u64 {
    let all = u128::from(part.segment.properties().stored_bytes.max(1));
    let share = u128::from(whole) * u128::from(part.bytes) / all;
    if part.is_trimmed() { share as u64 } else { whole }
}

#[cfg(test)]
mod tests;
