//! What is remembered, in the order of keys: disjoint stretches, and the list of them.
//!
//! A list is immutable once it is published. A change makes another one, which has most of its
//! chunks in common with the one before: it copies one chunk, and the list of chunks. Finding a
//! stretch is two binary searches. Built in the commit section, searched by readers.

use std::iter;

use super::Span;
use crate::ids::Sequence;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU32, Ordering};

/// The most stretches of a chunk.
pub(super) const CHUNK_MAX: usize = 64;

/// How many spans of older readers a stretch keeps.
pub(super) const OLDER_MAX: usize = 4;

/// What an allocation takes besides what it is for, about.
const ALLOCATION_BYTES: usize = 16;

/// No live key in `span`, for readers at `since` and above.
#[derive(Debug)]
pub(super) struct Stretch<S> {
    pub(super) span: S,
    pub(super) since: Sequence,
    /// Parts of the span in which older readers find no live key either, the newest first.
    pub(super) older: Vec<(S, Sequence)>,
    /// How many dead keys a jump spares, about.
    pub(super) keys: u64,
    /// 0 once somebody has jumped over it; at first, and whenever ageing comes by, one more.
    /// Relaxed: a hint.
    idle: AtomicU32,
}

impl<S: Span> Stretch<S> {
    /// A span of `keys` dead keys and all that it touches, as one: what is remembered of it for
    /// the newest of the readers. What they go on from becomes part of it; what an older reader
    /// adds stays apart, so that neither walks again because of the other.
    pub(super) fn new(span: &S, keys: u64, since: Sequence, touched: &[Arc<Self>]) -> Self {
        let newest = touched.iter().map(|old| old.since).fold(since, Ord::max);
        let known: u64 = touched.iter().map(|old| old.keys).sum();
        let mut older: Vec<_> = touched.iter().flat_map(|old| old.older.iter().cloned()).collect();
        if since < newest {
            let before = touched.iter().filter(|old| old.since < newest);
            older.extend(before.map(|old| (old.span.clone(), old.since)));
            add_older(&mut older, span.clone(), since);
        }
        let keys = if since < newest { known.max(keys) } else { known + keys };
        let span = touched.iter().fold(span.clone(), |all, old| all.join(&old.span));
        Self { span, since: newest, older: pruned(older), keys, idle: AtomicU32::new(1) }
    }

    /// Whether it says of the whole span that readers at `since` find nothing live there.
    pub(super) fn knows(&self, span: &S, since: Sequence) -> bool {
        self.holds(since).any(|known| known.contains(span))
    }

    /// The spans of it that hold for readers at `at`.
    pub(super) fn holds(&self, at: Sequence) -> impl Iterator<Item = &S> {
        iter::once(&self.span).filter(move |_| self.since <= at).chain(self.older(at))
    }

    /// Those of older readers among them.
    pub(super) fn older(&self, at: Sequence) -> impl Iterator<Item = &S> {
        let older = self.older.iter().filter(move |(_, since)| *since <= at);
        older.map(|(span, _)| span)
    }

    /// What is left of it where a value was put in.
    pub(super) fn split(&self, point: S::Point<'_>) -> Vec<Self> {
        let spans: Vec<S> = self.span.split(point).into_iter().flatten().collect();
        let keys = self.keys / spans.len().max(1) as u64;
        let older = self.older.iter().flat_map(|(span, since)| {
            let parts = match span.covers(point) {
                true => span.split(point),
                false => [Some(span.clone()), None],
            };
            parts.into_iter().flatten().map(|part| (part, *since))
        });
        let older: Vec<_> = older.collect();
        let part = |span: S| {
            let older = older.iter().filter(|(part, _)| span.contains(part)).cloned().collect();
            Self { span, since: self.since, older, keys, idle: AtomicU32::new(1) }
        };
        spans.into_iter().map(part).collect()
    }

    /// Notes that somebody has jumped over it.
    #[inline]
    pub(super) fn jumped(&self) {
        // Mostly it is 0, and the line stays with all who read it.
        if self.idle.load(Ordering::Relaxed) != 0 {
            self.idle.store(0, Ordering::Relaxed);
        }
    }

    /// Whether somebody has jumped over it since it was made, or since ageing came by.
    pub(super) fn is_used(&self) -> bool {
        self.idle.load(Ordering::Relaxed) == 0
    }

    /// Ageing comes by. Returns how often it has since somebody jumped over it.
    pub(super) fn age(&self) -> u32 {
        let idle = self.idle.load(Ordering::Relaxed);
        self.idle.store(idle.saturating_add(1), Ordering::Relaxed);
        idle
    }

    /// What it is worth to keep: half as much each time that ageing came by.
    pub(super) fn worth(&self) -> u64 {
        let idle = self.idle.load(Ordering::Relaxed).saturating_sub(1);
        self.keys.checked_shr(idle).unwrap_or(0)
    }

    /// Memory in bytes, with its place in a chunk.
    pub(super) fn bytes(&self) -> usize {
        let older = self.older.iter().map(|(span, _)| size_of::<(S, Sequence)>() + span.bytes());
        size_of::<Self>() + self.span.bytes() + older.sum::<usize>() + 2 * ALLOCATION_BYTES
    }
}

