//! Where a get looks for a key, and what it meets on the way.
//!
//! Walks the layers as a get does, but to the end, and leaves no trace: blocks are neither kept in
//! the cache nor counted.

use std::fmt;

use crate::engine::read::get::ReadAt;
use crate::engine::shared::figures::{bytes, counted};
use crate::engine::{Engine, KeyspaceState, View};
use crate::error::Result;
use crate::format::hash::key_hash;
use crate::format::key::{Kind, Position};
use crate::ids::{KeyspaceId, Sequence};
use crate::iter::Cursor;
use crate::memtable::Memtable;
use crate::mvcc::view::read_point_owned;
use crate::runs::Run;
use crate::sync::Arc;

/// How many versions of a layer are written out.
const VERSIONS_SHOWN: usize = 8;

/// What a get of one key does, layer by layer, from [`Db::explain`](crate::Reader::explain).
/// `Display` prints it for people.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "old")?;
/// db.flush()?;
/// db.put("k", "new!")?;
/// let explained = db.explain("k")?;
/// assert_eq!(explained.layers.len(), 2);
/// assert_eq!(explained.found.as_ref().and_then(|found| found.version.value_bytes), Some(4));
/// println!("{explained}");
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explain {
    /// The name of the keyspace.
    pub keyspace: String,
    /// The key.
    pub key: Vec<u8>,
    /// The last sequence that the get sees.
    pub at: Sequence,
    /// Every layer, newest first, also those that the get does not reach.
    pub layers: Vec<ExplainLayer>,
    /// Where the get ends; `None` if no layer has a version that it sees.
    pub found: Option<ExplainFound>,
}

/// The version at which a get ends.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// let found = db.explain("k")?.found.expect("it was put");
/// assert_eq!((found.layer, found.version.value_bytes), (0, Some(1)));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainFound {
    /// Its place in [`Explain::layers`].
    pub layer: usize,
    /// The version. A tombstone means that the key is not there.
    pub version: ExplainVersion,
}

/// A memtable or a run.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let layers = db.explain("k")?.layers;
/// assert!(layers[0].reached && layers[0].versions.is_empty()); // the active memtable
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainLayer {
    /// Which one.
    pub source: ExplainSource,
    /// What its filter says.
    pub filter: ExplainFilter,
    /// The data blocks that hold the key, or would; none if the filter rules it out.
    pub blocks: Vec<ExplainBlock>,
    /// Every version of the key here, newest first. None, though the filter lets it pass, is a
    /// false positive.
    pub versions: Vec<ExplainVersion>,
    /// Whether the get comes this far.
    pub reached: bool,
}

/// Which layer.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let active = &db.explain("k")?.layers[0].source;
/// assert!(matches!(active, alluvium::ExplainSource::Memtable { sealed: false, .. }));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExplainSource {
    /// A memtable.
    #[non_exhaustive]
    Memtable {
        /// Whether it is no longer written.
        sealed: bool,
        /// Versions of all keys in it.
        versions: u64,
        /// Its memory.
        bytes: u64,
    },
    /// A run on disk.
    #[non_exhaustive]
    Run {
        /// Its number.
        id: u64,
        /// The number of the one segment of it that may hold the key.
        segment: Option<u64>,
        /// How many segments it has.
        segments: u64,
    },
}

/// What a layer's filter says of the key.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// assert_eq!(db.explain("k")?.layers[0].filter, alluvium::ExplainFilter::Passes);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExplainFilter {
    /// It is not asked: the key lies between segments, or outside all of them.
    OutOfRange,
    /// The key is certainly not here.
    RulesOut,
    /// The key may be here; or there is no filter.
    Passes,
}

/// A data block.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// db.flush()?;
/// let explained = db.explain("k")?;
/// let mut blocks = explained.layers.iter().flat_map(|layer| &layer.blocks);
/// assert!(blocks.all(|block| block.number == 0));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainBlock {
    /// Its place in the segment.
    pub number: u64,
    /// Whether it was in memory; otherwise a get reads it from the disk.
    pub cached: bool,
}

/// One version of the key.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// db.delete("k")?;
/// let explained = db.explain("k")?;
/// assert_eq!(explained.layers[0].versions.len(), 2);
/// assert_eq!(explained.layers[0].versions[0].value_bytes, None); // the tombstone
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainVersion {
    /// When it was written.
    pub sequence: Sequence,
    /// The length of its value; `None` for a tombstone.
    pub value_bytes: Option<u64>,
}

impl ExplainLayer {
    /// Whether the filter let the key pass in vain.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let explained = db.explain("absent")?;
    /// assert!(!explained.layers.iter().any(|layer| layer.false_positive()));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn false_positive(&self) -> bool {
        self.filter == ExplainFilter::Passes && self.versions.is_empty()
    }
}

/// Everything that a get of the key at `at` looks at, and what lies below.
pub(crate) fn explain(
    engine: &Engine,
    keyspace: &KeyspaceState,
    key: &[u8],
    at: ReadAt,
) -> Result<Explain> {
    let (view, visible) = read_point_owned(&engine.core.view, || engine.visible());
    let at = at.resolve(keyspace, visible)?;
    let mut layers = look_at_layers(&view, keyspace.id, key)?;
    let mut found = None;
    for (i, layer) in layers.iter_mut().enumerate() {
        layer.reached = found.is_none();
        let seen = layer.versions.iter().find(|version| version.sequence <= at);
        found = found.or(seen.map(|&version| ExplainFound { layer: i, version }));
    }
    let name = keyspace.name();
    Ok(Explain { keyspace: name, key: key.to_vec(), at, layers, found })
}

