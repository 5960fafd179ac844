//! How readers find a consistent point, and how the published view is replaced.
//!
//! What a view holds is its owner's business; here it is one immutable value behind a
//! [`Published`] cell. Readers call [`read_point`] from any thread and never wait. [`update`] is
//! called by rotation (inside the commit section) and by background threads that publish segments.
//!
//! ```text
//! commit order   1 2 3 4 5 6 | 7 8 9        a rotation between 6 and 7
//! view A         [memtable 1 ]              loaded first
//! view B         [memtable 1 ][memtable 2]
//! visible                        8          loaded second
//! a read (A, 8)  1 2 3 4 5 6                still a prefix: all from 7 on is missed
//! ```

use crate::ids::Sequence;
use crate::sync::{Arc, Loaded, Published};

/// Where a read stands: the view, **then** the last visible sequence (I3).
///
/// The pair is a prefix of the commit order that covers everything acknowledged before the call.
/// 1. Covers: the view is at least as new as the one that such a write went into, and `visible` is
///    at or above its last sequence.
/// 2. Prefix: a write that this view misses went into a memtable of a later view, so every write
///    after it is missed too.
/// 3. Nothing is gone: a merge drops versions below a `visible` that it read before it published
///    its segments. A reader that loads that view reads `visible` later, so at or above that.
///
/// The other way round, 3 breaks: a read at an old sequence in a new view misses versions that a
/// merge has dropped in between.
///
/// The guard is for one call; an iterator takes [`read_point_owned`].
pub(crate) fn read_point<V>(
    view: &Published<V>,
    visible: impl FnOnce() -> Sequence,
) -> (Loaded<V>, Sequence) {
    let loaded = view.load();
    (loaded, visible())
}

/// [`read_point`] for a reader that keeps its view.
pub(crate) fn read_point_owned<V>(
    view: &Published<V>,
    visible: impl FnOnce() -> Sequence,
) -> (Arc<V>, Sequence) {
    let loaded = view.load_full();
    (loaded, visible())
}

/// Replaces the view by `derive` of it, and returns the superseded and the new view.
///
/// 1. load the current view;
/// 2. derive the next one from it;
/// 3. compare-and-swap it against the view from step 1; if another updater was faster, from 1.
///
/// `derive` may therefore run several times and must have no effect of its own. Nobody's change is
/// lost: a view is only ever replaced by one that was derived from it (I4).
///
/// The superseded view belongs on the retire list ([`super::retire`]), so that neither a reader nor
/// a writer drops its last reference.
pub(crate) fn update<V>(
    published: &Published<V>,
    mut derive: impl FnMut(&V) -> V,
) -> (Arc<V>, Arc<V>) {
    loop {
        let current = published.load_full();
        let next = Arc::new(derive(&current));
        if published.replace(&current, Arc::clone(&next)) {
            return (current, next);
        }
    }
}

#[cfg(all(test, loom))]
mod installs_loom;
#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
