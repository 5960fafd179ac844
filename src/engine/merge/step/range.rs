//! The entries of one step: from both runs into new segments, without those that nobody can see.
//!
//! On a compactor thread. Knows no plan and no manifest: the step says from where to where.
//!
//! It goes by batches (D31): each input unpacks a window of its block, column by column; two
//! windows are merged until one is used up (`iter::two_way`), which of them is next being a number
//! and not a branch; survival, the writer and the block builder then take the whole batch, a loop
//! each. Where the segment or the step might end within a batch, or it is of another keyspace, its
//! entries go one by one. For the usual entry there is no allocation, no virtual call, and one
//! copy, of the value.

use crate::compaction::survive::{LeftOut, Survival, Verdict};
use crate::engine::Engine;
use crate::engine::agenda::pair::{Entries, Pair};
use crate::engine::merge::horizon::Horizon;
use crate::engine::outputs::Outputs;
use crate::error::Result;
use crate::format::key::Entry;
use crate::format::meta::BoundKey;
use crate::iter::two_way::{Batch, emptied};
use crate::mvcc::snapshots::ReadPoints;
use crate::segment::FinishedSegment;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How much is merged between two looks at whether to stop, and at the rate: this many entries, or
/// that many bytes where they are large.
const LOOK_ENTRIES: u64 = 256;
const LOOK_BYTES: u64 = 256 << 10;

/// A step reads at most this many segments' worth of bytes, so that a range of which nothing is
/// left is given back and can be preempted too.
const READ_SEGMENTS_MAX: u64 = 8;

/// What happened to the entries of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) read: u64,
    pub(super) shadowed: u64,
    pub(super) dropped: u64,
    /// Of those kept, what only snapshots need.
    pub(super) held: u64,
    pub(super) bytes: u64,
    /// Entries and bytes at the last look.
    pub(super) looked: (u64, u64),
}

/// How a range was merged.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) stop: Stop,
    pub(super) tally: Tally,
}

/// Where the merge of a range stopped, and why.
#[derive(Debug)]
pub(super) enum Stop {
    /// Before this user key: as much as a step takes was read or written.
    Before(BoundKey),
    /// At the end of the range.
    End,
    /// Anywhere: it was told to. What it has written is of no use.
    Told,
}

/// How far a range is merged.
struct Work<'a, 'b> {
    survival: Survival,
    outputs: &'a mut Outputs<'b>,
    tally: Tally,
    bytes_max: u64,
    /// The last user key, once enough is read: its versions are still to come.
    past: Option<Vec<u8>>,
}

/// What a step is told while it goes on, and tells.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    /// Whether it is to stop.
    pub(super) told: &'a dyn Fn() -> bool,
    /// Bytes read so far, whatever becomes of them.
    pub(super) bytes_read: &'a AtomicU64,
}

/// Writes what survives between `from` and `to` into `outputs`, up to one segment.
pub(super) fn merge_range(
    engine: &Engine,
    pair: &Pair,
    from: &BoundKey,
    to: Option<&BoundKey>,
    horizon: &Horizon,
    outputs: &mut Outputs<'_>,
    watch: Watch<'_>,
) -> Result<Merged> {
    let bottom = pair.is_bottom(from, to);
    let ReadPoints { snapshots, visible } = horizon.points.clone();
    let survival = Survival::new(snapshots, visible, bottom, &horizon.dropped);
    let bytes_max = READ_SEGMENTS_MAX * engine.core.segment_bytes();
    let mut work = Work { survival, outputs, tally: Tally::default(), bytes_max, past: None };
    let mut entries: Entries = pair.entries(from, to)?;
    let mut memory = Vec::new();
    let stop = loop {
        let Batch { entries: mut batch, taken } = entries.batch(memory);
        if batch.is_empty() {
            break Stop::End;
        }
        if let Some(key) = work.take(&mut batch)? {
            break Stop::Before(key);
        }
        memory = emptied(batch);
        entries.pass(taken)?;
        if work.tally.is_look_due() {
            if (watch.told)() {
                watch.count(&mut work.tally);
                return Ok(Merged { stop: Stop::Told, tally: work.tally });
            }
            pay_for(engine, &mut work.tally, watch);
        }
    };
    pay_for(engine, &mut work.tally, watch);
    work.tally.held = work.survival.kept_for_snapshots();
    Ok(Merged { stop, tally: work.tally })
}

/// Waits as the rate wants it for what was read since the last look.
fn pay_for(engine: &Engine, tally: &mut Tally, watch: Watch<'_>) {
    let rate = engine.core.options.merge_bytes_per_second;
    let bytes = watch.count(tally);
    engine.core.merges.pay(bytes, rate, watch.told);
}

impl Watch<'_> {
    /// Counts what was read since the last look, which ends, and returns it.
    fn count(self, tally: &mut Tally) -> u64 {
        let bytes = tally.bytes - tally.looked.1;
        tally.looked = (tally.read, tally.bytes);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        bytes
    }
}

impl Work<'_, '_> {
    /// Takes entries in, of which it leaves some. If the range is to end at one of them, returns
    /// that one's key.
    fn take(&mut self, entries: &mut Vec<Entry<'_>>) -> Result<Option<BoundKey>> {
        let bytes = |entry: &Entry<'_>| (entry.key.len() + entry.value.len()) as u64;
        let sum = entries.iter().map(bytes).sum();
        if self.past.is_none() && self.outputs.stays_open_for(entries, sum) {
            self.tally.read += entries.len() as u64;
            self.tally.bytes += sum;
            self.look_for_enough(entries.last());
            let LeftOut { shadowed, dropped, distinct } = self.survival.keep_of(entries);
            self.outputs.add_all(entries, distinct)?;
            self.tally.shadowed += shadowed;
            self.tally.dropped += dropped;
            return Ok(None);
        }
        for entry in entries.iter() {
            let enough = self.past.as_ref().is_some_and(|last| *last != entry.key);
            if enough || self.outputs.ends_before(entry) {
                return Ok(Some(BoundKey { keyspace: entry.keyspace, key: entry.key.to_vec() }));
            }
            self.tally.read += 1;
            self.tally.bytes += bytes(entry);
            match self.survival.keep(entry) {
                Verdict::Keep => self.outputs.add(entry)?,
                Verdict::Shadowed => self.tally.shadowed += 1,
                Verdict::Dropped => self.tally.dropped += 1,
            }
            self.look_for_enough(Some(entry));
        }
        Ok(None)
    }

    fn look_for_enough(&mut self, last: Option<&Entry<'_>>) {
        if self.tally.bytes >= self.bytes_max && self.past.is_none() {
            self.past = last.map(|last| last.key.to_vec());
        }
    }
}

impl Tally {
    fn is_look_due(&self) -> bool {
        let (read, bytes) = self.looked;
        self.read - read >= LOOK_ENTRIES || self.bytes - bytes >= LOOK_BYTES
    }

    /// Looks that nothing got lost on the way, while the inputs are still there (I30).
    pub(super) fn check(&self, written: &[FinishedSegment]) {
        let entries: u64 = written.iter().map(|segment| segment.entries).sum();
        assert_eq!(
            self.read,
            entries + self.shadowed + self.dropped,
            "entries in are entries out, shadowed or dropped"
        );
    }
}
