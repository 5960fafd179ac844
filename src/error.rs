//! The one error of the crate, told apart by what the caller can do about it.
//!
//! Of the crate it knows `sync` alone, for a shared cause. Bytes from disk end here as
//! [`Error::Corruption`], never as a panic.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sync::Arc;

/// What every fallible call of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed, grouped by consequence.
///
/// Cheap to clone: an error that stops the writer is shown to every later writer.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// match db.drop_keyspace("no-such") {
///     Err(error) if error.is_retryable() => println!("later: {error}"),
///     Err(alluvium::Error::InvalidArgument { what, .. }) => println!("{what}"),
///     other => other?,
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation. Nothing that was acknowledged is lost.
    #[non_exhaustive]
    Io {
        /// What was attempted, as a verb: `open`, `read`, `write`, `sync`, …
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own error.
        source: Arc<io::Error>,
    },
    /// The disk (or a quota) is full. The call had no effect; reads go on, and writing resumes by
    /// itself once space returns, without reopening.
    #[non_exhaustive]
    StorageFull {
        /// What was attempted.
        op: &'static str,
        /// The file that could not grow.
        path: PathBuf,
        /// The system's own error.
        source: Arc<io::Error>,
    },
    /// Bytes on disk are not what was written. The file is left as it is.
    #[non_exhaustive]
    Corruption {
        /// The damaged file.
        file: PathBuf,
        /// Byte offset of the damaged structure in it.
        offset: u64,
        /// The structure that is damaged.
        what: &'static str,
        /// What a sound file would hold there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A backup, or a part of it, is not what was put there, or is missing. Other backups in the
    /// same place may be whole: [`Backups::verify`](crate::Backups::verify) tells.
    #[non_exhaustive]
    BackupDamaged {
        /// The damaged object: a record, or a segment, which may be a part of several backups.
        object: PathBuf,
        /// Byte offset of the damage in it, as far as it is known.
        offset: u64,
        /// The structure that is damaged.
        what: &'static str,
        /// What a sound one would hold there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The file is sound but of a kind that this version cannot use: a newer format, or not a file
    /// of this engine at all. Nothing was changed.
    #[non_exhaustive]
    UnsupportedFormat {
        /// The file.
        file: PathBuf,
        /// Which property is not understood.
        what: &'static str,
        /// What this version understands.
        expected: String,
        /// What the file says.
        got: String,
    },
    /// Another process, or another handle in this one, has the database open. Nothing was changed.
    #[non_exhaustive]
    Locked {
        /// The lock file, or the directory.
        path: PathBuf,
    },
    /// The directory of an open database was removed or emptied. Where the file system knows it by
    /// its path alone (an [`Fs`](crate::io::Fs) without handles, Windows), also: it was moved, or
    /// another was put in its place. Writing has stopped, because what is written would not be
    /// found; what was written since may be lost with the directory.
    #[non_exhaustive]
    DirectoryLost {
        /// Where it was.
        path: PathBuf,
    },
    /// The handle was made before this process was forked off its parent, and is of use there only.
    /// Nothing was changed, here or there.
    Forked,
    /// An argument is outside what the call accepts. Nothing was changed.
    #[non_exhaustive]
    InvalidArgument {
        /// Which rule it broke, with the bound and the value.
        what: String,
    },
    /// The keyspace was dropped after the handle was made.
    #[non_exhaustive]
    KeyspaceDropped {
        /// Its name.
        name: String,
    },
    /// There is a keyspace of this name already. Nothing was changed.
    #[non_exhaustive]
    KeyspaceExists {
        /// The name.
        name: String,
    },
    /// Memtables are full: the disk does not keep up, or a flush fails. The write had no effect;
    /// try it again.
    #[non_exhaustive]
    Overloaded {
        /// How long the call waited before it gave up.
        waited: Duration,
        /// What the flush, or the making of log files, fails with. `None` where nothing fails and
        /// writers are faster than the disk.
        cause: Option<Arc<Error>>,
    },
    /// What a transaction has read was changed by somebody else before it could commit. Nothing of
    /// it was written; run it again, from the beginning, as
    /// [`Db::transact`](crate::Db::transact) does.
    #[non_exhaustive]
    Conflict {
        /// The keyspace of what was changed, if that is known.
        keyspace: Option<String>,
        /// A key that was changed, if that is known. `None` where its keyspace was dropped.
        key: Option<Vec<u8>>,
    },
    /// A key has another value than a batch requires
    /// ([`WriteBatch::require`](crate::WriteBatch::require)). Nothing of it was written.
    #[non_exhaustive]
    RequirementFailed {
        /// The keyspace of the key.
        keyspace: String,
        /// The key.
        key: Vec<u8>,
    },
    /// A transaction has read and written more than it may
    /// ([`TransactionOptions::memory_bytes`](crate::TransactionOptions::memory_bytes)). The call
    /// had no effect on it; it can be committed without, or dropped.
    #[non_exhaustive]
    TransactionTooBig {
        /// What it may take in memory.
        bytes_max: usize,
    },
    /// A conditional write or a transaction that has lost many tries holds the key, and has not let
    /// it go while this write waited. The write had no effect; try it again.
    #[non_exhaustive]
    KeyHeld {
        /// How long the call waited before it gave up.
        waited: Duration,
    },
    /// The database was opened for reading only.
    #[non_exhaustive]
    ReadOnly {
        /// Its directory.
        path: PathBuf,
    },
    /// An earlier failure left the state on disk unknown, so writing has stopped for good. Reads go
    /// on; reopening recovers everything that was acknowledged as durable.
    #[non_exhaustive]
    WriterStopped {
        /// The failure that stopped it.
        cause: Arc<Error>,
    },
    /// A thread panicked inside the database: in an [`Fs`](crate::io::Fs) of the program's own, in
    /// a subscriber of events on a background thread, or by a fault of the engine. It is the cause
    /// in [`Error::WriterStopped`].
    #[non_exhaustive]
    Panicked {
        /// What the thread was about.
        during: &'static str,
    },
    /// The database was closed.
    Closed,
}

impl Error {
    /// Wraps a system error, telling a full disk from the rest.
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        let source = Arc::new(source);
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::StorageFull { op, path, source }
            }
            _ => Self::Io { op, path, source },
        }
    }

    /// Whether the same call may succeed later without reopening: a full disk that is freed, an
    /// overload that passes, descriptors that the program gives back. Of a transaction that has
    /// met a conflict, whether another one that does the same may.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let refused = db.put(vec![0; 70_000], "v").unwrap_err();
    /// assert!(!refused.is_retryable(), "a key too long stays too long");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StorageFull { .. }
            | Self::Overloaded { .. }
            | Self::Conflict { .. }
            | Self::KeyHeld { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
                    || is_too_many_files(source)
            }
            _ => false,
        }
    }

    /// The nearest of the system's kinds. Without one for all others, so that each is thought of.
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io { source, .. } | Self::StorageFull { source, .. } => match source.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {
                    io::ErrorKind::ResourceBusy
                }
                kind => kind,
            },
            Self::Corruption { .. } | Self::BackupDamaged { .. } => io::ErrorKind::InvalidData,
            Self::UnsupportedFormat { .. } => io::ErrorKind::Unsupported,
            Self::Locked { .. } | Self::Conflict { .. } | Self::KeyHeld { .. } => {
                io::ErrorKind::ResourceBusy
            }
            Self::DirectoryLost { .. } | Self::KeyspaceDropped { .. } => io::ErrorKind::NotFound,
            Self::KeyspaceExists { .. } => io::ErrorKind::AlreadyExists,
            Self::InvalidArgument { .. } => io::ErrorKind::InvalidInput,
            Self::Overloaded { cause: Some(cause), .. } | Self::WriterStopped { cause } => {
                cause.kind()
            }
            Self::Overloaded { cause: None, .. } => io::ErrorKind::TimedOut,
            Self::TransactionTooBig { .. } => io::ErrorKind::OutOfMemory,
            Self::ReadOnly { .. } => io::ErrorKind::ReadOnlyFilesystem,
            Self::RequirementFailed { .. }
            | Self::Forked
            | Self::Panicked { .. }
            | Self::Closed => io::ErrorKind::Other,
        }
    }

    /// Whether bytes on disk are damaged.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.save_index_snapshot("saved")?;
    /// assert!(!db.load_index_snapshot("elsewhere").unwrap_err().is_corruption());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Corruption { .. } | Self::BackupDamaged { .. } => true,
            Self::WriterStopped { cause } => cause.is_corruption(),
            _ => false,
        }
    }
}

