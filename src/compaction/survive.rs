//! Which versions of a key survive a flush or a merge.
//!
//! A reader reads at a registered snapshot, at `visible` or at something later. The snapshots and
//! `visible` are the *read points*; the lowest of them is the horizon. Of the versions of a key
//! between two neighbouring read points, (lower, upper], every reader sees the newest or none. So:
//!
//! ```text
//!     sequence      2   4   5   7   8   9    a snapshot at 4, `visible` is 8: the horizon is 4
//!     read points       x           x
//!     versions      v       v   v       v    5 goes, shadowed by 7; 2 stays for the snapshot
//! ```
//!
//! 1. What is above `visible` stays: a later reader may read anywhere among it.
//! 2. Of the versions that have the same lowest read point at or above them, the newest stays and
//!    shadows the others.
//! 3. A tombstone goes if it is at or below the horizon and nothing older of its key lies below the
//!    output: all it could hide in the output is shadowed by rule 2. One above the horizon stays,
//!    because an older version may have to stay for an older snapshot, and would come back to life
//!    for newer readers. (It might go when no older version exists, but that is only known further
//!    on in the input; it goes in a later merge, after the snapshot has.)
//! 4. A keyspace dropped at or below the horizon is seen by no reader, and goes whole.
//!
//! The read points must be read together, under the snapshot registry's mutex: a snapshot
//! registered between two reads could be at a sequence that this filter no longer serves. A read
//! point that was given up since only makes the filter keep too much.

use std::collections::BTreeMap;

use crate::format::coding::put_few;
use crate::format::key::{Entry, Kind, Position, same_bytes};
use crate::ids::{KeyspaceId, Sequence};

/// What becomes of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is carried over.
    Keep,
    /// It is left out: every reader that would see it sees a newer version.
    Shadowed,
    /// It is left out: a tombstone with nothing left to hide, or part of a dropped keyspace.
    Dropped,
}

/// The filter over one pass of entries in internal order: newest version of each key first.
///
/// One pass covers whole user keys, never a part of one's versions.
#[derive(Debug)]
pub(crate) struct Survival {
    /// The snapshots below `visible`, then `visible`: ascending. The first is the horizon.
    read_points: Vec<Sequence>,
    visible: Sequence,
    bottom: bool,
    /// Dropped keyspaces that no reader can see any more, ascending.
    dropped: Vec<KeyspaceId>,
    /// Dropped keyspaces that only snapshots see, ascending.
    held: Vec<KeyspaceId>,
    /// Whether both are empty.
    none_dropped: bool,
    /// How many versions were kept that nobody but a snapshot needs.
    kept_for_snapshots: u64,
    /// The version judged last, unless it was of a dropped keyspace.
    last: Option<Judged>,
    /// Its key, set by each way of judging; its memory is reused.
    last_key: Vec<u8>,
}

/// What was left out of some versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftOut {
    pub(crate) shadowed: u64,
    pub(crate) dropped: u64,
    /// Whether each of the versions was of another key than the one before it, the first as well.
    pub(crate) distinct: bool,
}

#[derive(Clone, Copy, Debug)]
struct Judged {
    keyspace: KeyspaceId,
    sequence: Sequence,
    /// The lowest read point that sees it; `None` above `visible`.
    seen_at: Option<Sequence>,
}

impl Survival {
    /// A filter for readers at `snapshots` (in any order) and from `visible` on, read together.
    ///
    /// `bottom` says that nothing older, of any key in the pass, lies below the output. `dropped`
    /// holds the sequence at which each dropped keyspace was dropped.
    pub(crate) fn new(
        snapshots: Vec<Sequence>,
        visible: Sequence,
        bottom: bool,
        dropped: &BTreeMap<KeyspaceId, Sequence>,
    ) -> Self {
        let mut read_points = snapshots;
        read_points.retain(|&at| at < visible);
        read_points.push(visible);
        read_points.sort_unstable();
        read_points.dedup();
        let horizon = read_points[0];
        let between = |low: Option<Sequence>, high| {
            let inside = |at| low.is_none_or(|low| at > low) && at <= high;
            dropped.iter().filter(|&(_, &at)| inside(at)).map(|(&id, _)| id).collect()
        };
        let held: Vec<_> = between(Some(horizon), visible);
        let dropped: Vec<_> = between(None, horizon);
        let none_dropped = dropped.is_empty() && held.is_empty();
        Self {
            read_points,
            visible,
            bottom,
            dropped,
            held,
            none_dropped,
            kept_for_snapshots: 0,
            last: None,
            last_key: Vec::new(),
        }
    }

    /// How many versions were kept so far for snapshots alone: without any, they would have gone.
    pub(crate) fn kept_for_snapshots(&self) -> u64 {
        self.kept_for_snapshots
    }

    /// Judges the next version.
    #[inline]
    pub(crate) fn keep(&mut self, entry: &Entry<'_>) -> Verdict {
        let same = self.is_of_last_key(entry);
        let verdict = self.verdict(entry, same);
        if !same {
            self.set_last_key(entry);
        }
        verdict
    }

