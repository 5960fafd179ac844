//! [`Value`]: bytes that a read hands out, owned by the caller, copied only when small.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::sync::Arc;

/// Memory that values can share: a block, or the body of a log record.
pub(crate) trait Backing: Send + Sync + 'static {
    /// All of it; the same bytes at the same place for as long as it lives.
    fn bytes(&self) -> &[u8];
}

/// Longest byte string kept inside the [`Value`] itself, in bytes.
const INLINE_BYTES_MAX: usize = 22;

/// A key or a value read from the database: owned, cheap to clone, no lifetime.
///
/// It derefs to `[u8]`. Up to 256 bytes (from a memtable: 4 KiB) are copied out; a larger value
/// shares the block that it was read from (from 4 KiB up), and keeps that block in memory until it
/// is dropped (with [`mapped_reads`](crate::Builder::mapped_reads) the segment, on disk also):
/// call [`to_vec`](slice::to_vec) to keep it for long.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "some bytes")?;
/// let value: alluvium::Value = db.get("k")?.expect("it was put");
/// assert!(value.starts_with(b"some") && value == "some bytes");
/// let text = String::from_utf8(value.into()).expect("they are text");
/// assert_eq!(text, "some bytes");
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Owned(Arc<[u8]>),
    Shared { backing: Arc<dyn Backing>, start: usize, len: usize },
}

impl Value {
    /// A copy of `bytes`.
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX {
            let mut inline = [0; INLINE_BYTES_MAX];
            inline[..bytes.len()].copy_from_slice(bytes);
            return Self(Repr::Inline { len: bytes.len() as u8, bytes: inline });
        }
        Self(Repr::Owned(Arc::from(bytes)))
    }

    /// `len` bytes of `backing` from `start` on, shared.
    ///
    /// # Panics
    ///
    /// If the backing is shorter.
    pub(crate) fn shared(backing: Arc<dyn Backing>, start: usize, len: usize) -> Self {
        assert!(start <= backing.bytes().len() && len <= backing.bytes().len() - start);
        Self(Repr::Shared { backing, start, len })
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Owned(bytes) => bytes,
            Repr::Shared { backing, start, len } => &backing.bytes()[*start..*start + *len],
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Value {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    /// As a byte string literal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl From<Value> for Vec<u8> {
    fn from(value: Value) -> Self {
        value.to_vec()
    }
}
