//! The memory of an active memtable's records: bytes are copied in once and never move or change.
//!
//! Memory comes in slabs that are all freed together with the table: a large one is a mapping of
//! its own, so that what is freed is the system's again, whichever thread frees it, and what was
//! not touched has never been anybody's. One [`ArenaWriter`] parts them into [`Room`]s from inside
//! the commit section, which are filled by any thread; readers on other threads follow pointers
//! that the index published to them, and never look at the slab list. Knows nothing of keys or
//! order.

#![allow(
    unsafe_code,
    reason = "records live at stable addresses in memory that is still being filled"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

use crate::sync::{Arc, Mutex, lock};

/// Stride of the stores that make the system back a slab with memory; a multiple of it is whole
/// pages on most systems.
const PAGE_BYTES: usize = 4096;

/// A slab of this many bytes is a mapping; smaller ones are the allocator's.
const MAPPED_BYTES_MIN: usize = 256 << 10;

/// One allocation or mapping, freed on drop.
struct Slab {
    start: NonNull<u8>,
    layout: Layout,
    mapped: bool,
}

// SAFETY: a slab is plain memory without thread affinity, and the slab itself reads none of it.
unsafe impl Send for Slab {}

impl Slab {
    fn new(len: usize) -> Self {
        let layout = Layout::array::<u8>(len.max(1))
            .expect("a record is in memory already, so its length fits an allocation");
        if len >= MAPPED_BYTES_MIN
            && let Some(start) = map(len)
        {
            return Self { start, layout, mapped: true };
        }
        // SAFETY: the layout has at least one byte.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout, mapped: false }
    }
}

impl Slab {
    /// Gives the whole pages of the last `len` bytes back to the system. Nobody needs what is in
    /// them.
    #[cfg(target_os = "linux")]
    fn give_back(&self, len: usize) {
        use rustix::mm::{Advice, madvise};
        let from = (self.layout.size() - len).next_multiple_of(PAGE_BYTES);
        let pages = self.layout.size().saturating_sub(from) / PAGE_BYTES * PAGE_BYTES;
        if self.mapped && pages > 0 {
            // SAFETY: inside a mapping, which begins at a page; the caller's word for what is
            // there. Should it be refused, the pages stay until the slab is dropped.
            let _ = unsafe {
                madvise(self.start.add(from).as_ptr().cast(), pages, Advice::LinuxDontNeed)
            };
        }
    }

    /// Elsewhere they stay until the slab is dropped.
    #[cfg(not(target_os = "linux"))]
    fn give_back(&self, _len: usize) {}
}

impl Drop for Slab {
    fn drop(&mut self) {
        if self.mapped {
            return unmap(self.start, self.layout.size());
        }
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Memory that is backed as it is touched.
#[cfg(unix)]
fn map(len: usize) -> Option<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the system picks an address range that nothing else uses.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), len, rights, MapFlags::PRIVATE) }.ok()?;
    NonNull::new(start.cast())
}

#[cfg(unix)]
fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: mapped in `map` with this length for one slab, which is being dropped.
    let unmapped = unsafe { rustix::mm::munmap(start.as_ptr().cast(), len) };
    debug_assert!(unmapped.is_ok(), "{unmapped:?}");
}

#[cfg(not(unix))]
fn map(_len: usize) -> Option<NonNull<u8>> {
    None
}

#[cfg(not(unix))]
fn unmap(_start: NonNull<u8>, _len: usize) {
    unreachable!("nothing is mapped here");
}

/// What keeps stored bytes alive.
#[derive(Clone)]
pub(super) struct Arena(Arc<Mutex<Slabs>>);

#[derive(Default)]
struct Slabs {
    all: Vec<Slab>,
    /// How many bytes at the end of the newest one nobody will use any more.
    unused: usize,
}

impl Arena {
    /// Gives what the writer has left unused, once it is gone, back to the system: a table that is
    /// sealed before it is full may have hardly used what was touched for it.
    pub(super) fn give_back_unused(&self) {
        let mut slabs = lock(&self.0);
        let unused = std::mem::take(&mut slabs.unused);
        if let Some(slab) = slabs.all.last() {
            slab.give_back(unused);
        }
    }
}

