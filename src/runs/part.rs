//! References to segments, whole or trimmed, and what one step of a merge makes of two runs.
//!
//! Pure: a new value for every change. Called by `open`, flushes and merges.

use super::{Run, SegmentRef};
use crate::format::meta::{BoundKey, RunMeta, SegmentMeta, SegmentRefMeta};
use crate::ids::{FileNumber, KeyspaceId};
use crate::segment::Segment;
use crate::sync::Arc;

fn bound((keyspace, key): &crate::format::properties::OwnedKey) -> BoundKey {
    BoundKey { keyspace: *keyspace, key: key.clone() }
}

impl SegmentRef {
    /// All of a segment.
    pub(crate) fn whole(segment: Arc<Segment>) -> Self {
        let properties = segment.properties();
        let first = bound(&properties.first);
        let last = bound(&properties.last);
        let bytes = properties.stored_bytes;
        Self { segment, first, last, to: None, bytes }
    }

    /// The part of a segment from `from` to before `to`, as the manifest says it.
    pub(crate) fn trimmed(
        segment: Arc<Segment>,
        from: Option<BoundKey>,
        to: Option<BoundKey>,
    ) -> Self {
        let whole = Self::whole(segment);
        let first = from.map_or_else(|| whole.first.clone(), |from| from.max(whole.first.clone()));
        Self { first, to, ..whole }.measured()
    }

    /// Whether it reaches only a part of the segment.
    pub(crate) fn is_trimmed(&self) -> bool {
        self.to.is_some() || self.first != bound(&self.segment.properties().first)
    }

    /// What the manifest says of it.
    pub(crate) fn meta(&self) -> SegmentRefMeta {
        let properties = self.segment.properties();
        let first = bound(&properties.first);
        SegmentRefMeta {
            from: (self.first != first).then(|| self.first.clone()),
            to: self.to.clone(),
            segment: SegmentMeta {
                number: self.segment.number(),
                uuid: self.segment.uuid(),
                bytes: self.segment.bytes(),
                entries: properties.entries(),
                first,
                last: bound(&properties.last),
                smallest: properties.smallest,
                largest: properties.largest,
                created_ms: properties.created_ms,
            },
        }
    }

    /// What of it lies before `at`; nothing if all of it lies behind.
    pub(crate) fn before(&self, at: &BoundKey) -> Option<Self> {
        if *at <= self.first {
            return None;
        }
        if self.ends_before(at.keyspace, &at.key) {
            return Some(self.clone());
        }
        Some(Self { to: Some(at.clone()), ..self.clone() }.measured())
    }

    /// What of it lies at `at` or behind; nothing if all of it lies before.
    pub(crate) fn from(&self, at: &BoundKey) -> Option<Self> {
        if self.ends_before(at.keyspace, &at.key) {
            return None;
        }
        if *at <= self.first {
            return Some(self.clone());
        }
        Some(Self { first: at.clone(), ..self.clone() }.measured())
    }

    /// Whether there may be keys of a keyspace in it: of a whole segment exactly, since a data
    /// block holds keys of one keyspace only.
    pub(crate) fn may_hold(&self, keyspace: KeyspaceId) -> bool {
        let start = BoundKey { keyspace, key: Vec::new() };
        if self.to.as_ref().is_some_and(|to| *to <= start) {
            return false;
        }
        let from = self.first.clone().max(start);
        let index = self.segment.index();
        let block = index.find(from.keyspace, &from.key);
        block < index.len() && index.keyspace(block) == keyspace
    }

    /// With the bytes of the data blocks that it reaches, those at its ends in full.
    fn measured(mut self) -> Self {
        let index = self.segment.index();
        let begin = index.find(self.first.keyspace, &self.first.key);
        let end = match &self.to {
            Some(to) => (index.find(to.keyspace, &to.key) + 1).min(index.len()),
            None => index.len(),
        };
        self.bytes = index.span_bytes(begin, end);
        self
    }
}

impl Run {
    /// What the manifest says of it.
    pub(crate) fn meta(&self) -> RunMeta {
        let segments = self.segments.iter().map(SegmentRef::meta).collect();
        RunMeta { id: self.id, segments, sequence_override: None }
    }

    /// The parts of it from `from` (or its beginning) to before `to` (or its end).
    pub(crate) fn between(
        &self,
        from: Option<&BoundKey>,
        to: Option<&BoundKey>,
    ) -> Vec<SegmentRef> {
        let start = from.map_or(0, |from| self.first_not_before(from.keyspace, &from.key));
        let cut = |part: &SegmentRef| {
            let part = from.map_or_else(|| Some(part.clone()), |from| part.from(from))?;
            to.map_or_else(|| Some(part.clone()), |to| part.before(to))
        };
        let reached = |part: &&SegmentRef| to.is_none_or(|to| part.first < *to);
        self.segments[start..].iter().take_while(reached).filter_map(cut).collect()
    }

    /// The run with what lies between `from` and `to` replaced; nothing if nothing is left.
    pub(crate) fn with_between(
        &self,
        from: Option<&BoundKey>,
        to: Option<&BoundKey>,
        fresh: Vec<SegmentRef>,
    ) -> Option<Self> {
        let mut segments = from.map_or_else(Vec::new, |from| self.between(None, Some(from)));
        segments.extend(fresh);
        if let Some(to) = to {
            segments.extend(self.between(Some(to), None));
        }
        (!segments.is_empty()).then_some(Self { id: self.id, segments })
    }

    /// The numbers of its files, ascending.
    pub(crate) fn numbers(&self) -> Vec<FileNumber> {
        let mut numbers: Vec<_> = self.segments.iter().map(|part| part.segment.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}
