//! The bytes of a file where the system has them, to be read: no call, no copy.
//!
//! Made once for a segment, of a file that nobody writes any more, and kept by it and by what was
//! read of it. Any thread reads it. Knows no path and no format.
//!
//! What lies here is the system's page cache. It may give pages up and read them again, so a device
//! that fails then, or a file that another program cuts short, ends the process by a signal, and
//! what another program writes into the file is seen here. So this is for who asks for it
//! ([`Builder::mapped_reads`](crate::Builder::mapped_reads)).

#![allow(unsafe_code, reason = "memory that the system backs with a file is had no other way")]

use std::fmt;
use std::ptr::NonNull;

/// The first bytes of a file, as memory. Only [`DiskFs`](crate::io::DiskFs) makes any; a file
/// system that wraps it hands them on ([`FsFile::mapped`](crate::io::FsFile::mapped)).
///
/// The engine alone reads it, because only there is it known that nobody writes the file meanwhile.
pub struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is read only, and unmapped by the last who has it.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the first `len` bytes of a file that has as many; `None` if the system does not.
    #[cfg(unix)]
    pub(crate) fn new(file: impl std::os::fd::AsFd, len: u64) -> Option<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};

        let there = u64::try_from(rustix::fs::fstat(&file).ok()?.st_size).ok()?;
        let len = usize::try_from(len).ok().filter(|&bytes| bytes > 0 && len <= there)?;
        // Of few addresses those for threads and memory are needed more.
        if cfg!(not(target_pointer_width = "64")) {
            return None;
        }
        let at = std::ptr::null_mut();
        // SAFETY: the system picks an address range that nothing else uses.
        let start = unsafe { mmap(at, len, ProtFlags::READ, MapFlags::SHARED, file, 0) }.ok()?;
        Some(Self { start: NonNull::new(start.cast())?, len })
    }
}

impl Mapped {
    /// What is there.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped in `new` with this length, and unmapped in `drop`. It is asked for of
        // segments alone, which nobody writes after they are made: the engine does not, and the
        // user who has turned mapped reads on vouches for others.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            // SAFETY: mapped in `new` with this length, and unmapped only here.
            let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("bytes", &self.len).finish_non_exhaustive()
    }
}