    /// Judges the next versions, and leaves those that are to stay.
    pub(crate) fn keep_of(&mut self, entries: &mut Vec<Entry<'_>>) -> LeftOut {
        let mut left_out = LeftOut { shadowed: 0, dropped: 0, distinct: true };
        let Some(last) = entries.last().copied() else { return left_out };
        if self.are_plain(entries) {
            let keyspace = last.keyspace;
            let sequence = last.sequence;
            self.last = Some(Judged { keyspace, sequence, seen_at: Some(self.horizon()) });
            self.set_last_key(&last);
            return left_out;
        }
        let mut before: Option<Position<'_>> = None;
        entries.retain(|entry| {
            let here = entry.position();
            let same = match before {
                Some(before) => before.same_key(&here),
                None => self.is_of_last_key(entry),
            };
            before = Some(here);
            left_out.distinct &= !same;
            let verdict = self.verdict(entry, same);
            left_out.shadowed += u64::from(verdict == Verdict::Shadowed);
            left_out.dropped += u64::from(verdict == Verdict::Dropped);
            verdict == Verdict::Keep
        });
        self.set_last_key(&last);
        left_out
    }

    /// Whether each of these is the only value of its key so far, older than every snapshot, and
    /// nothing was dropped, as with most.
    fn are_plain(&self, entries: &[Entry<'_>]) -> bool {
        let horizon = self.horizon();
        let plain = |entry: &Entry<'_>| entry.kind == Kind::Value && entry.sequence <= horizon;
        let same = |pair: &[Entry<'_>]| pair[0].position().same_key(&pair[1].position());
        self.none_dropped
            && entries.first().is_some_and(|first| !self.is_of_last_key(first))
            && entries.iter().all(plain)
            && !entries.windows(2).any(same)
    }

    /// Whether the version judged last was of the same key.
    #[inline]
    fn is_of_last_key(&self, entry: &Entry<'_>) -> bool {
        self.last.is_some_and(|last| last.keyspace == entry.keyspace)
            && same_bytes(&self.last_key, entry.key)
    }

    #[inline]
    fn set_last_key(&mut self, entry: &Entry<'_>) {
        self.last_key.clear();
        put_few(&mut self.last_key, entry.key);
    }

    /// Judges a version; `same` says whether it is of the key judged last.
    #[inline]
    fn verdict(&mut self, entry: &Entry<'_>, same: bool) -> Verdict {
        // Nearly all of most passes: the only value of its key, older than every snapshot, and
        // nothing was dropped.
        let horizon = self.horizon();
        let plain = entry.kind == Kind::Value && entry.sequence <= horizon && self.none_dropped;
        if plain && !same {
            let keyspace = entry.keyspace;
            let sequence = entry.sequence;
            self.last = Some(Judged { keyspace, sequence, seen_at: Some(horizon) });
            return Verdict::Keep;
        }
        self.judge(entry, same)
    }

    /// [`Self::verdict`], by all the rules.
    #[inline(never)]
    fn judge(&mut self, entry: &Entry<'_>, same: bool) -> Verdict {
        if self.dropped.binary_search(&entry.keyspace).is_ok() {
            self.last = None;
            return Verdict::Dropped;
        }
        let newer = self.last.filter(|_| same);
        let seen_at = self.seen_at(entry.sequence);
        self.last = Some(Judged { keyspace: entry.keyspace, sequence: entry.sequence, seen_at });
        match newer {
            None => {}
            // A second copy of one operation, where the views of two inputs overlap.
            Some(newer) if newer.sequence == entry.sequence => return Verdict::Shadowed,
            Some(newer) => {
                debug_assert!(newer.sequence > entry.sequence, "the newest version comes first");
                if seen_at.is_some() && newer.seen_at == seen_at {
                    return Verdict::Shadowed;
                }
            }
        }
        if entry.kind == Kind::Tombstone && self.bottom && seen_at == Some(self.horizon()) {
            return Verdict::Dropped;
        }
        // Without snapshots, rules 2 to 4 have one read point, `visible`.
        let shadowed = newer.is_some_and(|newer| newer.seen_at.is_some());
        let bottom = entry.kind == Kind::Tombstone && self.bottom;
        let held = || self.held.binary_search(&entry.keyspace).is_ok();
        if seen_at.is_some() && (shadowed || bottom || held()) {
            self.kept_for_snapshots += 1;
        }
        Verdict::Keep
    }

    #[inline]
    fn horizon(&self) -> Sequence {
        self.read_points[0]
    }

    /// The lowest read point that sees `sequence`, if that is not above `visible`.
    fn seen_at(&self, sequence: Sequence) -> Option<Sequence> {
        if sequence > self.visible {
            return None;
        }
        self.read_points.get(self.read_points.partition_point(|&at| at < sequence)).copied()
    }
}

#[cfg(test)]
mod tests;
