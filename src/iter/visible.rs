//! [`VisibleIter`]: what a reader at one sequence sees of one keyspace, from both ends.
//!
//! Turns versions into keys and values: the newest version at or below the sequence counts, and a
//! tombstone hides its key. Knows cursors, not where they come from, and not which sequences are
//! safe to read at: the caller hands in a set of entries that is complete for its sequence.
//! Used by one thread at a time.

use std::ops::Bound;

use crate::error::Result;
use crate::format::key::{KEY_BYTES_MAX, Kind, Position};
use crate::ids::{KeyspaceId, Sequence};
use crate::value::Value;

use super::Cursor;
use super::ahead::Ahead;
use super::range::{Bounds, copy_into, exclude, include, key_of};
use super::stretch::{Dead, DeadRun, Edge, Jump, Way};

/// How many versions of one key are stepped over before a seek leaves the rest behind. A seek costs
/// about as much as this many steps; with fewer, a key overwritten twice would pay for a seek.
const STEPS_BEFORE_SEEK: u32 = 8;

/// The last key of every keyspace's order: nothing longer may be stored.
static KEY_LAST: [u8; KEY_BYTES_MAX] = [u8::MAX; KEY_BYTES_MAX];

/// Makes cursors, all of them over the same set of entries. So does a closure.
pub(crate) trait Make<C> {
    /// One that stands nowhere.
    fn make(&self) -> C;
}

impl<C, F: Fn() -> C> Make<C> for F {
    fn make(&self) -> C {
        self()
    }
}

/// The keys of one keyspace within bounds, and their values, as of one sequence.
///
/// Both ends may be drawn from in any mixture: no key comes twice, and once they have met, both are
/// at the end for good. Each end has a cursor of its own, made when it is first drawn from, so that
/// no cursor ever turns around.
///
/// An error is returned once; from then on both ends are at the end (D12). Seeking either end
/// begins again.
#[derive(Debug)]
pub(crate) struct VisibleIter<C, F> {
    make: F,
    keyspace: KeyspaceId,
    at: Sequence,
    /// The keys that were not looked at yet lie between `start` and `end`: either is moved past
    /// each key that is done with, yielded or hidden. Inverted bounds hold no key: no check needed.
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
    /// Stays on the entry last yielded, so that nothing is read before it is asked for.
    front: Option<C>,
    /// Stands below the key last yielded, but on it if that was drawn ahead.
    back: Option<C>,
    /// What either end yields next, as far as it is known; what it has drawn from there is not in
    /// `start` or `end` until it is settled. Empty, for the end that was not drawn from last.
    front_ahead: Ahead,
    back_ahead: Ahead,
    /// The end that was drawn from last, since a seek.
    last: Option<Way>,
    /// The value that was drawn from the back last to be lent, if no cursor stands on it.
    lent: Option<Value>,
    /// The dead keys that either end has walked over since it met a live one.
    front_run: DeadRun,
    back_run: DeadRun,
    /// A run that has ended and is worth remembering.
    walked: Option<Dead>,
    /// An error was returned, and neither end was moved since.
    failed: bool,
    /// Nothing is left between the bounds.
    done: bool,
}

impl<C: Cursor, F: Make<C>> VisibleIter<C, F> {
    /// An iterator over the entries that the cursors from `make` walk, all of them the same set.
    pub(crate) fn new(make: F, keyspace: KeyspaceId, at: Sequence, bounds: Bounds) -> Self {
        let (start, end) = bounds;
        Self {
            make,
            keyspace,
            at,
            start,
            end,
            front: None,
            back: None,
            front_ahead: Ahead::new(),
            back_ahead: Ahead::new(),
            last: None,
            lent: None,
            front_run: DeadRun::new(),
            back_run: DeadRun::new(),
            walked: None,
            failed: false,
            done: false,
        }
    }

