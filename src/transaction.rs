//! [`Transaction`]: reads and writes that take place at one point of the commit order, or not at
//! all. How one commits stands in `engine::write::transaction`.

use std::fmt;

use crate::answers::Transacted;
use crate::engine::TryGet;
use crate::engine::write::hold::HoldGuard;
use crate::engine::write::transaction::LostRuns;
use crate::error::{Error, Result};
use crate::ids::Sequence;
use crate::iter::KeyRange;
use crate::keyspace::Keyspace;
use crate::options::{Durability, TransactionOptions};
use crate::snapshot::Snapshot;
use crate::sync::Arc;
use crate::transaction_keyspace::{TransactionKeyspace, Verbs, verbs};
use crate::transaction_range::TransactionRange;
use crate::transaction_state::TransactionState;
use crate::value::Value;

/// Reads and writes that take place together, as if nobody else were there, or not at all. From
/// [`Db::transaction`](crate::Db::transaction); [`Db::transact`](crate::Db::transact) runs one
/// again until it commits.
///
/// It reads its [`Snapshot`], with its own writes on top. Writes go nowhere before
/// [`commit`](Self::commit), which writes all of them as one batch if nothing that was read has
/// changed since; otherwise it fails with [`Error::Conflict`], and nothing was written. Nobody
/// waits for an open transaction. Dropping it gives it up.
///
/// The verbs here are about the keyspace `default`; [`of`](Self::of) gives those of another. All
/// take `&self`. It may move to another thread, but is used by one at a time. While it is open it
/// keeps what a snapshot keeps; [`Stats`](crate::Stats) tells how many there are, and
/// their oldest snapshot.
///
/// What counts as changed: a key that was read, also one that was not there, if anybody has written
/// it since, be it with the value that it had; a range as far as it was walked over, likewise,
/// also by a key that was not there; and all of a keyspace that was dropped. A write-only
/// transaction conflicts with nobody, and so does one that only reads.
///
/// ```
/// use alluvium::Error;
///
/// # let db = alluvium::Db::in_memory()?;
/// db.put("left", "1")?;
/// let tx = db.transaction();
/// if tx.get("left")?.as_deref() == Some(b"1") {
///     tx.put("left", "0")?;
///     tx.put("sold:ann", "1")?;
/// }
/// db.put("left", "0")?; // somebody was faster
/// assert!(matches!(tx.commit(), Err(Error::Conflict { .. })));
/// assert_eq!(db.get("sold:ann")?, None);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub struct Transaction {
    state: TransactionState,
    snapshot: Snapshot,
    /// Keeps the database open. The last to go: it may close it.
    _keyspace: Keyspace,
}

/// A point in a transaction to go back to, from [`Transaction::savepoint`].
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let tx = db.transaction();
/// let empty = tx.savepoint();
/// tx.put("k", "v")?;
/// tx.rollback_to(&empty)?;
/// assert!(tx.is_empty()?);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a savepoint is there to go back to"]
pub struct Savepoint {
    transaction: (u64, u64),
    number: u64,
}

impl Transaction {
    pub(crate) fn new(keyspace: &Keyspace, options: TransactionOptions) -> Self {
        let snapshot = Snapshot::new(keyspace);
        let engine = Arc::clone(keyspace.engine());
        let state = TransactionState::new(engine, snapshot.sequence(), options);
        Self { state, snapshot, _keyspace: keyspace.clone() }
    }

    fn view(&self) -> Verbs<'_, '_> {
        Verbs { state: &self.state, reader: &self.snapshot }
    }

