//! Stretches of dead keys as cursors see them: spans of keys, places between keys, and the run of
//! dead keys that a walk is in.
//!
//! What may be remembered, when, and for whom is `mvcc::stretches`'s. Pure; used by one reader at a
//! time, and by writers in the commit section to cut.

use std::cmp::Ordering;
use std::ops::Bound;

use super::Cursor;
use crate::error::Result;
use crate::format::key::Position;
use crate::ids::{KeyspaceId, Sequence};
use crate::mvcc::stretches::Span;

/// Walks over fewer dead keys are not worth remembering: they cost about what that costs.
const KEYS_MIN: u32 = 32;

/// The same where a walk goes on from a remembered stretch, which then grows. A queue pays for half
/// of these keys in each scan, and for remembering once in as many.
const KEYS_MIN_GROWING: u32 = 8;

/// The keys of one keyspace from `from` to before `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpan {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

/// What an allocation takes besides what it is for, about.
const ALLOCATION_BYTES: usize = 16;

impl Span for KeySpan {
    type Point<'a> = (KeyspaceId, &'a [u8]);

    #[inline]
    fn begins_by(&self, (keyspace, key): (KeyspaceId, &[u8])) -> bool {
        self.keyspace < keyspace || self.keyspace == keyspace && *self.from <= *key
    }

    #[inline]
    fn ends_by(&self, (keyspace, key): (KeyspaceId, &[u8])) -> bool {
        self.keyspace < keyspace || self.keyspace == keyspace && *self.to <= *key
    }

    fn contains(&self, other: &Self) -> bool {
        self.keyspace == other.keyspace && self.from <= other.from && other.to <= self.to
    }

    fn ends_before(&self, other: &Self) -> bool {
        (self.keyspace, &self.to) < (other.keyspace, &other.from)
    }

    fn join(&self, other: &Self) -> Self {
        Self {
            keyspace: self.keyspace,
            from: (&self.from).min(&other.from).clone(),
            to: (&self.to).max(&other.to).clone(),
        }
    }

    fn split(&self, (_, key): (KeyspaceId, &[u8])) -> [Option<Self>; 2] {
        let part = |from: &[u8], to: &[u8]| {
            let from = from.to_vec();
            let to = to.to_vec();
            (from < to).then_some(Self { keyspace: self.keyspace, from, to })
        };
        [part(&self.from, key), part(&after(key), &self.to)]
    }

    fn bytes(&self) -> usize {
        self.from.capacity() + self.to.capacity() + 2 * ALLOCATION_BYTES
    }
}

/// The first key after `key`.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A place between the keys of a keyspace: before or after one, which need not be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge<'a> {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: &'a [u8],
    pub(crate) after: bool,
}

impl<'a> Edge<'a> {
    /// Where it lies seen from before `bound`.
    #[inline]
    fn compare(&self, bound: &[u8]) -> Ordering {
        let next = || bound.len() == self.key.len() + 1 && bound.last() == Some(&0);
        match self.key.cmp(bound) {
            Ordering::Equal if self.after => Ordering::Greater,
            // Before it there is nothing but the key.
            Ordering::Less if self.after && next() && bound.starts_with(self.key) => {
                Ordering::Equal
            }
            order => order,
        }
    }

    /// Where a cursor seeks to be there.
    pub(super) fn position(self) -> Position<'a> {
        match self.after {
            true => Position::last(self.keyspace, self.key),
            false => Position::first(self.keyspace, self.key),
        }
    }

    /// Whether a walk in its keyspace that ends at `limit` has no key left where it has only those
    /// from `far` on, or, going backward, before `far`.
    fn is_over(self, way: Way, far: &[u8], limit: &Bound<Vec<u8>>) -> bool {
        let last = |key, after| Edge { key, after, ..self }.compare(far);
        match (way, limit) {
            (Way::Forward, Bound::Included(end)) => last(end, true).is_le(),
            (Way::Forward, Bound::Excluded(end)) => last(end, false).is_le(),
            (Way::Forward, Bound::Unbounded) => false,
            (Way::Backward, Bound::Included(start)) => last(start, false).is_ge(),
            (Way::Backward, Bound::Excluded(start)) => last(start, true).is_ge(),
            (Way::Backward, Bound::Unbounded) => far.is_empty(),
        }
    }
}

impl KeySpan {
    /// Whether it begins where a cursor at `edge` may be in it, or before.
    #[inline]
    pub(crate) fn begins_by_edge(&self, way: Way, edge: Edge<'_>) -> bool {
        if self.keyspace != edge.keyspace {
            return self.keyspace < edge.keyspace;
        }
        match way {
            Way::Forward => edge.compare(&self.from).is_ge(),
            Way::Backward => edge.compare(&self.from).is_gt(),
        }
    }

    /// Where a cursor at `edge` may go on, if [`Self::begins_by_edge`] is true and the edge is in
    /// the span: at its end, or, going backward, before its start.
    #[inline]
    pub(crate) fn far_end(&self, way: Way, edge: Edge<'_>) -> Option<&[u8]> {
        if self.keyspace != edge.keyspace {
            return None;
        }
        let end = edge.compare(&self.to);
        match way {
            Way::Forward => end.is_lt().then_some(&*self.to),
            Way::Backward => end.is_le().then_some(&*self.from),
        }
    }
}

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    Backward,
}

