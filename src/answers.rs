//! What conditional writes and transactions answer: how a comparison went, what an update and a
//! transaction came to; and what an update may ask for.

use crate::ids::Sequence;
use crate::value::Value;

/// How a [`Db::compare_and_swap`](crate::Keyspace::compare_and_swap) went.
///
/// ```
/// use alluvium::CompareAndSwap;
///
/// # let db = alluvium::Db::in_memory()?;
/// // Moves a job from one state to the next, unless somebody was faster.
/// db.put("job:7", "ready")?;
/// match db.compare_and_swap("job:7", Some(b"ready"), Some(b"running"))? {
///     CompareAndSwap::Swapped(_) => println!("it is ours"),
///     CompareAndSwap::Mismatch(Some(state)) => println!("it is {state:?}"),
///     CompareAndSwap::Mismatch(None) => println!("it is gone"),
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a mismatch changed nothing"]
pub enum CompareAndSwap {
    /// The key was as expected and is as wanted now: by the operation of this sequence, or, where
    /// it was expected to have no value and was to have none, as far as this sequence.
    Swapped(Sequence),
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
        matches!(self, Self::Swapped(_))
    }
}

/// How a [`Db::update`](crate::Keyspace::update) went.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let updated = db.update("k", |_| Some(b"v".to_vec()))?;
/// assert_eq!(updated.value.as_deref(), Some(&b"v"[..]));
/// db.wait_durable(updated.sequence)?;
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated {
    /// What the key had before; `None` if it had no value.
    pub old: Option<Value>,
    /// What the key has now; `None` if it has no value.
    pub value: Option<Value>,
    /// Whether anything was written. Not where the change was [`KeyChange::Leave`], or the key had
    /// no value and was to have none.
    pub changed: bool,
    /// The sequence of the change. Where there was nothing to change, one that covers what was
    /// read.
    pub sequence: Sequence,
}

/// What is to become of a key, as the closure of a [`Db::update_if`](crate::Keyspace::update_if)
/// says.
///
/// ```
/// use alluvium::{Error, KeyChange};
///
/// # let db = alluvium::Db::in_memory()?;
/// db.put("lock", "ann")?;
/// // Only its owner gives it up.
/// let given_up = db.update_if("lock", |owner| {
///     Ok::<_, Error>(if owner == Some(b"bob") { KeyChange::Delete } else { KeyChange::Leave })
/// })?;
/// assert!(!given_up.changed);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyChange {
    /// It stays as it is: nothing is written.
    Leave,
    /// It has this value then.
    Put(Vec<u8>),
    /// It has no value then.
    Delete,
}

/// What a [`Db::transact`](crate::Db::transact) has come to.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let done = db.transact(|tx| tx.put("k", "v"))?;
/// db.wait_durable(done.sequence)?;
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transacted<R> {
    /// What the closure has returned in the run that was committed.
    pub value: R,
    /// The sequence of its last operation. Where it has written nothing, one that covers what it
    /// has read.
    pub sequence: Sequence,
}
