//! [`Range`]: the iterator over keys and values; [`Keys`] and [`Values`]: over one half of them.

use std::convert::identity;
use std::fmt;
use std::iter::FusedIterator;

use crate::engine::{EngineIter, LayersCursor};
use crate::error::{Error, Result};
use crate::ids::KeyspaceId;
use crate::iter::Cursor;
use crate::iter::range::{Bounds, half_open};
use crate::overlay::{Overlay, OverlayWalk};
use crate::segment::skips::Skipped;
use crate::sync::Arc;
use crate::value::Value;

/// Keys and values in bytewise order of the keys, from [`Reader::range`](crate::Reader::range) or
/// [`Reader::prefix`](crate::Reader::prefix).
///
/// Owned, `Send`, double-ended and fused. Going backward costs about what going forward does,
/// except in the active memtable, where each step back is a search.
///
/// # Errors
///
/// It gives an error as its last item, once, from whichever end met it; then both ends are at the
/// end. So every loop ends, also one that passes over errors; but what passes over them (`count`,
/// `flatten`, `filter_map(Result::ok)`) takes a failure for the end of the data. Use `?`, `collect`
/// into a `Result`, and [`Self::len`] to count. After [`Self::seek`] or [`Self::seek_back`] it goes
/// on.
///
/// # What it keeps
///
/// From when it is made until it is dropped, also past its end, it owns all that could be read at
/// that moment, not only what lies within its bounds or is seen by its snapshot:
///
/// - the memtables, in memory, also when they have been flushed since. They no longer count for
///   [`memory_bytes`](crate::Builder::memory_bytes) then: each old iterator can keep that much
///   more;
/// - the segment files, on the disk, also when merges have replaced them or their keyspace was
///   dropped: up to the size of the database at that moment;
/// - the lock on the directory, also past a [`close`](crate::Db::close).
///
/// It keeps nothing that is written later, and holds up no write, flush or merge.
/// [`Stats`](crate::Stats) shows what is held: `memtable_bytes_retired`, `segment_bytes_held`,
/// `views_held`. It comes free about a second after the drop. To read slowly, or to stop and go on
/// later, keep a [`Snapshot`](crate::Snapshot) and the last key instead, and make a range for each
/// stretch.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// for day in ["2024-01-01", "2024-01-02", "2024-02-01"] {
///     db.put(day, "")?;
/// }
/// let newest = db.range("2024".."2025").next_back().transpose()?;
/// assert_eq!(newest.map(|(day, _)| day).as_deref(), Some(&b"2024-02-01"[..]));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Range(RangeState);

enum RangeState {
    // Boxed: the two cursors with their buffers are large, and an iterator is moved around.
    Live(Box<EngineIter>),
    Over(Box<RangeOver>),
    /// The error: told once, and once more after each seek.
    Failed {
        error: Error,
        told: bool,
    },
}

/// A range with the writes of a batch over it.
struct RangeOver {
    walk: OverlayWalk,
    overlay: Arc<Overlay>,
    keyspace: KeyspaceId,
    /// What was lent last.
    lent: Option<(Value, Value)>,
}

type Pair = (Value, Value);

impl RangeOver {
    fn front(&mut self) -> Option<Result<Pair>> {
        self.walk.next(self.overlay.writes_of(self.keyspace))
    }

    fn back(&mut self) -> Option<Result<Pair>> {
        self.walk.next_back(self.overlay.writes_of(self.keyspace))
    }

    fn lend(&mut self, drawn: Option<Result<Pair>>) -> Option<Result<(&[u8], &[u8])>> {
        let pair = match drawn? {
            Ok(pair) => pair,
            Err(error) => return Some(Err(error)),
        };
        let (key, value) = self.lent.insert(pair);
        Some(Ok((&**key, &**value)))
    }
}

