//! What a range reads: every layer of a view, memtables and runs, as one cursor.
//!
//! Made by `read`; each cursor is moved by one thread at a time.

use std::ops::Range;

use crate::engine::View;
use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::key::{Entry, KeyWords, Position};
use crate::ids::Sequence;
use crate::iter::Cursor;
use crate::iter::merge::MergeCursor;
use crate::iter::stretch::{Edge, Way};
use crate::iter::visible::Make;
use crate::memtable::MemtableCursor;
use crate::runs::cursor::RunCursor;
use crate::segment::Skips;
use crate::sync::Arc;
use crate::value::Value;

/// All layers of a view in order.
pub(crate) type LayersCursor = MergeCursor<LayerCursor>;

/// What an iterator reads.
pub(crate) struct Layers {
    pub(crate) view: Arc<View>,
    /// What has been passed over, if what cannot be read is.
    pub(crate) skips: Option<Arc<Skips>>,
}

impl Make<LayersCursor> for Layers {
    /// A cursor over each layer, newest first.
    fn make(&self) -> LayersCursor {
        let View { active, sealed, segments, .. } = &*self.view;
        let mut layers = MergeCursor::with_room(1 + sealed.len() + segments.runs.len());
        for table in std::iter::once(active).chain(sealed) {
            layers.push(LayerCursor::Memory(table.cursor()));
        }
        for run in &segments.runs {
            let cursor = RunCursor::new(Arc::clone(run), self.skips.clone());
            layers.push(LayerCursor::Run(cursor));
        }
        layers
    }
}

/// A cursor over one layer; an enum, so that the merge makes no virtual call.
pub(crate) enum LayerCursor {
    Memory(MemtableCursor),
    Run(RunCursor),
}

macro_rules! each_layer {
    ($self:ident, $cursor:ident => $call:expr) => {
        match $self {
            LayerCursor::Memory($cursor) => $call,
            LayerCursor::Run($cursor) => $call,
        }
    };
}

impl Cursor for LayerCursor {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        each_layer!(self, cursor => cursor.seek(target))
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        each_layer!(self, cursor => cursor.seek_before(target))
    }

    fn next(&mut self) -> Result<()> {
        each_layer!(self, cursor => cursor.next())
    }

    fn prev(&mut self) -> Result<()> {
        each_layer!(self, cursor => cursor.prev())
    }

    fn entry(&self) -> Option<Entry<'_>> {
        each_layer!(self, cursor => cursor.entry())
    }

    #[inline]
    fn words(&self) -> Option<KeyWords> {
        each_layer!(self, cursor => cursor.words())
    }

    #[inline]
    fn ahead(&self, way: Way, most: usize) -> Option<(&Block, Range<usize>)> {
        each_layer!(self, cursor => cursor.ahead(way, most))
    }

    #[inline]
    fn pass_to(&mut self, entry: usize, at: Sequence) -> bool {
        each_layer!(self, cursor => cursor.pass_to(entry, at))
    }

    fn settle(&mut self, entry: usize) {
        each_layer!(self, cursor => cursor.settle(entry));
    }

    #[inline]
    fn pair(&self) -> (&[u8], &[u8]) {
        each_layer!(self, cursor => cursor.pair())
    }

    fn value(&self) -> Value {
        each_layer!(self, cursor => cursor.value())
    }

    #[inline]
    fn stretch(&self, way: Way, edge: Edge<'_>, at: Sequence, to: &mut Vec<u8>) -> bool {
        each_layer!(self, cursor => cursor.stretch(way, edge, at, to))
    }
}