/// The error of this crate stays inside, to be had by [`get_ref`](io::Error::get_ref) and
/// `downcast_ref`, and its `source` is the source. The kind is the system's own where the system
/// has refused something (`StorageFull`, `PermissionDenied`, …), also where that has stopped the
/// writer or is the cause of an overload; elsewhere the nearest: `InvalidData` for damage,
/// `InvalidInput` for arguments, `NotFound` for a keyspace that was dropped, `ResourceBusy` for
/// what another has or has changed, `TimedOut` for an overload without a cause; `Other` where none
/// is near.
///
/// The system's `Interrupted` and `WouldBlock` become `ResourceBusy`. To callers of `Read` and
/// `Write` they say more than that: to call again at once, for ever where it goes on, or to wait to
/// be woken, which nobody does here.
///
/// ```
/// use std::io;
///
/// fn save(db: &alluvium::Db) -> io::Result<()> {
///     db.put(vec![0; 70_000], "v")?; // a key too long
///     Ok(())
/// }
/// # let db = alluvium::Db::in_memory()?;
/// let error = save(&db).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
/// let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<alluvium::Error>());
/// assert!(matches!(inside, Some(alluvium::Error::InvalidArgument { .. })));
/// # Ok::<(), alluvium::Error>(())
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { op, path, source } => {
                let path = path.display();
                let advice = advice(source);
                write!(f, "could not {op} {path}: {source}{advice}")
            }
            Self::StorageFull { op, path, source } => write!(
                f,
                "could not {op} {}: {source}; the call had no effect: free some space and try \
                 again",
                path.display()
            ),
            Self::Corruption { file, offset, what, expected, got } => {
                fmt_damage(f, (file, *offset), what, (expected, got))?;
                f.write_str(AFTER_DAMAGE)
            }
            Self::BackupDamaged { object, offset, what, expected, got } => {
                fmt_damage(f, (object, *offset), what, (expected, got))?;
                f.write_str("; nothing was restored: take another backup")
            }
            Self::UnsupportedFormat { file, what, expected, got } => write!(
                f,
                "{} cannot be used by this version: {what}: expected {expected}, got {got}; \
                 nothing was changed: open it with the version that wrote it, or a newer one",
                file.display()
            ),
            Self::Locked { path } => write!(
                f,
                "the database is open elsewhere: {} is locked; close the other process or handle \
                 (the lock goes with it, and removing the file does not release it)",
                path.display()
            ),
            Self::DirectoryLost { path } => write!(
                f,
                "the directory {} of an open database was removed, moved or replaced; put it back \
                 where it was, or open the database where it is now",
                path.display()
            ),
            Self::Forked => f.write_str(FORKED),
            Self::InvalidArgument { what } => f.write_str(what),
            Self::KeyspaceDropped { name } => {
                write!(f, "keyspace {name:?} was dropped; open it again to make a new, empty one")
            }
            Self::KeyspaceExists { name } => {
                write!(f, "there is a keyspace {name:?} already; nothing was changed")
            }
            Self::Overloaded { waited, cause } => fmt_overloaded(f, *waited, cause.as_deref()),
            Self::Conflict { keyspace, key } => {
                fmt_conflict(f, keyspace.as_deref(), key.as_deref())
            }
            Self::RequirementFailed { keyspace, key } => write!(
                f,
                "key b\"{}\" of keyspace {keyspace:?} has another value than the batch requires; \
                 nothing of it was written",
                key.escape_ascii()
            ),
            Self::TransactionTooBig { bytes_max } => write!(
                f,
                "a transaction may take {bytes_max} bytes for what it has read and written, and \
                 this call would take it past that; it had no effect: read or write less in one, \
                 or raise its memory_bytes"
            ),
            Self::KeyHeld { waited } => fmt_held(f, *waited),
            Self::ReadOnly { path } => {
                write!(f, "{} was opened read-only; open it for writing", path.display())
            }
            Self::WriterStopped { cause } => write!(
                f,
                "writing has stopped, because an earlier call failed ({cause}); reads go on: \
                 reopen the database to recover"
            ),
            Self::Panicked { during } => {
                write!(f, "a thread panicked during {during}; its own message says why")
            }
            Self::Closed => f.write_str("the database is closed; open it again"),
        }
    }
}