impl Range {
    /// What `base` has within the bounds, with the writes to that keyspace over it.
    pub(crate) fn over(
        base: Result<EngineIter>,
        bounds: Bounds,
        keyspace: KeyspaceId,
        overlay: Arc<Overlay>,
    ) -> Self {
        let (low, high) = half_open(bounds);
        let walk = OverlayWalk::new(base, low, high);
        Self(RangeState::Over(Box::new(RangeOver { walk, overlay, keyspace, lent: None })))
    }

    pub(crate) fn new(opened: Result<EngineIter>) -> Self {
        Self(match opened {
            Ok(iter) => RangeState::Live(Box::new(iter)),
            Err(error) => RangeState::Failed { error, told: false },
        })
    }

    /// Moves the front to the first key at or after `key`: what lies before it is passed over
    /// without being read, however much that is.
    ///
    /// Only ever ahead: a key before the front changes nothing, and no key comes twice. Costs
    /// nothing by itself; the next [`next`](Iterator::next) makes the move, and reports the error
    /// if it fails. After an error both ends may be drawn from again: one that lay behind is left
    /// behind, and one that is still in the way is reported again.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for key in ["a", "b", "c", "d"] {
    ///     db.put(key, "")?;
    /// }
    /// let mut range = db.range(..);
    /// range.seek("bb");
    /// assert_eq!(range.next().transpose()?.map(|(key, _)| key).as_deref(), Some(&b"c"[..]));
    /// range.seek("a");
    /// assert_eq!(range.next().transpose()?.map(|(key, _)| key).as_deref(), Some(&b"d"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        match &mut self.0 {
            RangeState::Live(iter) => iter.seek(key.as_ref()),
            RangeState::Over(over) => over.walk.seek(key.as_ref()),
            RangeState::Failed { told, .. } => *told = false,
        }
    }

    /// Moves the back to the last key at or before `key`, as [`Self::seek`] moves the front.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for key in ["a", "b", "c", "d"] {
    ///     db.put(key, "")?;
    /// }
    /// let mut range = db.range(..);
    /// range.seek_back("bb");
    /// assert_eq!(range.next_back().transpose()?.map(|(key, _)| key).as_deref(), Some(&b"b"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn seek_back(&mut self, key: impl AsRef<[u8]>) {
        match &mut self.0 {
            RangeState::Live(iter) => iter.seek_back(key.as_ref()),
            RangeState::Over(over) => over.walk.seek_back(key.as_ref()),
            RangeState::Failed { told, .. } => *told = false,
        }
    }

    /// Reads on over damage: blocks that cannot be read are passed over, and noted for
    /// [`Self::skipped`], instead of ending the iteration with an error. For saving what is left of
    /// a damaged database; [`Db::verify`](crate::Db::verify) lists the damage.
    ///
    /// What comes is true of the bytes that could be read, and no more. In a block that was passed
    /// over there may have been keys, which are missing now; newer values of keys that come with an
    /// older one; and deletions of keys that come although they are gone. Which keys these can be,
    /// [`Skipped::may_hold`] tells: what it speaks of has been noted by the time that the key
    /// comes.
    ///
    /// May be called on a range that an error has ended: it goes on behind the last key. Does not
    /// help where the database does not open. Costs nothing where nothing is damaged.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// let mut range = db.range(..).skip_damaged();
    /// let saved: Vec<_> = range.by_ref().collect::<Result<_, _>>()?;
    /// assert_eq!((saved.len(), range.skipped().len()), (1, 0));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn skip_damaged(mut self) -> Self {
        match &mut self.0 {
            RangeState::Live(iter) => iter.skip_damaged(),
            RangeState::Over(over) => over.walk.skip_damaged(),
            RangeState::Failed { .. } => {}
        }
        self
    }

    /// What [`Self::skip_damaged`] has passed over so far, each block once.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut range = db.range(..).skip_damaged();
    /// range.by_ref().for_each(drop);
    /// range.skipped().iter().for_each(|skipped| eprintln!("{skipped}"));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn skipped(&self) -> Vec<Skipped> {
        match &self.0 {
            RangeState::Live(iter) => iter.skipped(),
            RangeState::Over(over) => over.walk.skipped(),
            RangeState::Failed { .. } => Vec::new(),
        }
    }

    /// The keys alone: no value is copied, or read where it lies apart from its key.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// db.put("b", "2")?;
    /// let keys: Vec<_> = db.range(..).keys().collect::<Result<_, _>>()?;
    /// assert_eq!(keys, ["a", "b"]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn keys(self) -> Keys {
        Keys(self)
    }

    /// The values alone, in the order of their keys: no key is copied out.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// db.put("b", "2")?;
    /// let values: Vec<_> = db.range(..).values().rev().collect::<Result<_, _>>()?;
    /// assert_eq!(values, ["2", "1"]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn values(self) -> Values {
        Values(self)
    }

    /// How many keys are left, exactly, or why that cannot be said.
    ///
    /// Walks over all of them, and copies nothing: in time it is a scan. (`count` of the standard
    /// library counts an error as an item.) For a rough number without reading there is
    /// [`Reader::approximate_len`](crate::Reader::approximate_len).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for day in ["2024-01-01", "2024-01-02", "2024-02-01"] {
    ///     db.put(day, "")?;
    /// }
    /// assert_eq!(db.prefix("2024-01").len()?, 2);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the iterator would have given as an item.
    pub fn len(mut self) -> Result<u64> {
        let mut count = 0;
        while let Some(pair) = self.front(nothing, nothing, drop) {
            pair?;
            count += 1;
        }
        Ok(count)
    }

    /// Whether no key is left. Reads up to the first one.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.prefix("2024").is_empty()?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::len`].
    pub fn is_empty(mut self) -> Result<bool> {
        self.front(nothing, nothing, drop).transpose().map(|first| first.is_none())
    }

    /// The next key and its value as [`next`](Iterator::next) gives them, lent until the next call.
    /// The fastest way to read a range: nothing is allocated for a key or a value, and values are
    /// lent from where they lie.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// db.put("b", "23")?;
    /// let mut bytes = 0;
    /// let mut range = db.range(..);
    /// while let Some(pair) = range.lend() {
    ///     let (_, value) = pair?;
    ///     bytes += value.len();
    /// }
    /// assert_eq!(bytes, 3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn lend(&mut self) -> Option<Result<(&[u8], &[u8])>> {
        match &mut self.0 {
            RangeState::Live(iter) => iter.lend_front(),
            RangeState::Over(over) => {
                let drawn = over.front();
                over.lend(drawn)
            }
            RangeState::Failed { error, told } => tell_once(error, told),
        }
    }

    /// As [`Self::lend`], from the back, as [`next_back`](DoubleEndedIterator::next_back) gives
    /// them; but values of keys that lie in memtables, or have several versions, are copied first.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// db.put("b", "2")?;
    /// let mut range = db.range(..);
    /// assert_eq!(range.lend_back().transpose()?, Some((&b"b"[..], &b"2"[..])));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn lend_back(&mut self) -> Option<Result<(&[u8], &[u8])>> {
        match &mut self.0 {
            RangeState::Live(iter) => iter.lend_back(),
            RangeState::Over(over) => {
                let drawn = over.back();
                over.lend(drawn)
            }
            RangeState::Failed { error, told } => tell_once(error, told),
        }
    }

    /// The next key and value, as `key` and `value` have them; `own` takes a value that was copied.
    fn front<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&LayersCursor) -> V,
        own: impl Fn(Value) -> V,
    ) -> Option<Result<(K, V)>> {
        match &mut self.0 {
            RangeState::Live(iter) => iter.next_front(key, value),
            RangeState::Over(over) => {
                over.front().map(|pair| pair.map(|pair| (key(&pair.0), own(pair.1))))
            }
            RangeState::Failed { error, told } => tell_once(error, told),
        }
    }

    /// As [`Self::front`], from the back.
    fn back<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&LayersCursor) -> V,
        own: impl Fn(Value) -> V,
    ) -> Option<Result<(K, V)>> {
        match &mut self.0 {
            RangeState::Live(iter) => iter.next_back(key, value),
            RangeState::Over(over) => {
                over.back().map(|pair| pair.map(|pair| (key(&pair.0), own(pair.1))))
            }
            RangeState::Failed { error, told } => tell_once(error, told),
        }
    }
}

