//! [`Keys`] and [`Values`]: iterators over one half of a [`Range`].

use std::fmt;
use std::iter::FusedIterator;

use crate::engine::LayersCursor;
use crate::error::Result;
use crate::iter::Cursor;
use crate::range::{Range, nothing};
use crate::segment::skips::Skipped;
use crate::value::Value;

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
pub struct Keys(pub(crate) Range);

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
pub struct Values(pub(crate) Range);

macro_rules! half {
    ($half:ident, $key:expr, $value:expr, $pick:expr) => {
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
                self.0.front($key, $value).map(|pair| pair.map($pick))
            }
        }

        impl DoubleEndedIterator for $half {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.back($key, $value).map(|pair| pair.map($pick))
            }
        }
    };
}

half!(Keys, Value::copy, nothing, |(key, ())| key);
half!(Values, nothing, LayersCursor::value, |((), value)| value);

macro_rules! iterator_promises {
    ($($name:ident),*) => {
        $(
            impl FusedIterator for $name {}

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($name)).finish_non_exhaustive()
                }
            }

            const _: fn() = || {
                fn owned_and_send<T: Send + 'static>() {}
                owned_and_send::<$name>();
            };
        )*
    };
}

iterator_promises!(Keys, Values);
