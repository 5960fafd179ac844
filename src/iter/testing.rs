//! What tests share: a cursor and a source over a list, and a small random generator.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::data_block::{Block, BlockBuilder, Unpacked, Window};
use crate::format::hash::key_hash;
use crate::format::key::{Entry, Kind, Position};
use crate::ids::{KeyspaceId, Sequence};
use crate::value::{Backing, Value};

use super::stretch::Way;
use super::two_way::{Batch, TwoWay};
use super::{Cursor, Source};

/// An [`Entry`] that owns its bytes, in internal order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedEntry {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: Vec<u8>,
    pub(crate) sequence: Sequence,
    pub(crate) kind: Kind,
    pub(crate) value: Vec<u8>,
}

/// A version of `key`: `None` is a tombstone.
pub(crate) fn entry(keyspace: u32, key: &str, sequence: u64, value: Option<&str>) -> OwnedEntry {
    OwnedEntry {
        keyspace: KeyspaceId(keyspace),
        key: key.as_bytes().to_vec(),
        sequence: Sequence(sequence),
        kind: if value.is_some() { Kind::Value } else { Kind::Tombstone },
        value: value.unwrap_or_default().as_bytes().to_vec(),
    }
}

impl OwnedEntry {
    pub(crate) fn position(&self) -> Position<'_> {
        self.borrow().position()
    }

    pub(crate) fn borrow(&self) -> Entry<'_> {
        let Self { keyspace, key, sequence, kind, value } = self;
        Entry { keyspace: *keyspace, key, sequence: *sequence, kind: *kind, value }
    }
}

impl From<Entry<'_>> for OwnedEntry {
    fn from(entry: Entry<'_>) -> Self {
        let Entry { keyspace, key, sequence, kind, value } = entry;
        Self { keyspace, key: key.to_vec(), sequence, kind, value: value.to_vec() }
    }
}

impl Ord for OwnedEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.position().cmp(&other.position())
    }
}

impl PartialOrd for OwnedEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A cursor over a sorted list, which checks that its caller keeps the contract, counts the moves,
/// and may fail once.
#[derive(Clone, Debug)]
pub(crate) struct ListCursor {
    entries: Vec<OwnedEntry>,
    at: Option<usize>,
    backward: bool,
    fail_in: Option<usize>,
    pub(crate) seeks: usize,
    pub(crate) steps: usize,
}

impl ListCursor {
    pub(crate) fn new(mut entries: Vec<OwnedEntry>) -> Self {
        entries.sort();
        Self { entries, at: None, backward: false, fail_in: None, seeks: 0, steps: 0 }
    }

    /// The move after `calls` further ones fails, once.
    pub(crate) fn failing_after(mut self, calls: usize) -> Self {
        self.fail_in = Some(calls);
        self
    }

    fn maybe_fail(&mut self) -> Result<()> {
        match self.fail_in {
            Some(0) => {
                self.fail_in = None;
                self.at = None;
                Err(Error::io("read", Path::new("list"), std::io::ErrorKind::Other.into()))
            }
            Some(calls) => {
                self.fail_in = Some(calls - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Cursor for ListCursor {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        self.maybe_fail()?;
        self.seeks += 1;
        self.backward = false;
        let found = self.entries.partition_point(|entry| entry.position() < target);
        self.at = (found < self.entries.len()).then_some(found);
        Ok(())
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        self.maybe_fail()?;
        self.seeks += 1;
        self.backward = true;
        self.at = self.entries.partition_point(|entry| entry.position() < target).checked_sub(1);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.maybe_fail()?;
        self.steps += 1;
        assert!(!self.backward, "next after seek_before");
        let at = self.at.expect("next is called only while there is an entry");
        self.at = (at + 1 < self.entries.len()).then_some(at + 1);
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        self.maybe_fail()?;
        self.steps += 1;
        assert!(self.backward, "prev after seek");
        self.at = self.at.expect("prev is called only while there is an entry").checked_sub(1);
        Ok(())
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.at.map(|at| self.entries[at].borrow())
    }

    fn value(&self) -> Value {
        self.entry().map_or_else(|| Value::copy(&[]), |entry| Value::copy(entry.value))
    }
}

/// A [`ListCursor`] whose entries lie in blocks.
#[derive(Debug)]
pub(crate) struct BlockCursor<'a> {
    list: ListCursor,
    blocks: &'a [Block],
    settled: bool,
}

impl<'a> BlockCursor<'a> {
    /// Over `entries`, which `blocks` were cut from.
    pub(crate) fn new(entries: Vec<OwnedEntry>, blocks: &'a [Block]) -> Self {
        Self { list: ListCursor::new(entries), blocks, settled: true }
    }

    /// The block of the entry here, and the number of its first entry.
    fn block(&self) -> Option<(&Block, usize)> {
        let at = self.list.at?;
        let mut first = 0;
        let block = self.blocks.iter().find(|block| {
            first += block.len();
            at < first
        });
        block.map(|block| (block, first - block.len()))
    }
}

impl Cursor for BlockCursor<'_> {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        self.settled = true;
        self.list.seek(target)
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        self.settled = true;
        self.list.seek_before(target)
    }

    fn next(&mut self) -> Result<()> {
        assert!(self.settled);
        self.list.next()
    }

    fn prev(&mut self) -> Result<()> {
        assert!(self.settled);
        self.list.prev()
    }

    fn entry(&self) -> Option<Entry<'_>> {
        assert!(self.settled);
        self.list.entry()
    }