    /// The dead keys that the last draw has walked over, if they are worth remembering, and the
    /// sequence that they are dead at and, but for later writes, above.
    #[inline]
    pub(crate) fn take_walked(&mut self) -> Option<(Dead, Sequence)> {
        self.walked.take().map(|dead| (dead, self.at))
    }

    /// Goes on with cursors from `make`, which walk the same set or a part of it, behind what was
    /// yielded, also after an error.
    pub(crate) fn remake(&mut self, make: F) {
        self.settle();
        let bounds = (self.start.clone(), self.end.clone());
        *self = Self::new(make, self.keyspace, self.at, bounds);
    }

    /// What its cursors are made by.
    pub(crate) fn maker(&self) -> &F {
        &self.make
    }

    /// How often it has jumped over remembered stretches instead of walking.
    pub(crate) fn jumps(&self) -> u64 {
        self.front_run.jumps() + self.back_run.jumps()
    }

    /// How many keys have been drawn ahead of where the cursors were settled: none or one.
    #[cfg(test)]
    pub(crate) fn drawn_ahead(&self) -> u64 {
        let ends = [&self.front_ahead, &self.back_ahead];
        ends.into_iter().filter(|end| end.has_drawn()).count() as u64
    }

    /// How many dead keys it has walked over.
    #[cfg(test)]
    pub(crate) fn dead_walked(&self) -> u64 {
        self.front_run.walked_ever() + self.back_run.walked_ever()
    }