    /// Another keyspace of the same database. Costs nothing; of one that is of another database, or
    /// was dropped before the transaction began, each verb says so.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// let tx = db.transaction();
    /// tx.of(&users).put("ann", "1")?;
    /// assert_eq!(tx.of(&users).len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn of(&self, keyspace: &Keyspace) -> TransactionKeyspace<'_> {
        TransactionKeyspace::new(&self.state, self.snapshot.of(keyspace))
    }

    /// What was committed when it began, without its own writes. Reads through this do not count as
    /// read by the transaction.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("k", "v")?;
    /// assert_eq!(tx.snapshot().get("k")?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// A point to go back to. From the first one on the transaction keeps what it takes to undo its
    /// writes, in the memory that it may take.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("kept", "1")?;
    /// let here = tx.savepoint();
    /// tx.put("undone", "2")?;
    /// tx.rollback_to(&here)?;
    /// tx.commit()?;
    /// assert!(db.contains_key("kept")? && !db.contains_key("undone")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { transaction: self.state.identity(), number: self.state.savepoint() }
    }

    /// Undoes all writes since a savepoint, which may be gone back to again; those that were made
    /// after it may not. What was read since still counts.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// let outer = tx.savepoint();
    /// let inner = tx.savepoint();
    /// tx.rollback_to(&outer)?;
    /// assert!(tx.rollback_to(&inner).is_err());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a savepoint of another transaction, or one that is gone.
    pub fn rollback_to(&self, savepoint: &Savepoint) -> Result<()> {
        let known = savepoint.transaction == self.state.identity()
            && self.state.rollback_to(savepoint.number);
        if known {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            what: String::from(
                "the savepoint is of another transaction, or one before it was gone back to",
            ),
        })
    }

    /// Writes all that was put and deleted, in one batch, if what was read is as it was. Returns
    /// the sequence of the last of the writes; if there was none, that of the snapshot.
    ///
    /// As durable as its [options](TransactionOptions::durability) say. It costs what the batch
    /// does, and a look at what was read: in memory, and in what was flushed or merged since the
    /// transaction began.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("k", "v")?;
    /// let sequence = tx.commit()?;
    /// db.wait_durable(sequence)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if something that was read has changed; as
    /// [`put`](crate::Keyspace::put) and [`get`](crate::Reader::get). After an error nothing of it
    /// was written, but for an error of the sync with [`Durability::Sync`].
    pub fn commit(self) -> Result<Sequence> {
        let durability = self.state.options().durability;
        self.commit_with(durability)
    }

    /// [`Self::commit`] with a choice of durability. With [`Durability::Sync`] what was read is
    /// durable then, too.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("paid", "yes")?;
    /// tx.commit_with(alluvium::Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn commit_with(self, durability: Durability) -> Result<Sequence> {
        self.state.commit(durability, None)
    }

    /// Gives it up, as dropping it does.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("k", "v")?;
    /// tx.rollback();
    /// assert!(db.is_empty()?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn rollback(self) {}

    fn commit_held(&self, held: Option<&HoldGuard<'_>>) -> Result<Sequence> {
        self.state.commit(self.state.options().durability, held)
    }
}

verbs!([] Transaction, '_);

/// Runs `work` in transactions until one commits, or may not be run again.
pub(crate) fn transact<R, E: From<Error>>(
    keyspace: &Keyspace,
    options: TransactionOptions,
    mut work: impl FnMut(&Transaction) -> Result<R, E>,
) -> Result<Transacted<R>, E> {
    let engine = Arc::clone(keyspace.engine());
    let mut lost_runs = LostRuns::new(&engine);
    loop {
        let transaction = Transaction::new(keyspace, options);
        let value = work(&transaction)?;
        match transaction.commit_held(lost_runs.held()) {
            Ok(sequence) => return Ok(Transacted { value, sequence }),
            Err(error @ Error::Conflict { .. }) => {
                let spans = transaction.state.spans();
                // Its snapshot and its memory are not to wait.
                drop(transaction);
                lost_runs.lost(&spans, error)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.snapshot.sequence().0;
        f.debug_struct("Transaction").field("snapshot", &at).finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn send<T: Send + 'static>() {}
    send::<Transaction>();
};
