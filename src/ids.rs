//! The numbers that every floor shares, each a type of its own so that none can be taken for
//! another.
//!
//! Plain values: no behaviour beyond counting, no bytes, no files.

use std::fmt;

/// A position in the one commit order: every operation has one, a batch takes consecutive ones.
///
/// Zero is below every operation; it is what an empty database has committed.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// assert!(db.snapshot().sequence() > alluvium::Sequence(0));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// The sequence at which a read sees everything.
pub(crate) const SEQUENCE_MAX: Sequence = Sequence(u64::MAX);

/// A keyspace's id: the prefix of its keys inside the engine. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyspaceId(pub(crate) u32);

/// The keyspace that every database has, `default`.
pub(crate) const KEYSPACE_DEFAULT: KeyspaceId = KeyspaceId(0);
pub(crate) const KEYSPACE_DEFAULT_NAME: &str = "default";

/// The number in the name of a segment or manifest file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileNumber(pub(crate) u64);

/// A log's place in the chain of logs, from its header; the file's name only says its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogNumber(pub(crate) u64);

/// A byte position in the concatenation of all logs ever written: a log's base plus an offset in
/// it.
///
/// Comparable across files, so that one number says how far the log is synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogPosition(pub(crate) u64);

/// A run's identity in the manifest. Ids grow; they say nothing about age, the list does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(pub(crate) u64);

/// 16 random bytes that name a database or a segment for good.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Sequence {
    /// The sequence `count` operations later.
    #[must_use]
    pub(crate) fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl LogPosition {
    /// The position `bytes` further on.
    #[must_use]
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}