/// Adds a span for older readers, to what the same reader has walked before.
fn add_older<S: Span>(older: &mut Vec<(S, Sequence)>, span: S, since: Sequence) {
    let touches = |other: &S| !other.ends_before(&span) && !span.ends_before(other);
    match older.iter_mut().find(|(other, at)| *at == since && touches(other)) {
        Some((other, _)) => *other = other.join(&span),
        None => older.push((span, since)),
    }
}

/// The newest of them, but for those that say nothing that a still older one does not say.
fn pruned<S: Span>(mut older: Vec<(S, Sequence)>) -> Vec<(S, Sequence)> {
    older.sort_by_key(|(_, since)| *since);
    let mut kept: Vec<(S, Sequence)> = Vec::new();
    for (span, since) in older {
        if !kept.iter().any(|(known, _)| known.contains(&span)) {
            kept.push((span, since));
        }
    }
    kept.reverse();
    kept.truncate(OLDER_MAX);
    kept
}

/// A part of the list. Never empty.
type Chunk<S> = Vec<Arc<Stretch<S>>>;

/// Stretches in order, of which no two overlap or touch.
#[derive(Debug)]
pub(super) struct List<S> {
    pub(super) chunks: Vec<Arc<Chunk<S>>>,
    len: usize,
    bytes: usize,
}

impl<S> Clone for List<S> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len, bytes: self.bytes }
    }
}

/// Before a stretch, or at the end of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    chunk: usize,
    at: usize,
}

impl Place {
    pub(super) fn next(self) -> Self {
        Self { at: self.at + 1, ..self }
    }

    /// Before the stretch before it in the chunk, if there is one.
    pub(super) fn before(self) -> Option<Self> {
        Some(Self { at: self.at.checked_sub(1)?, ..self })
    }
}

impl<S: Span> List<S> {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), len: 0, bytes: 0 }
    }

    /// The number of stretches.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Behind the last stretch that `before` is true for: it is true for all before that.
    #[inline]
    pub(super) fn place(&self, before: impl Fn(&S) -> bool) -> Place {
        let holds = |stretch: &Arc<Stretch<S>>| before(&stretch.span);
        let later = self.chunks.get(1..).unwrap_or_default();
        let chunk = later.partition_point(|chunk| holds(&chunk[0]));
        let at = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(holds));
        Place { chunk, at }
    }

    /// The stretch behind a place.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<&Arc<Stretch<S>>> {
        self.chunks.get(place.chunk)?.get(place.at)
    }

    /// The stretches between two places.
    pub(super) fn between(&self, from: Place, to: Place) -> Vec<Arc<Stretch<S>>> {
        let chunks = self.chunks.iter().enumerate().take(to.chunk + 1).skip(from.chunk);
        let stretches = chunks.flat_map(|(i, chunk)| {
            let first = if i == from.chunk { from.at } else { 0 };
            let end = if i == to.chunk { to.at } else { chunk.len() };
            chunk[first..end].iter().cloned()
        });
        stretches.collect()
    }

    /// Puts stretches in the place of those between two places.
    pub(super) fn replace(&mut self, from: Place, to: Place, with: Vec<Arc<Stretch<S>>>) {
        let gone = self.between(from, to);
        let bytes = |stretches: &[Arc<Stretch<S>>]| -> usize {
            stretches.iter().map(|stretch| stretch.bytes()).sum()
        };
        self.len = self.len + with.len() - gone.len();
        self.bytes = self.bytes + bytes(&with) - bytes(&gone);
        let part = |chunk: usize| self.chunks.get(chunk).map_or(&[][..], |chunk| chunk.as_slice());
        let head = &part(from.chunk)[..from.at];
        let tail = &part(to.chunk)[to.at..];
        let mut chunk: Chunk<S> =
            head.iter().cloned().chain(with).chain(tail.iter().cloned()).collect();
        let mut end = self.chunks.len().min(to.chunk + 1);
        // Small ones would pile up where much is cut away.
        if chunk.len() + part(end).len() <= CHUNK_MAX / 2 {
            chunk.extend(part(end).iter().cloned());
            end = self.chunks.len().min(end + 1);
        }
        let pieces = chunk.len().div_ceil(CHUNK_MAX).max(1);
        let pieces = chunk.chunks(chunk.len().div_ceil(pieces).max(1));
        let pieces: Vec<_> = pieces.map(|piece| Arc::new(piece.to_vec())).collect();
        self.chunks.splice(from.chunk..end, pieces);
    }

    /// Takes out the stretch behind a place.
    pub(super) fn remove(&mut self, place: Place) {
        self.replace(place, place.next(), Vec::new());
    }

    /// Before some stretch, as the number will have it.
    pub(super) fn draw(&self, number: u64) -> Option<Place> {
        let chunk = (number >> 32).checked_rem(self.chunks.len() as u64)? as usize;
        let at = (number & 0xffff_ffff) % self.chunks[chunk].len() as u64;
        Some(Place { chunk, at: at as usize })
    }

    /// Comes by one chunk, and takes out what nobody has jumped over for `idle_max` rounds.
    pub(super) fn age(&mut self, turn: usize, idle_max: u32) {
        let Some(chunk) = turn.checked_rem(self.chunks.len()) else { return };
        let all = &self.chunks[chunk];
        let from = Place { chunk, at: 0 };
        let to = Place { chunk, at: all.len() };
        let kept = all.iter().filter(|stretch| stretch.age() <= idle_max).cloned();
        let kept: Vec<_> = kept.collect();
        if kept.len() < all.len() {
            self.replace(from, to, kept);
        }
    }
}