fn nothing<T: ?Sized>(_: &T) {}

fn tell_once<T>(error: &Error, told: &mut bool) -> Option<Result<T>> {
    (!std::mem::replace(told, true)).then(|| Err(error.clone()))
}

impl Iterator for Range {
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.front(Value::copy, LayersCursor::value, identity)
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.back(Value::copy, LayersCursor::value, identity)
    }
}

impl FusedIterator for Range {}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").finish_non_exhaustive()
    }
}

/// The keys of a [`Range`], in order; from [`Range::keys`]. Everything that holds for a [`Range`]
/// holds for this.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("ann", "a long value")?;
/// for key in db.prefix("a").keys() {
///     println!("{:?}", key?);
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Keys(Range);

/// The values of a [`Range`], in the order of their keys; from [`Range::values`]. Everything that
/// holds for a [`Range`] holds for this.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("2024-01-01", "12")?;
/// let bytes = db.prefix("2024").values().map(|value| value.map(|value| value.len()));
/// assert_eq!(bytes.sum::<Result<usize, _>>()?, 2);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Values(Range);

macro_rules! half {
    ($half:ident, $key:expr, $value:expr, $own:expr, $pick:expr) => {
        impl $half {
            /// As [`Range::seek`].
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// let (mut keys, mut values) = (db.range(..).keys(), db.range(..).values());
            /// keys.seek("m");
            /// values.seek("m");
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            pub fn seek(&mut self, key: impl AsRef<[u8]>) {
                self.0.seek(key);
            }

            /// As [`Range::seek_back`].
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// let (mut keys, mut values) = (db.range(..).keys(), db.range(..).values());
            /// keys.seek_back("m");
            /// values.seek_back("m");
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            pub fn seek_back(&mut self, key: impl AsRef<[u8]>) {
                self.0.seek_back(key);
            }

            /// As [`Range::skipped`], if the range was told to [skip](Range::skip_damaged).
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// let (mut keys, mut values) = (db.range(..).keys(), db.range(..).values());
            /// assert!(keys.skipped().is_empty() && values.skipped().is_empty());
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            #[must_use]
            pub fn skipped(&self) -> Vec<Skipped> {
                self.0.skipped()
            }

            /// As [`Range::len`].
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// assert_eq!((db.range(..).keys().len()?, db.range(..).values().len()?), (0, 0));
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Range::len`].
            pub fn len(self) -> Result<u64> {
                self.0.len()
            }

            /// As [`Range::is_empty`].
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// assert!(db.range(..).keys().is_empty()? && db.range(..).values().is_empty()?);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Range::len`].
            pub fn is_empty(self) -> Result<bool> {
                self.0.is_empty()
            }
        }

        impl Iterator for $half {
            type Item = Result<Value>;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.front($key, $value, $own).map(|pair| pair.map($pick))
            }
        }

        impl DoubleEndedIterator for $half {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.back($key, $value, $own).map(|pair| pair.map($pick))
            }
        }
    };
}

half!(Keys, Value::copy, nothing, drop, |(key, ())| key);
half!(Values, nothing, LayersCursor::value, identity, |((), value)| value);

macro_rules! iterator_promises {
    ($($name:ident),*) => {
        $(
            impl FusedIterator for $name {}

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($name)).finish_non_exhaustive()
                }
            }
        )*
    };
}

iterator_promises!(Keys, Values);

const _: fn() = || {
    fn owned_and_send<T: Send + 'static>() {}
    owned_and_send::<Range>();
    owned_and_send::<Keys>();
    owned_and_send::<Values>();
};
