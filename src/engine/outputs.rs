//! The segments that a flush or a merge writes, one after the other.
//!
//! Says where one segment ends and the next begins, and cleans up what is given up. Used by one
//! background thread at a time; nothing here is known to the manifest yet.

use crate::engine::Core;
use crate::error::Result;
use crate::event::event;
use crate::format::key::Entry;
use crate::format::names::FileName;
use crate::ids::{FileNumber, KeyspaceId};
use crate::io::first_free;
use crate::options::KeyspaceOptions;
use crate::runs::SegmentRef;
use crate::segment::{FinishedSegment, Segment, SegmentWriter, SegmentWriterOptions};
use crate::sync::Arc;

/// A segment is cut at a keyspace boundary once it has this many bytes.
pub(crate) const KEYSPACE_CUT_BYTES: u64 = 1 << 20;

/// The segments of one run, in key order.
pub(crate) struct Outputs<'a> {
    core: &'a Core,
    /// Whether they are merged into the oldest run, which a flush never is (D24).
    oldest: bool,
    segment_bytes: u64,
    open: Option<SegmentWriter>,
    done: Vec<FinishedSegment>,
    /// The keyspace of the last entry, and its options.
    keyspace: KeyspaceId,
    options: KeyspaceOptions,
}

impl<'a> Outputs<'a> {
    /// Outputs of a merge into the oldest run, or of another merge or a flush. They are cut as the
    /// disk's room is now.
    pub(crate) fn new(core: &'a Core, oldest: bool) -> Self {
        let (keyspace, options) = Default::default();
        let segment_bytes = core.segment_bytes();
        Self { core, oldest, segment_bytes, open: None, done: Vec::new(), keyspace, options }
    }

    /// Whether the open segment is to end before `entry`, the next one: it has what it takes, and
    /// `entry` is of another user key than its last.
    #[inline(always)]
    pub(crate) fn ends_before(&self, entry: &Entry<'_>) -> bool {
        let Some(writer) = &self.open else { return false };
        let other_keyspace = entry.keyspace != self.keyspace;
        let full = writer.has_written(self.segment_bytes);
        (full || other_keyspace) && self.ends_between(writer, entry, full)
    }

    /// [`Self::ends_before`] an entry of another keyspace, or behind a full segment.
    #[inline(never)]
    fn ends_between(&self, writer: &SegmentWriter, entry: &Entry<'_>, full: bool) -> bool {
        let other_keyspace = entry.keyspace != self.keyspace;
        full && !writer.ends_with(entry)
            || other_keyspace
                && (writer.has_written(KEYSPACE_CUT_BYTES)
                    || self.core.keyspaces.options_of(entry.keyspace) != self.options)
    }

    /// Whether no segment begins or ends at any of the next entries, nor behind them, which have so
    /// many bytes of keys and values: it may say no where the answer is yes.
    pub(crate) fn stays_open_for(&self, entries: &[Entry<'_>], bytes: u64) -> bool {
        let Some(writer) = &self.open else { return false };
        let here = |entry: &Entry<'_>| entry.keyspace == self.keyspace;
        entries.first().is_some_and(here)
            && entries.last().is_some_and(here)
            && !writer.may_come_to(self.segment_bytes, entries.len(), bytes)
    }

    /// Adds entries that the open segment [stays open for](Self::stays_open_for). `distinct` says
    /// that each is known to be of another user key than what was added before it.
    pub(crate) fn add_all(&mut self, entries: &[Entry<'_>], distinct: bool) -> Result<()> {
        match &mut self.open {
            Some(writer) => writer.add_all(entries, distinct),
            None => entries.iter().try_for_each(|entry| self.add(entry)),
        }
    }

    /// Adds an entry behind all before it.
    #[inline]
    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        let writer = match &mut self.open {
            Some(writer) => {
                self.keyspace = entry.keyspace;
                writer
            }
            open => {
                self.keyspace = entry.keyspace;
                self.options = self.core.keyspaces.options_of(entry.keyspace);
                open.insert(create(self.core, &self.options, self.oldest)?)
            }
        };
        writer.add(entry)
    }

    /// Ends the open segment, if there is one: its bytes are durable then.
    pub(crate) fn close(&mut self) -> Result<()> {
        let Some(writer) = self.open.take() else { return Ok(()) };
        let number = writer.number();
        let finished = writer.finish().inspect_err(|_| remove_segment(self.core, number))?;
        self.done.push(finished);
        Ok(())
    }

    /// Ends the last segment and hands all of them over.
    pub(crate) fn finish(&mut self) -> Result<Vec<FinishedSegment>> {
        self.close()?;
        Ok(std::mem::take(&mut self.done))
    }

    /// Removes whatever was written and not handed over.
    pub(crate) fn abandon(&mut self) {
        if let Some(writer) = self.open.take() {
            let number = writer.number();
            event!(debug, number = number.0, "giving up an unfinished segment");
            writer.abandon(self.core.fs.as_ref());
        }
        for segment in self.done.drain(..) {
            remove_segment(self.core, segment.number);
        }
    }
}

/// Numbers for the options of keyspaces: of different ones nothing comes into one segment.
pub(crate) struct Groups<'a> {
    core: &'a Core,
    known: Vec<KeyspaceOptions>,
    last: Option<(KeyspaceId, usize)>,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        Self { core, known: Vec::new(), last: None }
    }

    pub(crate) fn of(&mut self, keyspace: KeyspaceId) -> usize {
        if let Some((_, group)) = self.last.filter(|(last, _)| *last == keyspace) {
            return group;
        }
        let options = self.core.keyspaces.options_of(keyspace);
        let group = self.known.iter().position(|known| *known == options).unwrap_or_else(|| {
            self.known.push(options);
            self.known.len() - 1
        });
        self.last = Some((keyspace, group));
        group
    }
}

fn create(core: &Core, options: &KeyspaceOptions, oldest: bool) -> Result<SegmentWriter> {
    let options = SegmentWriterOptions {
        database: core.database,
        codec: options.codec_for(oldest),
        block_bytes: options.block_bytes as usize,
        filter_bits: options.filter_bits,
        created_ms: crate::engine::shared::clock::now_ms(),
    };
    let create = |number| SegmentWriter::create(&core.fs, &core.dir, FileNumber(number), options);
    first_free(&core.segment_next, create).map(|(_, writer)| writer)
}

/// Opens segments that were just written.
pub(crate) fn open_finished(core: &Core, finished: &[FinishedSegment]) -> Result<Vec<SegmentRef>> {
    let open = |finished: &FinishedSegment| {
        let cache = Arc::clone(&core.cache);
        let segment = Segment::of_written(finished, core.database, cache)?;
        Ok(SegmentRef::whole(Arc::new(segment)))
    };
    finished.iter().map(open).collect()
}

/// Removes a segment file that nothing can reach. A failure leaves an orphan for the next open.
pub(crate) fn remove_segment(core: &Core, number: FileNumber) {
    let path = core.dir.join(FileName::Segment(number).name());
    if let Err(error) = core.fs.remove(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        event!(debug, %error, path = %path.display(), "an orphan was left behind");
    }
}
