//! The bytes of a block: memory of its own, or a part of a mapped file.
//!
//! As large as a vector, so that a block stays within a cache line, and read without a branch.

#![allow(unsafe_code, reason = "one pointer for both, which each access follows")]

use std::ops::{Deref, Range};
use std::ptr::NonNull;

use crate::mapped::Mapped;
use crate::sync::Arc;

/// Bytes that do not change, less than 4 GiB.
pub(super) struct Bytes {
    start: NonNull<u8>,
    len: u32,
    /// Of the vector that it was made of; 0 in a mapped file.
    capacity: u32,
    /// What keeps it mapped.
    mapped: Option<Arc<Mapped>>,
}

// SAFETY: like a vector or a part of a shared slice, neither of which knows a thread.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

const _: () = assert!(size_of::<Bytes>() <= size_of::<Vec<u8>>());

impl Bytes {
    /// Takes a vector over; `None` if it is too long.
    pub(super) fn owned(mut vec: Vec<u8>) -> Option<Self> {
        let len = u32::try_from(vec.len()).ok()?;
        if vec.capacity() > u32::MAX as usize {
            vec.shrink_to_fit();
        }
        // A vector with more room than this is copied into one without.
        let mut vec =
            if vec.capacity() > u32::MAX as usize { vec.as_slice().to_vec() } else { vec };
        let capacity = u32::try_from(vec.capacity()).ok()?;
        let start = NonNull::new(vec.as_mut_ptr())?;
        std::mem::forget(vec);
        Some(Self { start, len, capacity, mapped: None })
    }

    /// A part of a mapped file; `None` if that does not reach so far, or is too long.
    pub(super) fn mapped(file: &Arc<Mapped>, part: Range<usize>) -> Option<Self> {
        let bytes = file.bytes().get(part)?;
        let len = u32::try_from(bytes.len()).ok()?;
        let start = NonNull::from(bytes).cast();
        Some(Self { start, len, capacity: 0, mapped: Some(Arc::clone(file)) })
    }

    /// The memory of its own.
    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The vector that it was made of, or a copy.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        if self.mapped.is_some() { self.to_vec() } else { self.take() }
    }

    /// The vector, which leaves nothing behind.
    fn take(&mut self) -> Vec<u8> {
        let start = std::mem::replace(&mut self.start, NonNull::dangling());
        let len = std::mem::take(&mut self.len) as usize;
        let capacity = std::mem::take(&mut self.capacity) as usize;
        // SAFETY: pointer, length and capacity are those of a vector that was forgotten for this,
        // or of an empty one. They are not used again.
        unsafe { Vec::from_raw_parts(start.as_ptr(), len, capacity) }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: within a vector that this has taken over, or a mapping that it keeps; neither
        // moves or changes while `self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len as usize) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.mapped.is_none() {
            drop(self.take());
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bytes").field(&self.len).finish()
    }
}