/// What became of a cursor that was asked to jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    /// Nothing is remembered there: it has not moved.
    None,
    /// It stands behind the stretch.
    Landed,
    /// The stretch reaches to the end of the walk or past it: no live key is left, so it was not
    /// moved.
    Over,
}

/// Dead keys that a walk has left behind: where, and how many it has walked over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) span: KeySpan,
    pub(crate) keys: u64,
}

/// The run of dead keys that a walk is in: from where it began, without a live key since.
#[derive(Debug)]
pub(crate) struct DeadRun {
    /// Where it began, exclusive going backward: a key, in the way of [`KeySpan`].
    origin: Vec<u8>,
    begun: bool,
    /// Met something that is not dead for every later reader: a version above its sequence.
    spoiled: bool,
    /// Jumped over a remembered stretch.
    growing: bool,
    walked: u32,
    /// How often it has jumped, in this run and all before.
    jumps: u64,
    /// How many dead keys it has walked over, in this run and all before.
    #[cfg(test)]
    walked_ever: u64,
    /// Memory for where a jump goes.
    to: Vec<u8>,
}

impl DeadRun {
    /// No run.
    pub(crate) fn new() -> Self {
        let begun = false;
        let spoiled = false;
        let growing = false;
        let origin = Vec::new();
        let to = Vec::new();
        Self {
            origin,
            begun,
            spoiled,
            growing,
            walked: 0,
            jumps: 0,
            #[cfg(test)]
            walked_ever: 0,
            to,
        }
    }

    /// Begins at `bound`, which lies just before the first dead key of the walk, unless it has
    /// begun. Going backward, `first` stands in for no bound: an end of all keys is long.
    pub(crate) fn begin(&mut self, way: Way, bound: &Bound<Vec<u8>>, first: &[u8]) {
        if self.begun {
            return;
        }
        self.begun = true;
        self.origin.clear();
        let (key, past) = match (bound, way) {
            (Bound::Included(key), _) => (key.as_slice(), way == Way::Backward),
            (Bound::Excluded(key), _) => (key.as_slice(), way == Way::Forward),
            (Bound::Unbounded, Way::Forward) => (&[][..], false),
            (Bound::Unbounded, Way::Backward) => (first, true),
        };
        self.origin.extend_from_slice(key);
        if past {
            self.origin.push(0);
        }
    }

    /// One more dead key.
    pub(crate) fn walked(&mut self) {
        self.walked += 1;
        #[cfg(test)]
        {
            self.walked_ever += 1;
        }
    }

    /// It cannot be remembered.
    pub(crate) fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Ends the run where the walk stands, before or after `key` as it sees it: on a live key
    /// (`on`), or behind a dead one. Returns what is worth remembering.
    pub(crate) fn end(
        &mut self,
        way: Way,
        keyspace: KeyspaceId,
        key: &[u8],
        on: bool,
    ) -> Option<Dead> {
        let keys_min = if self.growing { KEYS_MIN_GROWING } else { KEYS_MIN };
        let worth = self.begun && self.walked >= keys_min && !self.spoiled;
        let dead = worth.then(|| {
            let here = key.to_vec();
            let origin = std::mem::take(&mut self.origin);
            let (from, to) = match (way, on) {
                (Way::Forward, true) => (origin, here),
                (Way::Forward, false) => (origin, after(&here)),
                (Way::Backward, true) => (after(&here), origin),
                (Way::Backward, false) => (here, origin),
            };
            Dead { span: KeySpan { keyspace, from, to }, keys: u64::from(self.walked) }
        });
        self.forget();
        dead.filter(|dead| dead.span.from < dead.span.to)
    }

    /// Moves a cursor over the remembered stretch that holds at `edge`, if there is one, unless the
    /// walk, which goes to `limit`, ends in it. Another one behind it shows itself at its first
    /// dead key.
    #[inline]
    pub(super) fn jump<C: Cursor>(
        &mut self,
        cursor: &mut C,
        way: Way,
        edge: Edge<'_>,
        limit: &Bound<Vec<u8>>,
        at: Sequence,
    ) -> Result<Jump> {
        if !cursor.stretch(way, edge, at, &mut self.to) {
            return Ok(Jump::None);
        }
        self.growing = true;
        self.jumps += 1;
        if edge.is_over(way, &self.to, limit) {
            return Ok(Jump::Over);
        }
        let place = Position::first(edge.keyspace, &self.to);
        match way {
            Way::Forward => cursor.seek(place)?,
            Way::Backward => cursor.seek_before(place)?,
        }
        Ok(Jump::Landed)
    }

    /// How often it has jumped since it was made.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// How many dead keys it has walked over since it was made.
    #[cfg(test)]
    pub(crate) fn walked_ever(&self) -> u64 {
        self.walked_ever
    }

    /// Ends the run without a word: the walk has left out some keys.
    pub(crate) fn forget(&mut self) {
        (self.begun, self.spoiled, self.growing, self.walked) = (false, false, false, 0);
    }
}