/// Whether the process, or the system, has no descriptor left for another file.
pub(crate) fn is_too_many_files(error: &io::Error) -> bool {
    // EMFILE and ENFILE; ERROR_TOO_MANY_OPEN_FILES.
    let codes: &[i32] = if cfg!(windows) { &[4] } else { &[24, 23] };
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

const FORKED: &str = "the database was opened before this process was forked off; open it after \
                      the fork, in one of the two processes";

const AFTER_DAMAGE: &str = "; nothing was changed: copy the directory before any repair, and \
                            restore the file from a backup; what else can be read comes with \
                            Range::skip_damaged";

fn fmt_damage(
    f: &mut fmt::Formatter<'_>,
    (file, offset): (&Path, u64),
    what: &str,
    (expected, got): (&str, &str),
) -> fmt::Result {
    let file = file.display();
    write!(f, "{file} is damaged: {what} at byte {offset}: expected {expected}, got {got}")
}

fn fmt_overloaded(
    f: &mut fmt::Formatter<'_>,
    waited: Duration,
    cause: Option<&Error>,
) -> fmt::Result {
    let waited_ms = waited.as_millis();
    match cause {
        None => write!(
            f,
            "memtables are full and the disk does not keep up (waited {waited_ms} ms); the write \
             had no effect: try again, or write less"
        ),
        Some(cause) => write!(
            f,
            "memtables are full and cannot be flushed (waited {waited_ms} ms): {cause}; the write \
             had no effect: the flush is tried again by itself, and writing resumes when it \
             succeeds"
        ),
    }
}

fn fmt_held(f: &mut fmt::Formatter<'_>, waited: Duration) -> fmt::Result {
    let waited_ms = waited.as_millis();
    write!(
        f,
        "a conditional write or a transaction holds the key, because it has lost many tries \
         (waited {waited_ms} ms); this write had no effect: try again"
    )
}

fn fmt_conflict(
    f: &mut fmt::Formatter<'_>,
    keyspace: Option<&str>,
    key: Option<&[u8]>,
) -> fmt::Result {
    let of = keyspace.map_or_else(String::new, |name| format!(" of keyspace {name:?}"));
    match (keyspace, key) {
        (_, Some(key)) => {
            let key = key.escape_ascii();
            write!(f, "key b\"{key}\"{of}, which the transaction has read, was changed since")?;
        }
        (Some(name), None) => {
            write!(f, "keyspace {name:?}, which the transaction has read, was dropped since")?;
        }
        (None, None) => f.write_str("what the transaction has read was changed since")?,
    }
    f.write_str("; nothing of it was written: run it again from the beginning")
}

/// What to do about a refusal of the system, where there is something to say.
fn advice(error: &io::Error) -> &'static str {
    if is_too_many_files(error) {
        return "; raise the limit on open files (`ulimit -n`), or close what the program has open";
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; check the owner and mode of the file and its directory"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the file system is read-only: open with read_only(true)"
        }
        io::ErrorKind::Unsupported => {
            "; the file system cannot do that: put the database on another"
        }
        io::ErrorKind::NotADirectory => {
            "; a database is a directory: name one, or a path not in use"
        }
        _ => "",
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::StorageFull { source, .. } => Some(source.as_ref()),
            Self::WriterStopped { cause } | Self::Overloaded { cause: Some(cause), .. } => {
                Some(cause.as_ref())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
