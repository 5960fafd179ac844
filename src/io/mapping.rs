//! A file's bytes as memory: how small writes to a prepared file come without a system call, and
//! how a part of a file is synced.
//!
//! Made by the log thread, written in the commit section, dropped outside it with the file. What is
//! stored is in the system's page cache at once, as after a write: it survives the death of the
//! process, and a sync of the file makes it durable. Knows no path and no format.
//!
//! Touched for writing, a prepared file is dirty as a whole, so a sync of it writes what nobody has
//! written to yet, and has each page fault again. [`Mapping::sync`] and [`sync`], called by the
//! sync leader, name the bytes that they are for. Where the system keeps a file in larger pieces
//! than pages, as it does one that was read back after a restart, a piece is written whole.
//!
//! A store into a mapping cannot fail: where the system has no page to back it, it ends the
//! process. So there is one only where that cannot happen short of a broken device:
//!
//! - On file systems that overwrite in place. On others each overwriting takes new space, which a
//!   full disk does not have: they get none, and the engine's writes stay system calls.
//! - Of bytes that were all written before, so that no store fills a hole. Making the mapping
//!   touches every page, which reports what is missing as an error; then there is none either.
//! - Of a file that nobody cuts: the engine never does, and the lock keeps other engines away.
//!
//! What remains is a page that memory pressure has taken away in between, on a device that then
//! fails to read it back.
//!
//! `memmap2` would map and unmap, which is a call each here; populating and syncing a range stay
//! with us, and its mapping is a slice, which a file that others can write to should not be.

#![allow(unsafe_code, reason = "memory that the system backs with a file is had no other way")]

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;
use std::ptr;
use std::slice;

use rustix::fs::{fstat, fstatfs};
use rustix::io::retry_on_intr;
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags, madvise, mmap, msync, munmap};

use crate::sync::atomic::Ordering;
use crate::sync::unchecked::AtomicU64;

/// What `statfs` calls the file systems that overwrite in place: ext2 to ext4, and tmpfs.
const IN_PLACE: [rustix::fs::FsWord; 2] = [0xEF53, 0x0102_1994];

/// Bytes in a word.
const WORD: usize = size_of::<u64>();

/// The first bytes of a file, shared with it.
#[derive(Debug)]
pub(super) struct Mapping {
    /// In pages of the file. Words, so that overlapping writes of several threads are stores that
    /// come one after the other, as the contract of a file allows them.
    words: &'static [AtomicU64],
}

impl Mapping {
    /// Maps the first `len` bytes of a file and brings their pages in, if that is safe and the
    /// system can.
    pub(super) fn new(file: impl AsFd, len: u64) -> Option<Self> {
        let there = u64::try_from(fstat(&file).ok()?.st_size).ok()?;
        let len = usize::try_from(len).ok()? / WORD * WORD;
        if there < len as u64 {
            return None;
        }
        let start = map(file, len)?;
        // SAFETY: the range was mapped readable and writable just now, begins at a page, and is
        // unmapped only when this is dropped; `words` does not leave the value. Words that a store
        // cannot reach were found out below, before anything is stored.
        let words = unsafe { slice::from_raw_parts(start.cast::<AtomicU64>(), len / WORD) };
        let mapping = Self { words };
        // SAFETY: the range of `mapping`; the advice changes no byte.
        unsafe { madvise(start, len, Advice::LinuxPopulateWrite) }.ok()?;
        Some(mapping)
    }

    /// Overwrites whole words, and returns whether it did: not if the bytes lie outside, or are no
    /// whole words.
    #[inline]
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> bool {
        let Ok(at) = usize::try_from(offset) else { return false };
        let (words, rest) = bytes.as_chunks::<WORD>();
        if at % WORD != 0 || !rest.is_empty() {
            return false;
        }
        let Some(there) = self.words.get(at / WORD..).and_then(|left| left.get(..words.len()))
        else {
            return false;
        };
        for (there, word) in there.iter().zip(words) {
            // Relaxed: a thread that syncs or reads the file learned of the write from its writer.
            there.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        true
    }

    /// Syncs the first `len` bytes, and leaves the pages behind them as they are. `None` if there
    /// are fewer.
    pub(super) fn sync(&self, len: u64) -> Option<io::Result<()>> {
        let len = usize::try_from(len).ok().filter(|&len| len <= size_of_val(self.words))?;
        // SAFETY: within the mapping, which lives as long as `self`.
        Some(unsafe { sync_range(self.words.as_ptr().cast_mut().cast(), len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = self.words.as_ptr().cast_mut().cast();
        // SAFETY: mapped in `new` with this length, and unmapped only here; the words are borrowed
        // by nobody while they are dropped.
        let unmapped = unsafe { munmap(start, size_of_val(self.words)) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// As [`Mapping::sync`], of a file that has none (any more). `None` where only a whole file can be
/// synced.
///
/// Short of io_uring there is one system call that makes a part of a file durable, and that names
/// it by addresses; `sync_file_range` leaves it in the device's cache. No page is looked at through
/// them. Giving the addresses out and back takes some 5 µs.
pub(super) fn sync(file: impl AsFd, len: u64) -> Option<io::Result<()>> {
    let len = usize::try_from(len).ok()?;
    let start = map(file, len)?;
    // SAFETY: the range was mapped just now.
    let synced = unsafe { sync_range(start, len) };
    // SAFETY: mapped above with this length, and known to nobody else.
    let unmapped = unsafe { munmap(start, len) };
    debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    Some(synced)
}

/// Makes the pages of a file that lie at these addresses durable.
///
/// # Safety
///
/// The range must be mapped, and stay so during the call.
unsafe fn sync_range(start: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller's word; a sync changes no byte.
    Ok(retry_on_intr(|| unsafe { msync(start, len, MsyncFlags::SYNC) })?)
}

/// Addresses for the first `len` bytes of a file, on a file system that overwrites in place.
///
/// For writing, also where only a sync is wanted: of a file that is open for reading alone the
/// system makes a private mapping, whose syncs do nothing. This way it makes none.
fn map(file: impl AsFd, len: usize) -> Option<*mut c_void> {
    if !IN_PLACE.contains(&fstatfs(&file).ok()?.f_type) {
        return None;
    }
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED;
    // SAFETY: the system picks an address range that nothing else uses. None of no bytes.
    unsafe { mmap(ptr::null_mut(), len, rights, flags, file, 0) }.ok()
}

#[cfg(test)]
mod tests;