    /// The next key in ascending order: what `key` makes of it, and what `value` makes of the
    /// cursor that stands on its version. Nothing else is copied.
    pub(crate) fn next_front<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&C) -> V,
    ) -> Option<Result<(K, V)>> {
        if self.draws_ahead(Way::Forward)
            && let Some(cursor) = &self.front
        {
            return Some(Ok((key(cursor.pair().0), value(cursor))));
        }
        self.find_front(key, value)
    }

    /// As [`Self::next_front`], in descending order. `value` may be asked about versions that turn
    /// out to be too old.
    pub(crate) fn next_back<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&C) -> V,
    ) -> Option<Result<(K, V)>> {
        if self.draws_ahead(Way::Backward)
            && let Some(cursor) = &self.back
        {
            return Some(Ok((key(cursor.pair().0), value(cursor))));
        }
        self.find_back(key, value)
    }

    /// [`Self::next_front`] where [`Self::draws_ahead`] has said no.
    fn find_front<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&C) -> V,
    ) -> Option<Result<(K, V)>> {
        if self.done || self.failed {
            return None;
        }
        let found = self.advance_front(key, value);
        self.conclude(found)
    }

    /// [`Self::next_back`] where [`Self::draws_ahead`] has said no.
    fn find_back<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&C) -> V,
    ) -> Option<Result<(K, V)>> {
        if self.done || self.failed {
            return None;
        }
        let found = self.advance_back(key, value);
        self.conclude(found)
    }

    /// Draws from the front, for [`Self::lent_front`], where [`Self::draws_ahead`] has said no.
    pub(crate) fn draw_front(&mut self) -> Option<Result<()>> {
        self.find_front(|_| (), |_| ()).map(|drawn| drawn.map(|_| ()))
    }

    /// The key and the value that were drawn from the front last.
    #[inline]
    pub(crate) fn lent_front(&self) -> (&[u8], &[u8]) {
        self.front.as_ref().map(C::pair).unwrap_or_default()
    }

    /// Draws from the back, for [`Self::lent_back`], where [`Self::draws_ahead`] has said no.
    pub(crate) fn draw_back(&mut self) -> Option<Result<()>> {
        // The cursor leaves it.
        let drawn = self.find_back(|_| (), C::value)?;
        Some(drawn.map(|((), value)| self.lent = Some(value)))
    }

    /// The key and the value that were drawn from the back last, to be lent.
    #[inline]
    pub(crate) fn lent_back(&self) -> (&[u8], &[u8]) {
        match &self.back {
            Some(cursor) if self.back_ahead.has_drawn() => cursor.pair(),
            _ => (key_of(&self.end), self.lent.as_deref().unwrap_or_default()),
        }
    }

    /// Passes over the keys before `key`, from the front. Never back: no key comes twice. After an
    /// error both ends may be drawn from again.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        self.settle();
        self.last = None;
        self.failed = false;
        let ahead = match &self.start {
            Bound::Included(start) | Bound::Excluded(start) => key > start.as_slice(),
            Bound::Unbounded => true,
        };
        if ahead {
            self.start = Bound::Included(copy_into(&mut self.start, key));
            self.front_run.forget();
        }
    }

    /// Passes over the keys after `key`, from the back, as [`Self::seek`] does from the front.
    pub(crate) fn seek_back(&mut self, key: &[u8]) {
        self.settle();
        self.last = None;
        self.failed = false;
        let ahead = match &self.end {
            Bound::Included(end) | Bound::Excluded(end) => key < end.as_slice(),
            Bound::Unbounded => true,
        };
        if ahead {
            self.end = Bound::Included(copy_into(&mut self.end, key));
            self.back_run.forget();
        }
    }

    /// Has both ends stand where they would without looking ahead.
    fn settle(&mut self) {
        self.lent = None;
        self.front_ahead.settle(self.front.as_mut(), Way::Forward, |key| {
            exclude(&mut self.start, key);
        });
        self.back_ahead.settle(self.back.as_mut(), Way::Backward, |key| {
            exclude(&mut self.end, key);
        });
    }

    /// Draws a key that comes next by the look of its block alone, if it is known which does:
    /// nothing is read for it. Otherwise both ends are settled, and the next key is to be found.
    /// Not to be asked twice for one key.
    #[inline]
    pub(crate) fn draws_ahead(&mut self, way: Way) -> bool {
        let drawn = match way {
            Way::Forward => self.front_ahead.draw(self.front.as_mut(), way, self.at),
            Way::Backward => self.back_ahead.draw(self.back.as_mut(), way, self.at),
        };
        drawn || self.looks_and_draws(way)
    }

    /// Looks ahead if the draw before was from the same end: who draws once may be done.
    fn looks_and_draws(&mut self, way: Way) -> bool {
        self.settle();
        if self.last.replace(way) != Some(way) {
            return false;
        }
        let (ahead, cursor, limit) = match way {
            Way::Forward => (&mut self.front_ahead, &mut self.front, &self.end),
            Way::Backward => (&mut self.back_ahead, &mut self.back, &self.start),
        };
        let Some(cursor) = cursor else { return false };
        ahead.look(cursor, way, self.keyspace, limit);
        ahead.draw(Some(cursor), way, self.at)
    }

    /// Ends a draw that was made from settled ends.
    fn conclude<T>(&mut self, found: Result<Option<T>>) -> Option<Result<T>> {
        match found {
            Ok(Some(found)) => return Some(Ok(found)),
            // Nothing is left between the bounds, for either end.
            Ok(None) => self.done = true,
            Err(_) => self.fail(),
        }
        // Cursors hold on to what they read from; an iterator that is over holds on to nothing.
        (self.front, self.back) = (None, None);
        (self.front_ahead, self.back_ahead) = (Ahead::new(), Ahead::new());
        found.transpose()
    }

    /// What was walked over is not known to be dead where the walk broke off.
    fn fail(&mut self) {
        self.failed = true;
        self.front_run.forget();
        self.back_run.forget();
    }

    fn advance_front<K, V>(
        &mut self,
        take_key: impl Fn(&[u8]) -> K,
        take_value: impl Fn(&C) -> V,
    ) -> Result<Option<(K, V)>> {
        let keyspace = self.keyspace;
        let at = self.at;
        let way = Way::Forward;
        if !self.place_front()? {
            return Ok(None);
        }
        let cursor = self.front.as_mut().expect("the cursor was placed above");
        let run = &mut self.front_run;
        while let Some(entry) = cursor.entry() {
            let inside = match &self.end {
                Bound::Included(end) => entry.key <= end.as_slice(),
                Bound::Excluded(end) => entry.key < end.as_slice(),
                Bound::Unbounded => true,
            };
            if entry.keyspace != keyspace || !inside {
                break;
            }
            let newer = entry.sequence > at;
            let mut kind = entry.kind;
            if newer {
                run.spoil();
            } else if kind == Kind::Tombstone {
                run.begin(way, &self.start, entry.key);
            }
            let key = exclude(&mut self.start, entry.key);
            if newer {
                if let Err(error) = skip(cursor, Position { keyspace, key, sequence: at }) {
                    // What the key holds is not known: who seeks and draws again looks again.
                    include(&mut self.start);
                    return Err(error);
                }
                kind = match cursor.entry() {
                    Some(entry) if entry.keyspace == keyspace && entry.key == key => entry.kind,
                    _ => continue,
                };
            }
            if kind == Kind::Value {
                self.walked = run.end(way, keyspace, key, true);
                return Ok(Some((take_key(key), take_value(cursor))));
            }
            run.walked();
            let edge = Edge { keyspace, key, after: true };
            match run.jump(cursor, way, edge, &self.end, at)? {
                Jump::None => skip(cursor, Position::last(keyspace, key))?,
                Jump::Landed => {}
                Jump::Over => break,
            }
        }
        self.walked = run.end(way, keyspace, key_of(&self.start), false);
        Ok(None)
    }

    /// Makes the front's cursor, or moves it on to where the next draw begins. Returns whether
    /// there may be a key left.
    fn place_front(&mut self) -> Result<bool> {
        let keyspace = self.keyspace;
        let way = Way::Forward;
        let key = key_of(&self.start);
        let after = matches!(&self.start, Bound::Excluded(_));
        let edge = Edge { keyspace, key, after };
        let fresh = self.front.is_none();
        let cursor = self.front.get_or_insert_with(|| self.make.make());
        // Only a seek leaves an older cursor before the start.
        if fresh || !after {
            let jump = self.front_run.jump(cursor, way, edge, &self.end, self.at)?;
            if jump != Jump::None {
                self.front_run.begin(way, &self.start, &[]);
                return Ok(jump == Jump::Landed);
            }
        }
        if fresh {
            cursor.seek(edge.position())?
        } else {
            skip(cursor, edge.position())?
        }
        Ok(true)
    }

    fn advance_back<K, V>(
        &mut self,
        take_key: impl Fn(&[u8]) -> K,
        take_value: impl Fn(&C) -> V,
    ) -> Result<Option<(K, V)>> {
        let keyspace = self.keyspace;
        let at = self.at;
        let way = Way::Backward;
        if !self.place_back()? {
            return Ok(None);
        }
        let cursor = self.back.as_mut().expect("the cursor was placed above");
        let run = &mut self.back_run;
        while let Some(entry) = cursor.entry() {
            let inside = match &self.start {
                Bound::Included(start) => entry.key >= start.as_slice(),
                Bound::Excluded(start) => entry.key > start.as_slice(),
                Bound::Unbounded => true,
            };
            if entry.keyspace != keyspace || !inside {
                break;
            }
            run.begin(way, &self.end, entry.key);
            let key = exclude(&mut self.end, entry.key);
            let taken = take_key_backward(cursor, keyspace, key, at, &take_value);
            let Ok((value, newer)) = taken else {
                include(&mut self.end);
                return taken.map(|_| None);
            };
            if let Some(value) = value {
                self.walked = run.end(way, keyspace, key, true);
                return Ok(Some((take_key(key), value)));
            }
            if newer {
                run.spoil();
            }
            run.walked();
            let edge = Edge { keyspace, key, after: false };
            match run.jump(cursor, way, edge, &self.start, at)? {
                Jump::None | Jump::Landed => {}
                Jump::Over => break,
            }
        }
        self.walked = run.end(way, keyspace, key_of(&self.end), false);
        Ok(None)
    }

    /// Makes the back's cursor, or moves it on to where the next draw begins. Returns whether there
    /// may be a key left.
    fn place_back(&mut self) -> Result<bool> {
        let keyspace = self.keyspace;
        let way = Way::Backward;
        let (key, after) = match &self.end {
            Bound::Included(key) => (key.as_slice(), true),
            Bound::Excluded(key) => (key.as_slice(), false),
            Bound::Unbounded => (&KEY_LAST[..], true),
        };
        let edge = Edge { keyspace, key, after };
        let fresh = self.back.is_none();
        let cursor = self.back.get_or_insert_with(|| self.make.make());
        // Only a seek leaves an older cursor above the end.
        if !fresh && !after {
            return Ok(true);
        }
        let jump = self.back_run.jump(cursor, way, edge, &self.start, self.at)?;
        if jump != Jump::None {
            self.back_run.begin(way, &self.end, &[]);
            return Ok(jump == Jump::Landed);
        }
        if fresh {
            cursor.seek_before(edge.position())?
        } else {
            skip_back(cursor, edge.position())?
        }
        Ok(true)
    }
}