/// The one writer of an [`Arena`]; it keeps the arena alive too.
pub(super) struct ArenaWriter {
    arena: Arena,
    /// The next free byte of the newest slab.
    free: *mut u8,
    /// How many bytes are free from there on.
    left: usize,
    slab_bytes: usize,
    used: usize,
}

// SAFETY: `free` points into a slab that `arena` owns, and only this writer uses those bytes until
// it makes a room of them; nothing is tied to a thread.
unsafe impl Send for ArenaWriter {}

impl ArenaWriter {
    /// An arena of `first_bytes` that grows in steps of `slab_bytes`.
    pub(super) fn new(first_bytes: usize, slab_bytes: usize) -> Self {
        let arena = Arena(Arc::default());
        let free = NonNull::dangling().as_ptr();
        let mut writer = Self { arena, free, left: 0, slab_bytes, used: 0 };
        writer.open_slab(first_bytes);
        writer
    }

    /// Touches the next `bytes`, so that the commit section meets no page fault in them.
    pub(super) fn touch(&mut self, bytes: usize) {
        for at in (0..self.left.min(bytes)).step_by(PAGE_BYTES) {
            // SAFETY: `at` is inside the slab, in the part that nothing points to yet. Volatile,
            // because the bytes are overwritten unread.
            unsafe { self.free.add(at).write_volatile(0) };
        }
    }

    /// The arena, for what follows the pointers.
    pub(super) fn arena(&self) -> Arena {
        self.arena.clone()
    }

    /// Bytes stored, and bytes given up at the ends of full slabs.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Room for `len` bytes.
    pub(super) fn room(&mut self, len: usize) -> Room {
        let start = self.reserve(len);
        Room { arena: Arc::as_ptr(&self.arena.0), at: start, left: len }
    }

    /// The start of `len` bytes of its own.
    fn reserve(&mut self, len: usize) -> *mut u8 {
        if len > self.left {
            // A record that would leave much of a slab unused gets one of its own, of its own size.
            if len > self.slab_bytes / 8 {
                self.used += len;
                return self.add_slab(len);
            }
            self.used += self.left;
            self.open_slab(self.slab_bytes);
        }
        let start = self.free;
        // SAFETY: `len <= left`, so the result is inside the slab, or one past its end.
        self.free = unsafe { start.add(len) };
        self.left -= len;
        self.used += len;
        start
    }

    fn open_slab(&mut self, bytes: usize) {
        self.free = self.add_slab(bytes);
        self.left = bytes;
    }

    fn add_slab(&self, len: usize) -> *mut u8 {
        let slab = Slab::new(len);
        let start = slab.start.as_ptr();
        lock(&self.arena.0).all.push(slab);
        start
    }
}

/// Bytes of an arena that are one writer's to fill. It does not keep the arena alive.
#[derive(Debug)]
pub(crate) struct Room {
    arena: *const Mutex<Slabs>,
    /// The next free byte.
    at: *mut u8,
    left: usize,
}

impl Room {
    /// Copies `parts` in, one after the other. The bytes stay where they are, and as they are,
    /// until every clone of `arena` is gone, and its writer.
    ///
    /// # Panics
    /// If it is no room in `arena`, or too small.
    #[inline]
    pub(super) fn store(&mut self, arena: &Arena, parts: &[&[u8]]) -> *const u8 {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        assert!(self.arena == Arc::as_ptr(&arena.0), "a room is filled while its arena lives");
        assert!(len <= self.left, "a room is made as large as what comes into it");
        let start = self.at.cast_const();
        for part in parts {
            // SAFETY: `at` has `left` bytes, no fewer than the parts have, in a slab of the arena,
            // which the caller keeps alive; nothing else overlaps them.
            unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), self.at, part.len());
                self.at = self.at.add(part.len());
            }
        }
        self.left -= len;
        start
    }
}

