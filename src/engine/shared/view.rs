//! What can be read at one moment.

use crate::ids::Sequence;
use crate::memtable::Memtable;
use crate::runs::SegmentSet;
use crate::sync::Arc;

/// More sealed memtables than this are flushed whatever they hold, so that reads stay cheap.
pub(crate) const SEALED_MAX: usize = 16;

/// Everything that can be read, at one moment. Never changed: a change publishes another.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) active: Arc<Memtable>,
    /// Newest first.
    pub(crate) sealed: Vec<Arc<Memtable>>,
    pub(crate) segments: Arc<SegmentSet>,
    /// Nothing above it has left the memtables: a version that is newer and not found there does
    /// not exist. The largest sequence of any memtable flushed since open.
    pub(crate) flushed: Sequence,
}
