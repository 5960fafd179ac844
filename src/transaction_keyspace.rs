//! [`TransactionKeyspace`]: every verb that a transaction has, for one keyspace.

use std::fmt;

use crate::engine::TryGet;
use crate::error::Result;
use crate::iter::KeyRange;
use crate::iter::range::{Bounds, prefix_bounds};
use crate::overlay::multi_get_over;
use crate::reader::Reader;
use crate::transaction_range::TransactionRange;
use crate::transaction_state::TransactionState;
use crate::value::Value;

/// A keyspace as a transaction sees it, from [`Transaction::of`](crate::Transaction::of). It has
/// the verbs that the [`Transaction`](crate::Transaction) has for the keyspace `default`.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let users = db.keyspace("users")?;
/// let tx = db.transaction();
/// tx.of(&users).put("ann", "1")?;
/// assert!(tx.of(&users).contains_key("ann")? && !tx.contains_key("ann")?);
/// tx.commit()?;
/// assert!(users.contains_key("ann")?);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub struct TransactionKeyspace<'t> {
    state: &'t TransactionState,
    /// The keyspace at the transaction's snapshot.
    reader: Reader,
}

impl<'t> TransactionKeyspace<'t> {
    pub(crate) fn new(state: &'t TransactionState, reader: Reader) -> Self {
        Self { state, reader }
    }

    fn view(&self) -> Verbs<'t, '_> {
        Verbs { state: self.state, reader: &self.reader }
    }
}

/// What the verbs work on.
#[derive(Clone, Copy)]
pub(crate) struct Verbs<'t, 'r> {
    pub(crate) state: &'t TransactionState,
    pub(crate) reader: &'r Reader,
}

impl<'t> Verbs<'t, '_> {
    pub(crate) fn get(self, key: &[u8]) -> Result<Option<Value>> {
        let id = self.reader.keyspace().id;
        if let Some(written) = self.state.written(id, key) {
            self.reader.check()?;
            return Ok(written);
        }
        let found = self.reader.get(key)?;
        self.state.note_read(id, key)?;
        Ok(found)
    }

    pub(crate) fn get_with<R>(
        self,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R> {
        let id = self.reader.keyspace().id;
        if let Some(written) = self.state.written(id, key) {
            self.reader.check()?;
            return Ok(read(written.as_deref()));
        }
        // Noted first: the caller's code may do what cannot be taken back.
        self.reader.check()?;
        self.state.note_read(id, key)?;
        self.reader.get_with(key, read)
    }

    pub(crate) fn get_for_update(self, key: &[u8]) -> Result<Option<Value>> {
        let id = self.reader.keyspace().id;
        // Of a key that was written already, too: what is there under the write counts from now on.
        self.reader.check()?;
        self.state.note_for_update(id, key)?;
        self.get(key)
    }

    pub(crate) fn try_get(self, key: &[u8]) -> Result<TryGet> {
        let id = self.reader.keyspace().id;
        if let Some(written) = self.state.written(id, key) {
            self.reader.check()?;
            return Ok(written.map_or(TryGet::Miss, TryGet::Hit));
        }
        let found = self.reader.try_get(key)?;
        if found != TryGet::WouldRead {
            self.state.note_read(id, key)?;
        }
        Ok(found)
    }

    pub(crate) fn multi_get(
        self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Value>>> {
        let id = self.reader.keyspace().id;
        let written = |key: &[u8]| self.state.written(id, key);
        let note = |key: &[u8]| self.state.note_read(id, key);
        multi_get_over(keys, written, |keys| self.reader.multi_get(keys), note)
    }

    pub(crate) fn range(self, bounds: Bounds) -> TransactionRange<'t> {
        let base = self.reader.open_iter(bounds.clone());
        TransactionRange::new(self.state, self.reader.keyspace().id, base, bounds)
    }

    pub(crate) fn prefix(self, prefix: &[u8]) -> TransactionRange<'t> {
        self.range(prefix_bounds(prefix))
    }

    pub(crate) fn write(self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.reader.check()?;
        self.state.write(self.reader.keyspace(), key, value)
    }
}

