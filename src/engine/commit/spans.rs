//! Sets of keys, single ones and ranges: what a transaction has read, and what a hold covers.
//!
//! Built by one thread; looked at in the commit section, where nothing of it is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::ids::KeyspaceId;

/// About what an entry takes beside its bytes.
pub(crate) const ENTRY_BYTES: usize = 64;

/// Keys and ranges of keys, of any keyspaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    of: BTreeMap<KeyspaceId, OfKeyspace>,
    bytes: usize,
}

/// A range of keys: from the first to before the second, or to the end.
pub(crate) type Span<'a> = (&'a [u8], Option<&'a [u8]>);

#[derive(Clone, Debug, Default)]
struct OfKeyspace {
    keys: BTreeSet<Vec<u8>>,
    /// No two overlap or touch.
    ranges: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl OfKeyspace {
    /// Whether all from `start` to before `end` is in one range.
    fn has_range(&self, (start, end): Span<'_>) -> bool {
        let before = self.ranges.range::<[u8], _>(up_to(start)).next_back();
        before.is_some_and(|(_, to)| reaches(to.as_deref(), end))
    }

    fn has_key(&self, key: &[u8]) -> bool {
        if self.keys.contains(key) {
            return true;
        }
        let before = self.ranges.range::<[u8], _>(up_to(key)).next_back();
        before.is_some_and(|(_, to)| to.as_deref().is_none_or(|to| key < to))
    }
}

fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

fn from(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(key), Bound::Unbounded)
}

/// Whether the end `to` lies at `end` or behind.
fn reaches(to: Option<&[u8]>, end: Option<&[u8]>) -> bool {
    match (to, end) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(to), Some(end)) => to >= end,
    }
}

impl Spans {
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn add_key(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        let of = self.of.entry(keyspace).or_default();
        if !of.has_key(key) {
            of.keys.insert(key.to_vec());
            self.bytes += ENTRY_BYTES + key.len();
        }
    }

    /// Adds a range, which grows together with those that it touches. One that ends before it
    /// begins has nothing.
    pub(crate) fn add_range(&mut self, keyspace: KeyspaceId, (start, end): Span<'_>) {
        if end.is_some_and(|end| end <= start) {
            return;
        }
        let of = self.of.entry(keyspace).or_default();
        if of.has_range((start, end)) {
            return;
        }
        let mut start = start.to_vec();
        let mut end = end.map(<[u8]>::to_vec);
        let before = of.ranges.range::<[u8], _>(up_to(&start)).next_back();
        if let Some((first, to)) = before
            && reaches(to.as_deref(), Some(&start))
        {
            start = first.clone();
        }
        while let Some((next, to)) = of.ranges.range::<[u8], _>(from(&start)).next() {
            if !reaches(end.as_deref(), Some(next)) {
                break;
            }
            if reaches(to.as_deref(), end.as_deref()) {
                end.clone_from(to);
            }
            self.bytes -= range_bytes(next, to.as_deref());
            let next = next.clone();
            of.ranges.remove(&next);
        }
        self.bytes += range_bytes(&start, end.as_deref());
        of.ranges.insert(start, end);
    }

    /// Adds all of another set.
    pub(crate) fn add_all(&mut self, other: &Self) {
        other.keys().for_each(|(keyspace, key)| self.add_key(keyspace, key));
        other.ranges().for_each(|(keyspace, span)| self.add_range(keyspace, span));
    }

    pub(crate) fn has_key(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        self.of.get(&keyspace).is_some_and(|of| of.has_key(key))
    }

    pub(crate) fn keyspaces(&self) -> impl Iterator<Item = KeyspaceId> {
        self.of.keys().copied()
    }

    /// The single keys, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (KeyspaceId, &[u8])> {
        self.of.iter().flat_map(|(&id, of)| of.keys.iter().map(move |key| (id, &**key)))
    }

    /// The ranges, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (KeyspaceId, Span<'_>)> {
        self.of.iter().flat_map(|(&id, of)| {
            of.ranges.iter().map(move |(start, end)| (id, (&**start, end.as_deref())))
        })
    }
}

fn range_bytes(start: &[u8], end: Option<&[u8]>) -> usize {
    ENTRY_BYTES + start.len() + end.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests;
