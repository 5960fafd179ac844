//! What a reader that goes on over damage has passed over: blocks, with the keys that they span.
//!
//! Shared by the cursors of one iterator. Locked for an insertion or a copy, never across I/O, and
//! only where a block could not be read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use super::reader::Segment;
use crate::error::{Error, is_too_many_files};
use crate::event::event;
use crate::ids::{FileNumber, KeyspaceId};
use crate::sync::{Mutex, lock};

/// A part of a file that an iterator has passed over, from
/// [`Range::skipped`](crate::Range::skipped). `Display` says it in a sentence.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let mut range = db.range(..).skip_damaged();
/// while let Some(pair) = range.next() {
///     let (key, _) = pair?;
///     if range.skipped().iter().any(|skipped| skipped.may_hold(&key)) {
///         println!("{key:?} may have had a newer value, or have been deleted");
///     }
/// }
/// range.skipped().iter().for_each(|skipped| println!("{skipped}"));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Skipped {
    /// Why it could not be read, with file and offset.
    pub error: Error,
    /// All keys in it come at or after this one.
    pub from: Vec<u8>,
    /// All keys in it come at or before this one.
    pub to: Vec<u8>,
}

impl Skipped {
    /// Whether a version of `key`, or the deletion of it, may have been in what was passed over.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let range = db.range(..).skip_damaged();
    /// assert!(!range.skipped().iter().any(|skipped| skipped.may_hold("key")));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn may_hold(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        self.from.as_slice() <= key && key <= self.to.as_slice()
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.escape_ascii();
        let to = self.to.escape_ascii();
        write!(f, "passed over keys from \"{from}\" to \"{to}\": {}", self.error)
    }
}

/// What the cursors of one iterator have passed over so far, in one keyspace.
#[derive(Debug)]
pub(crate) struct Skips {
    keyspace: KeyspaceId,
    blocks: Mutex<BTreeMap<(FileNumber, usize), Skipped>>,
}

impl Skips {
    pub(crate) fn new(keyspace: KeyspaceId) -> Self {
        Self { keyspace, blocks: Mutex::default() }
    }

    /// Each block once, in the order of files and offsets.
    pub(crate) fn list(&self) -> Vec<Skipped> {
        lock(&self.blocks).values().cloned().collect()
    }

    /// Notes that data block `number` could not be read. Whether the reader may go on: not if the
    /// trouble is not with the bytes.
    pub(super) fn pass_over(&self, segment: &Segment, number: usize, error: &Error) -> bool {
        let unreadable = match error {
            Error::Io { op: "read", source, .. } => is_of_the_bytes(source),
            error => error.is_corruption(),
        };
        // A cursor may look past the end of its keyspace, which is then no concern of its reader.
        if unreadable && segment.index().keyspace(number) == self.keyspace {
            event!(warn, %error, "passing over a damaged block");
            let entry = (segment.number(), number);
            lock(&self.blocks).entry(entry).or_insert_with(|| skipped(segment, number, error));
        }
        unreadable
    }
}

/// Whether a failed read is the device's failure to give the bytes. A file that was closed is
/// opened again by a read, and what keeps it from that is no damage: passing over a sound segment
/// would bring back what it deletes.
fn is_of_the_bytes(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    let lost = error.raw_os_error().is_none() && error.kind() == io::ErrorKind::Other;
    !is_too_many_files(error) && !lost && !matches!(error.kind(), NotFound | PermissionDenied)
}

fn skipped(segment: &Segment, number: usize, error: &Error) -> Skipped {
    let index = segment.index();
    let first = &segment.properties().first;
    let before = number.checked_sub(1).filter(|&n| index.keyspace(n) == index.keyspace(number));
    let from = match before {
        // The block may go on with the key that the one before ends with.
        Some(before) => index.separator(before).to_vec(),
        None if number == 0 => first.1.clone(),
        None => Vec::new(),
    };
    Skipped { error: error.clone(), from, to: index.separator(number).to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What keeps a closed file from being opened again is no damage: it would be passed over, and
    /// with it what it deletes.
    #[test]
    fn only_a_device_that_does_not_give_the_bytes_is_passed_over() {
        let check = |error: io::Error, want: bool| {
            assert_eq!(is_of_the_bytes(&error), want, "{error}");
        };
        check(io::ErrorKind::UnexpectedEof.into(), true);
        check(io::ErrorKind::NotFound.into(), false);
        check(io::ErrorKind::PermissionDenied.into(), false);
        check(io::Error::other("its directory was removed, moved or replaced"), false);
        #[cfg(unix)]
        for (code, want) in [(5, true), (2, false), (13, false), (23, false), (24, false)] {
            // EIO, ENOENT, EACCES, ENFILE, EMFILE.
            check(io::Error::from_raw_os_error(code), want);
        }
    }
}
