//! What conditional writes answer: how a comparison went, and what an update came to.

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
    /// What the key has now; `None` if it has no value.
    pub value: Option<Value>,
    /// The sequence of the change. Where there was nothing to change, because the key had no value
    /// and was to have none, one that covers what was read.
    pub sequence: Sequence,
}