/// Moves a backward cursor from the oldest version of `key` to before all of them, and returns what
/// the newest one at or below `at` holds, if it holds a value, and whether there may be newer ones.
fn take_key_backward<C: Cursor, V>(
    cursor: &mut C,
    keyspace: KeyspaceId,
    key: &[u8],
    at: Sequence,
    take_value: impl Fn(&C) -> V,
) -> Result<(Option<V>, bool)> {
    let kind_here = |cursor: &C| match cursor.entry() {
        Some(entry) if entry.keyspace == keyspace && entry.key == key && entry.sequence <= at => {
            Some(entry.kind)
        }
        _ => None,
    };
    let value_here = |cursor: &C, kind: Kind| (kind == Kind::Value).then(|| take_value(cursor));
    let mut newest = None;
    let mut steps = 0;
    while let Some(kind) = kind_here(cursor) {
        if steps == STEPS_BEFORE_SEEK {
            // The newest visible version is where a forward seek to it lands; the way there would
            // copy out the value of each version in between.
            cursor.seek(Position { keyspace, key, sequence: at })?;
            newest = kind_here(cursor).and_then(|kind| value_here(cursor, kind));
            cursor.seek_before(Position::first(keyspace, key))?;
            return Ok((newest, true));
        }
        newest = value_here(cursor, kind);
        cursor.prev()?;
        steps += 1;
    }
    let newer = cursor.entry().is_some_and(|it| it.keyspace == keyspace && it.key == key);
    skip_back(cursor, Position::first(keyspace, key))?;
    Ok((newest, newer))
}

/// Moves a forward cursor to the first entry at or after `target`: by steps if it is near.
fn skip<C: Cursor>(cursor: &mut C, target: Position<'_>) -> Result<()> {
    for _ in 0..STEPS_BEFORE_SEEK {
        match cursor.entry() {
            Some(entry) if entry.position() < target => cursor.next()?,
            _ => return Ok(()),
        }
    }
    match cursor.entry() {
        Some(entry) if entry.position() < target => cursor.seek(target),
        _ => Ok(()),
    }
}

/// Moves a backward cursor to the last entry before `target`: by steps if it is near.
fn skip_back<C: Cursor>(cursor: &mut C, target: Position<'_>) -> Result<()> {
    for _ in 0..STEPS_BEFORE_SEEK {
        match cursor.entry() {
            Some(entry) if entry.position() >= target => cursor.prev()?,
            _ => return Ok(()),
        }
    }
    match cursor.entry() {
        Some(entry) if entry.position() >= target => cursor.seek_before(target),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