    fn value(&self) -> Value {
        self.list.value()
    }

    fn pair(&self) -> (&[u8], &[u8]) {
        self.list.pair()
    }

    fn ahead(&self, way: Way, most: usize) -> Option<(&Block, Range<usize>)> {
        assert!(self.settled);
        let (block, first) = self.block()?;
        let here = self.list.at? - first;
        let entries = match way {
            Way::Forward => here..block.len().min(here + most),
            Way::Backward => (here + 1).saturating_sub(most)..here + 1,
        };
        Some((block, entries))
    }

    fn pass_to(&mut self, entry: usize, at: Sequence) -> bool {
        let (block, first) = self.block().expect("an entry of what is ahead");
        let Some(entry_here) = self.list.entry() else { return false };
        let mut key = entry_here.key.to_vec();
        let Some(value) = block.take_plain(entry, at, &mut key) else { return false };
        let value = block.bytes()[value].to_vec();
        self.list.at = Some(first + entry);
        assert_eq!(self.list.pair(), (&*key, &*value));
        self.settled = false;
        true
    }

    fn settle(&mut self, entry: usize) {
        let (_, first) = self.block().expect("an entry of what is ahead");
        self.list.at = Some(first + entry);
        self.settled = true;
    }
}

/// Sorted entries in blocks of at most as many as `most` says for each.
pub(crate) fn cut(entries: &[OwnedEntry], mut most: impl FnMut() -> usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut left = entries;
    while let Some(first) = left.first() {
        let same = left.iter().take_while(|entry| entry.keyspace == first.keyspace).count();
        let (now, later) = left.split_at(same.min(most()));
        let mut builder = BlockBuilder::default();
        let hash = |entry: &OwnedEntry| key_hash(entry.keyspace, &entry.key);
        assert!(now.iter().all(|entry| builder.add(&entry.borrow(), hash(entry), usize::MAX)));
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        let whole = 0..bytes.len();
        blocks.push(Block::decode(bytes, whole).expect("the block is sound"));
        left = later;
    }
    blocks
}

/// A source over a sorted list, of which at most a few entries are ahead, and which may fail once.
#[derive(Debug)]
pub(crate) struct ListSource {
    blocks: VecDeque<Block>,
    window: Window,
    fail_in: Option<usize>,
}

impl ListSource {
    pub(crate) fn new(mut entries: Vec<OwnedEntry>) -> Self {
        entries.sort();
        let mut lens = (1..=5).cycle();
        let blocks = cut(&entries, || lens.next().expect("it has no end")).into();
        let mut source = Self { blocks, window: Window::default(), fail_in: None };
        source.unpack();
        source
    }

    fn unpack(&mut self) {
        if let Some(block) = self.blocks.front() {
            block.unpack(0..block.len(), &mut self.window);
        }
    }

    /// The step after `steps` further ones fails.
    pub(crate) fn failing_after(mut self, steps: usize) -> Self {
        self.fail_in = Some(steps);
        self
    }
}

impl Source for ListSource {
    fn ahead(&self) -> Unpacked<'_> {
        self.blocks.front().map(|block| self.window.unpacked(block)).unwrap_or_default()
    }

    fn pass(&mut self, count: usize) -> Result<()> {
        assert!(count <= self.ahead().len(), "more than what is ahead");
        if self.fail_in.is_some_and(|steps| steps < count) {
            (self.fail_in, self.blocks) = (None, VecDeque::new());
            return Err(Error::io("read", Path::new("list"), std::io::ErrorKind::Other.into()));
        }
        self.fail_in = self.fail_in.map(|steps| steps - count);
        if !self.blocks.is_empty() && !self.window.pass(count) {
            self.blocks.pop_front();
            self.unpack();
        }
        Ok(())
    }
}

/// Everything from here to the end of a source.
pub(crate) fn drain(mut source: impl Source) -> Result<Vec<OwnedEntry>> {
    let mut entries = Vec::new();
    while let Some(entry) = source.entry() {
        entries.push(OwnedEntry::from(entry));
        source.pass(1)?;
    }
    Ok(entries)
}

/// Everything from here to the end of two sources.
pub(crate) fn drain_both(mut sources: TwoWay<impl Source>) -> Result<Vec<OwnedEntry>> {
    let mut all = Vec::new();
    loop {
        let Batch { entries, taken } = sources.batch(Vec::new());
        if entries.is_empty() {
            return Ok(all);
        }
        assert_eq!(taken[0] + taken[1], entries.len());
        all.extend(entries.into_iter().map(OwnedEntry::from));
        sources.pass(taken)?;
    }
}

/// Random numbers, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    rng: fastrand::Rng,
}

impl Random {
    /// From `ALLUVIUM_SEED` if that is set, else from `seed`.
    pub(crate) fn from_env(seed: u64) -> Self {
        let seed = std::env::var("ALLUVIUM_SEED")
            .map_or(seed, |text| text.parse().expect("ALLUVIUM_SEED is a decimal number"));
        Self::new(seed)
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed) }
    }

    /// A series of its own, under the seed that leads to it.
    pub(crate) fn fork(&mut self) -> Self {
        Self { seed: self.seed, rng: self.rng.fork() }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.rng.u64(..)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.rng.usize(..bound)
    }
}
