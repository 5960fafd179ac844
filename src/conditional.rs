//! Writes that depend on what is there: `insert_if_absent`, `compare_and_swap`, `update`, on both
//! handles that write. Contracts and delegation, nothing else.

use crate::db::Db;
use crate::engine::{Decision, Engine, KeyspaceState};
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::value::Value;

/// How a [`Db::compare_and_swap`] went.
///
/// ```
/// use alluvium::CompareAndSwap;
///
/// # let db = alluvium::Db::in_memory()?;
/// // Moves a job from one state to the next, unless somebody was faster.
/// db.put("job:7", "ready")?;
/// match db.compare_and_swap("job:7", Some(b"ready"), Some(b"running"))? {
///     CompareAndSwap::Swapped => println!("it is ours"),
///     CompareAndSwap::Mismatch(Some(state)) => println!("it is {state:?}"),
///     CompareAndSwap::Mismatch(None) => println!("it is gone"),
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a mismatch changed nothing"]
pub enum CompareAndSwap {
    /// The key was as expected and is as wanted now.
    Swapped,
    /// The key was not as expected, but this, and was left so.
    Mismatch(Option<Value>),
}

impl CompareAndSwap {
    /// Whether the key was changed.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.compare_and_swap("k", None, Some(b"v"))?.swapped());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn swapped(&self) -> bool {
        matches!(self, Self::Swapped)
    }
}

impl Db {
    /// Sets a key to a value if it has none, and says whether it did.
    ///
    /// One step of the commit order: of several that insert one key, one gets `true`.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.insert_if_absent("name", "ann")?);
    /// assert!(!db.insert_if_absent("name", "bob")?);
    /// assert_eq!(db.get("name")?.as_deref(), Some(&b"ann"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
    pub fn insert_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        insert_if_absent(self.engine(), None, key.as_ref(), value.as_ref())
    }

    /// Changes a key from `expected` to `new` if it is as expected; `None` means that it has no
    /// value, before or after.
    ///
    /// One step of the commit order, so nothing comes between the comparison and the change. It is
    /// durable as [`Self::put`] is: [`Self::sync`] makes it survive power loss.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::CompareAndSwap;
    ///
    /// assert!(db.compare_and_swap("k", None, Some(b"1"))?.swapped());
    /// assert!(db.compare_and_swap("k", Some(b"1"), Some(b"2"))?.swapped());
    /// let stale = db.compare_and_swap("k", Some(b"1"), None)?;
    /// assert!(matches!(stale, CompareAndSwap::Mismatch(Some(now)) if now == "2"));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`]. A mismatch is none.
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<CompareAndSwap> {
        compare_and_swap(self.engine(), None, key.as_ref(), expected, new)
    }

    /// Changes a key from what it has to what `change` makes of that, and returns what it has then;
    /// `None` means no value, before or after.
    ///
    /// One step of the commit order: nothing comes between, whoever else writes. No lock is held
    /// while `change` runs; if the key changes meanwhile, `change` runs again with the newer value,
    /// so it should have no effect of its own. It may use the database, but a `change` that writes
    /// its own key never ends.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let count = |now: Option<&[u8]>| {
    ///     let now = now.and_then(|now| Some(u64::from_be_bytes(now.try_into().ok()?)));
    ///     Some((now.unwrap_or(0) + 1).to_be_bytes().to_vec())
    /// };
    /// db.update("visits", count)?;
    /// let visits = db.update("visits", count)?;
    /// assert_eq!(visits.as_deref(), Some(&2_u64.to_be_bytes()[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value>> {
        update(self.engine(), None, key.as_ref(), change)
    }
}

impl Keyspace {
    /// Sets a key to a value if it has none, and says whether it did. As [`Db::insert_if_absent`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(users.insert_if_absent("ann", "1")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
    pub fn insert_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        let state = self.enter_read()?;
        insert_if_absent(self.engine(), Some(state), key.as_ref(), value.as_ref())
    }

    /// Changes a key from `expected` to `new` if it is as expected. As [`Db::compare_and_swap`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(users.compare_and_swap("ann", None, Some(b"1"))?.swapped());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<CompareAndSwap> {
        let state = self.enter_read()?;
        compare_and_swap(self.engine(), Some(state), key.as_ref(), expected, new)
    }

    /// Changes a key from what it has to what `change` makes of that. As [`Db::update`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(users.update("ann", |_| None)?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value>> {
        let state = self.enter_read()?;
        update(self.engine(), Some(state), key.as_ref(), change)
    }
}

fn insert_if_absent(
    engine: &Engine,
    keyspace: Option<&KeyspaceState>,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    engine.write_conditional(keyspace, key, |current| match current {
        Some(_) => Decision::Leave(false),
        None => Decision::Put(value, true),
    })
}

fn compare_and_swap(
    engine: &Engine,
    keyspace: Option<&KeyspaceState>,
    key: &[u8],
    expected: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<CompareAndSwap> {
    engine.write_conditional(keyspace, key, |current| {
        if current.as_deref() != expected {
            return Decision::Leave(CompareAndSwap::Mismatch(current));
        }
        match (&current, new) {
            (_, Some(new)) => Decision::Put(new, CompareAndSwap::Swapped),
            (Some(_), None) => Decision::Delete(CompareAndSwap::Swapped),
            (None, None) => Decision::Leave(CompareAndSwap::Swapped),
        }
    })
}

fn update(
    engine: &Engine,
    keyspace: Option<&KeyspaceState>,
    key: &[u8],
    mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
) -> Result<Option<Value>> {
    engine.write_conditional(keyspace, key, |current| {
        match (change(current.as_deref()), &current) {
            (Some(new), _) => {
                let answer = Some(Value::copy(&new));
                Decision::Put(new, answer)
            }
            (None, Some(_)) => Decision::Delete(None),
            (None, None) => Decision::Leave(None),
        }
    })
}