/// The verbs of a type that has a [`Verbs`], for which its iterators live as long as `$life`.
macro_rules! verbs {
    ([$($of:lifetime)?] $type:ty, $life:lifetime) => {
        impl<$($of)?> $type {
            /// The value of a key, or `None`: what the transaction has written, or else what its
            /// snapshot has.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("k", "v")?;
            /// assert_eq!(tx.get("k")?.as_deref(), Some(&b"v"[..]));
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [every read](crate::Reader#errors), and
            /// [`Error::TransactionTooBig`](crate::Error::TransactionTooBig).
            pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
                self.view().get(key.as_ref())
            }

            /// [`Self::get`] of a key that nobody else may have changed by the commit, whatever the
            /// isolation, and also if the transaction writes nothing. With
            /// [`Isolation::Serializable`](crate::Isolation::Serializable) every read is like this
            /// in a transaction that writes.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// let stock = tx.get_for_update("stock")?; // `commit` fails if somebody changes it
            /// assert_eq!(stock, None);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn get_for_update(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
                self.view().get_for_update(key.as_ref())
            }

            /// Hands the value of a key to `read` where it lies, without a copy, as
            /// [`Reader::get_with`](crate::Reader::get_with) does.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("k", "value")?;
            /// assert_eq!(tx.get_with("k", |value| value.map(<[u8]>::len))?, Some(5));
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn get_with<R>(
                &self,
                key: impl AsRef<[u8]>,
                read: impl FnOnce(Option<&[u8]>) -> R,
            ) -> Result<R> {
                self.view().get_with(key.as_ref(), read)
            }

            /// [`Self::get`], if memory holds the answer, as
            /// [`Reader::try_get`](crate::Reader::try_get). On
            /// [`TryGet::WouldRead`] nothing was read.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// assert_eq!(tx.try_get("k")?, alluvium::TryGet::Miss);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn try_get(&self, key: impl AsRef<[u8]>) -> Result<TryGet> {
                self.view().try_get(key.as_ref())
            }

            /// Whether a key is there.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("k", "")?;
            /// assert!(tx.contains_key("k")?);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
                self.get_with(key, |value| value.is_some())
            }

            /// The values of many keys, in the order of the keys.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("b", "2")?;
            /// let values = tx.multi_get(["a", "b"])?;
            /// assert!(values[0].is_none() && values[1].as_deref() == Some(b"2"));
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn multi_get(
                &self,
                keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
            ) -> Result<Vec<Option<Value>>> {
                self.view().multi_get(keys)
            }

            /// The keys in a range with their values, in bytewise order; `.rev()` goes backward.
            /// What counts as read is what the iterator is walked over.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("a", "1")?;
            /// tx.put("b", "2")?;
            /// let (last, _) = tx.range(..).rev().next().transpose()?.expect("there are two");
            /// assert_eq!(last, "b");
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            pub fn range(&self, range: impl KeyRange) -> TransactionRange<$life> {
                self.view().range(range.into_bounds())
            }

            /// The keys that begin with `prefix`, as [`Self::range`] gives them.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("user:ann", "1")?;
            /// assert_eq!(tx.prefix("user:").len()?, 1);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> TransactionRange<$life> {
                self.view().prefix(prefix.as_ref())
            }

            /// The first key and its value, or `None` if there is no key.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// assert_eq!(tx.first()?, None);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn first(&self) -> Result<Option<(Value, Value)>> {
                self.range(..).next().transpose()
            }

            /// The last key and its value, or `None` if there is no key.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// assert_eq!(tx.last()?, None);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn last(&self) -> Result<Option<(Value, Value)>> {
                self.range(..).next_back().transpose()
            }

            /// How many keys there are, exactly. Walks over all of them, so it reads them all.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("k", "v")?;
            /// assert_eq!(tx.len()?, 1);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn len(&self) -> Result<u64> {
                self.range(..).len()
            }

            /// Whether there is no key. Reads up to the first one.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// assert!(tx.is_empty()?);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::get`].
            pub fn is_empty(&self) -> Result<bool> {
                self.range(..).is_empty()
            }

            /// Sets a key to a value when the transaction commits. Until then nobody else sees it.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("k", "v")?;
            /// assert!(tx.contains_key("k")? && !db.contains_key("k")?);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// [`Error::TransactionTooBig`](crate::Error::TransactionTooBig), and what a
            /// [`put`](crate::Keyspace::put) is refused for at once.
            pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
                self.view().write(key.as_ref(), Some(value.as_ref()))
            }

            /// Deletes a key when the transaction commits; one that is not there is fine.
            ///
            /// ```
            /// # let db = alluvium::Db::in_memory()?;
            /// # let tx = db.transaction();
            /// tx.put("k", "v")?;
            /// tx.delete("k")?;
            /// assert!(!tx.contains_key("k")?);
            /// # Ok::<(), alluvium::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`Self::put`].
            pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
                self.view().write(key.as_ref(), None)
            }
        }
    };
}

pub(crate) use verbs;

verbs!(['t] TransactionKeyspace<'t>, 't);

impl fmt::Debug for TransactionKeyspace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.reader.keyspace().name();
        f.debug_struct("TransactionKeyspace").field("name", &name).finish_non_exhaustive()
    }
}