impl Drop for ArenaWriter {
    fn drop(&mut self) {
        let mut slabs = lock(&self.arena.0);
        // A record may have come into a slab of its own behind the one that `left` is of.
        let end = self.free.addr() + self.left;
        let is_last = |slab: &Slab| slab.start.as_ptr().addr() + slab.layout.size() == end;
        if slabs.all.last().is_some_and(is_last) {
            slabs.unused = self.left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_length_stay_as_stored_after_the_writer_is_gone() {
        let mut writer = ArenaWriter::new(4096, 4096);
        let arena = writer.arena();
        let lens = [1, 0, 511, 512, 513, 4096, 4097, 100_000];
        let stored: Vec<_> = (0..200_usize)
            .map(|n| {
                let a = vec![n as u8; lens[n % lens.len()]];
                let b = vec![!(n as u8); n];
                let mut room = writer.room(a.len() + b.len());
                (room.store(&arena, &[&a, &b]), [a, b].concat())
            })
            .collect();
        assert!(writer.used() >= stored.iter().map(|(_, bytes)| bytes.len()).sum());
        drop(writer);
        for (start, bytes) in &stored {
            // SAFETY: `arena` is alive, and `store` copied that many bytes there.
            let got = unsafe { std::slice::from_raw_parts(*start, bytes.len()) };
            assert_eq!(got, bytes);
        }
        drop(arena);
    }

    /// What was stored stays, and on Linux what was touched in vain is the system's again: its
    /// pages are zeros when they are looked at.
    #[test]
    fn what_is_unused_is_given_back_once_the_writer_is_gone() {
        const SLAB_BYTES: usize = 1 << 20;
        for len in [1, 4096, 5000, 600_000, SLAB_BYTES - 1, SLAB_BYTES] {
            let mut writer = ArenaWriter::new(SLAB_BYTES, SLAB_BYTES / 4);
            let arena = writer.arena();
            let bytes = vec![7; len];
            let stored = writer.room(len).store(&arena, &[&bytes]);
            writer.touch(SLAB_BYTES);
            // SAFETY: all of the slab that nothing points to yet.
            unsafe { writer.free.write_bytes(9, writer.left) };
            arena.give_back_unused();
            let whole = || {
                // SAFETY: the slab has that many bytes, all of them written, and is not written to
                // now.
                unsafe { std::slice::from_raw_parts(stored, SLAB_BYTES) }
            };
            assert!(whole()[len..].iter().all(|&byte| byte == 9), "it is still written");
            drop(writer);
            arena.give_back_unused();
            arena.give_back_unused();
            let (kept, tail) = whole().split_at(len.next_multiple_of(PAGE_BYTES).min(SLAB_BYTES));
            assert!(kept.starts_with(&bytes) && kept[len..].iter().all(|&byte| byte == 9));
            assert!(!cfg!(target_os = "linux") || tail.iter().all(|&byte| byte == 0), "{len}");
        }
    }

    #[test]
    #[should_panic(expected = "while its arena lives")]
    fn a_room_is_filled_in_its_own_arena() {
        let other = ArenaWriter::new(4096, 4096).arena();
        ArenaWriter::new(4096, 4096).room(5).store(&other, &[b"small"]);
    }

    #[test]
    #[should_panic(expected = "as large as what comes into it")]
    fn a_room_is_not_overfilled() {
        let mut writer = ArenaWriter::new(4096, 4096);
        let arena = writer.arena();
        let mut room = writer.room(5);
        room.store(&arena, &[b"1234"]);
        room.store(&arena, &[b"56"]);
    }

    #[test]
    fn a_record_with_a_slab_of_its_own_is_not_taken_for_unused() {
        let mut writer = ArenaWriter::new(4096, 4096);
        let arena = writer.arena();
        writer.room(5).store(&arena, &[b"small"]);
        let bytes = vec![7; 1 << 20];
        let stored = writer.room(bytes.len()).store(&arena, &[&bytes]);
        drop(writer);
        arena.give_back_unused();
        // SAFETY: `arena` is alive, and `store` copied that many bytes there.
        assert!(unsafe { std::slice::from_raw_parts(stored, bytes.len()) } == &bytes[..]);
    }
}
