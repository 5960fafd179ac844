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
use crate::memtable::MemtableCursor;
use crate::runs::cursor::RunCursor;
use crate::segment::Skips;
use crate::sync::Arc;
use crate::value::Value;

/// All layers of a view in order.
pub(crate) type LayersCursor = MergeCursor<LayerCursor>;

/// A cursor over each layer of a view, newest first. With `skips` they pass over what cannot be
/// read.
pub(crate) fn layers(view: &View, skips: Option<&Arc<Skips>>) -> LayersCursor {
    let tables = std::iter::once(&view.active).chain(&view.sealed);
    let memory = tables.map(|table| LayerCursor::Memory(table.cursor()));
    let runs = view.segments.runs.iter();
    let disk = runs.map(|run| LayerCursor::Run(RunCursor::new(Arc::clone(run), skips.cloned())));
    MergeCursor::new(memory.chain(disk).collect())
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
    fn pass_to(&mut self, entry: usize) {
        each_layer!(self, cursor => cursor.pass_to(entry));
    }

    fn settle(&mut self) {
        each_layer!(self, cursor => cursor.settle());
    }

    #[inline]
    fn value_bytes(&self) -> &[u8] {
        each_layer!(self, cursor => cursor.value_bytes())
    }

    fn value(&self) -> Value {
        each_layer!(self, cursor => cursor.value())
    }

    #[inline]
    fn stretch(&self, way: Way, edge: Edge<'_>, at: Sequence, to: &mut Vec<u8>) -> bool {
        each_layer!(self, cursor => cursor.stretch(way, edge, at, to))
    }
}
