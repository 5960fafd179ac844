//! What the next step of a merge does with the references of its two runs: which are only relinked,
//! and which range is read and written again.
//!
//! Pure: decides on bounds and sizes. The engine carries a plan out and asks again at the frontier.

use crate::format::meta::BoundKey;
use crate::runs::SegmentRef;

/// A reference in one of the two runs, at or behind the frontier.
#[derive(Clone, Debug)]
pub(crate) struct Piece<P> {
    pub(crate) first: BoundKey,
    /// The last key that can be met in it; or, if `cut`, the first that cannot.
    pub(crate) last: BoundKey,
    pub(crate) cut: bool,
    /// Bytes of its data blocks.
    pub(crate) bytes: u64,
    /// So much in it is of no use that it is rewritten even if nothing overlaps it.
    pub(crate) rewrite: bool,
    /// What is of different groups is not written into one segment.
    pub(crate) group: usize,
    pub(crate) part: P,
}

impl Piece<SegmentRef> {
    pub(crate) fn new(part: SegmentRef, rewrite: bool, group: usize) -> Self {
        let first = part.first.clone();
        let bytes = part.bytes;
        let cut = part.to.as_ref().is_some_and(|to| *to <= part.last);
        let last = part.to.as_ref().filter(|_| cut).unwrap_or(&part.last).clone();
        Self { first, last, cut, bytes, rewrite, group, part }
    }
}

/// Which pieces are written together though they do not overlap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    /// A piece smaller than this joins its neighbour, so that merges leave no dust.
    pub(crate) small_bytes: u64,
    /// A segment of that many bytes ends where the keyspace does.
    pub(crate) keyspace_cut_bytes: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<P> {
    /// References that become part of the older run as they are: each lies before the next one and
    /// before everything that is merged.
    pub(crate) moved: Vec<P>,
    /// Where reading begins. Nothing is left to do behind it if this is `None`.
    pub(crate) from: Option<BoundKey>,
    /// Before which key it ends; `None` for the end of both runs.
    pub(crate) to: Option<BoundKey>,
}

/// Plans the next step over the pieces of both runs, in any order.
///
/// Pieces that overlap are merged. One that stands alone is moved, unless there is reason to write
/// it again; a small neighbour joins what is merged beside it, if it would come into one segment
/// with that. Otherwise each merge would rewrite it, and it would be as small again.
pub(crate) fn plan<P: Clone>(mut pieces: Vec<Piece<P>>, joining: Joining) -> Plan<P> {
    pieces.sort_by(|a, b| a.first.cmp(&b.first));
    let mut moved = Vec::new();
    let mut at = 0;
    while at < pieces.len() {
        let end = cluster_end(&pieces, at, joining);
        let alone = end == at + 1 && !pieces[at].rewrite;
        if !alone {
            let to = pieces.get(end).map(|next| next.first.clone());
            return Plan { moved, from: Some(pieces[at].first.clone()), to };
        }
        moved.push(pieces[at].part.clone());
        at = end;
    }
    Plan { moved, from: None, to: None }
}

/// The end of the pieces from `at` on that are written as one: those that overlap, and small ones
/// beside them.
fn cluster_end<P>(pieces: &[Piece<P>], at: usize, joining: Joining) -> usize {
    let Joining { small_bytes, keyspace_cut_bytes } = joining;
    let mut end = overlap_end(pieces, at);
    let mut bytes: u64 = pieces[at..end].iter().map(|piece| piece.bytes).sum();
    while bytes < small_bytes && end < pieces.len() {
        let written = end > at + 1 || pieces[at].rewrite;
        let next_end = overlap_end(pieces, end);
        let next = &pieces[end];
        let last = &pieces[end - 1];
        let same_keyspace = last.first.keyspace == next.first.keyspace;
        if last.group != next.group || !same_keyspace && bytes >= keyspace_cut_bytes {
            break;
        }
        let next_written = next_end > end + 1 || next.rewrite;
        // Two that would both be moved: only if both are small. Else the small one joins what is
        // written anyway.
        if !written && !next_written && next.bytes >= small_bytes {
            break;
        }
        if written && !next_written && next.bytes >= small_bytes {
            break;
        }
        bytes += pieces[end..next_end].iter().map(|piece| piece.bytes).sum::<u64>();
        end = next_end;
    }
    end
}

/// The end of the pieces from `at` on that overlap each other, one by one.
fn overlap_end<P>(pieces: &[Piece<P>], at: usize) -> usize {
    let ends_before = |piece: &Piece<P>, key: &BoundKey| {
        if piece.cut { piece.last <= *key } else { piece.last < *key }
    };
    let mut furthest = &pieces[at];
    let mut end = at + 1;
    while let Some(next) = pieces.get(end) {
        if ends_before(furthest, &next.first) {
            break;
        }
        if (&next.last, !next.cut) > (&furthest.last, !furthest.cut) {
            furthest = next;
        }
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests;