fn look_at_layers(view: &View, keyspace: KeyspaceId, key: &[u8]) -> Result<Vec<ExplainLayer>> {
    let hash = key_hash(keyspace, key);
    let mut layers = vec![in_memtable(&view.active, false, keyspace, key, hash)?];
    for table in &view.sealed {
        layers.push(in_memtable(table, true, keyspace, key, hash)?);
    }
    for run in &view.segments.runs {
        layers.push(in_run(run, keyspace, key, hash)?);
    }
    Ok(layers)
}

fn in_memtable(
    table: &Arc<Memtable>,
    sealed: bool,
    keyspace: KeyspaceId,
    key: &[u8],
    hash: u64,
) -> Result<ExplainLayer> {
    let versions = table.entries() as u64;
    let bytes = table.bytes() as u64;
    let source = ExplainSource::Memtable { sealed, versions, bytes };
    let mut layer = ExplainLayer::new(source);
    if !table.may_contain(hash) {
        layer.filter = ExplainFilter::RulesOut;
        return Ok(layer);
    }
    let mut cursor = table.cursor();
    cursor.seek(Position::first(keyspace, key))?;
    while let Some(entry) = cursor.entry() {
        if entry.keyspace != keyspace || entry.key != key {
            break;
        }
        layer.versions.push(version(entry.sequence, entry.kind, entry.value.len()));
        cursor.next()?;
    }
    Ok(layer)
}

fn in_run(run: &Run, keyspace: KeyspaceId, key: &[u8], hash: u64) -> Result<ExplainLayer> {
    let part = run.segment_for(keyspace, key);
    let segment = part.map(|part| part.segment.number().0);
    let segments = run.segments.len() as u64;
    let source = ExplainSource::Run { id: run.id.0, segment, segments };
    let mut layer = ExplainLayer::new(source);
    let Some(part) = part else {
        layer.filter = ExplainFilter::OutOfRange;
        return Ok(layer);
    };
    if !part.segment.may_contain(hash) {
        layer.filter = ExplainFilter::RulesOut;
        return Ok(layer);
    }
    let probe = part.segment.probe(keyspace, key)?;
    let block = |(number, cached)| ExplainBlock { number: number as u64, cached };
    layer.blocks = probe.blocks.into_iter().map(block).collect();
    let versions = probe.versions.into_iter();
    layer.versions = versions.map(|(sequence, kind, len)| version(sequence, kind, len)).collect();
    Ok(layer)
}

fn version(sequence: Sequence, kind: Kind, len: usize) -> ExplainVersion {
    ExplainVersion { sequence, value_bytes: (kind == Kind::Value).then_some(len as u64) }
}

impl ExplainLayer {
    fn new(source: ExplainSource) -> Self {
        let filter = ExplainFilter::Passes;
        Self { source, filter, blocks: Vec::new(), versions: Vec::new(), reached: false }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text as it is, apart from quotes and what cannot be seen; other bytes escaped.
        let key = match str::from_utf8(&self.key) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("\"{}\"", self.key.escape_ascii()),
        };
        writeln!(f, "key {key} in {}, read at sequence {}", self.keyspace, self.at)?;
        for layer in &self.layers {
            writeln!(f, "  {layer}")?;
        }
        match &self.found {
            None => f.write_str("not found: no layer has it"),
            Some(ExplainFound { layer, version }) => {
                let source = &self.layers[*layer].source;
                let what = if version.value_bytes.is_some() { "found" } else { "not found" };
                write!(f, "{what}: {version}, in {source}")
            }
        }
    }
}

impl fmt::Display for ExplainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        match self.filter {
            ExplainFilter::OutOfRange => f.write_str("has no segment for the key")?,
            ExplainFilter::RulesOut => f.write_str("the filter rules it out")?,
            ExplainFilter::Passes => {
                f.write_str("the filter lets it pass")?;
                for block in &self.blocks {
                    let place = if block.cached { "in memory" } else { "on disk" };
                    write!(f, ", block {} {place}", block.number)?;
                }
                let none = if self.versions.is_empty() { ": a false positive" } else { ":" };
                f.write_str(none)?;
            }
        }
        for (i, version) in self.versions.iter().take(VERSIONS_SHOWN).enumerate() {
            write!(f, "{} {version}", if i > 0 { "," } else { "" })?;
        }
        match self.versions.len().saturating_sub(VERSIONS_SHOWN) {
            0 => {}
            more => write!(f, ", and {more} older")?,
        }
        f.write_str(if self.reached { "" } else { " (not reached)" })
    }
}

impl fmt::Display for ExplainSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memtable { sealed, versions, bytes: size } => {
                let state = if *sealed { "sealed" } else { "active" };
                let versions = counted(*versions, "version");
                write!(f, "{state} memtable ({versions}, {})", bytes(*size))
            }
            Self::Run { id, segment: Some(segment), .. } => {
                write!(f, "run {id}, segment {segment:06}")
            }
            Self::Run { id, segments, .. } => {
                write!(f, "run {id} ({})", counted(*segments, "segment"))
            }
        }
    }
}

impl fmt::Display for ExplainVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value_bytes {
            Some(1) => write!(f, "a value of 1 byte at {}", self.sequence),
            Some(len) => write!(f, "a value of {len} bytes at {}", self.sequence),
            None => write!(f, "a tombstone at {}", self.sequence),
        }
    }
}
