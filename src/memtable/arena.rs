//! The memory of an active memtable's records: bytes are copied in once and never move or change.
//!
//! Memory comes in slabs that are all freed together with the table. One [`ArenaWriter`] fills them
//! from inside the commit section; readers on other threads follow pointers that the index
//! published to them, and never look at the slab list. Knows nothing of keys or order.

#![allow(
    unsafe_code,
    reason = "records live at stable addresses in memory that is still being filled"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

use crate::sync::{Arc, Mutex, lock};

/// Stride of the stores that make the system back a slab with memory.
const PAGE_BYTES: usize = 4096;

/// One allocation, freed on drop.
struct Slab {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a slab is plain heap memory without thread affinity, and the slab itself reads none of
// it.
unsafe impl Send for Slab {}

impl Slab {
    fn new(len: usize) -> Self {
        let layout = Layout::array::<u8>(len.max(1))
            .expect("a record is in memory already, so its length fits an allocation");
        // SAFETY: the layout has at least one byte.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// What keeps stored bytes alive.
#[derive(Clone)]
pub(super) struct Arena(Arc<Mutex<Vec<Slab>>>);

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
// it hands out a pointer to them; nothing is tied to a thread.
unsafe impl Send for ArenaWriter {}

impl ArenaWriter {
    /// An arena of `first_bytes` that grows in steps of `slab_bytes`.
    pub(super) fn new(first_bytes: usize, slab_bytes: usize) -> Self {
        let arena = Arena(Arc::new(Mutex::new(Vec::new())));
        let mut writer =
            Self { arena, free: NonNull::dangling().as_ptr(), left: 0, slab_bytes, used: 0 };
        writer.open_slab(first_bytes);
        writer
    }

    /// Touches what is free, so that the commit section meets no page fault in it.
    pub(super) fn touch(&mut self) {
        for at in (0..self.left).step_by(PAGE_BYTES) {
            // SAFETY: `at` is inside the slab, in the part that nothing points to yet. Volatile,
            // because the bytes are overwritten unread.
            unsafe { self.free.add(at).write_volatile(0) };
        }
    }

    /// The arena, for whoever follows the pointers.
    pub(super) fn arena(&self) -> Arena {
        self.arena.clone()
    }

    /// Whether this is the writer of `arena`.
    pub(super) fn fills(&self, arena: &Arena) -> bool {
        Arc::ptr_eq(&self.arena.0, &arena.0)
    }

    /// Bytes stored, and bytes given up at the ends of full slabs.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Copies `parts` in, one after the other. The bytes stay where they are, and as they are,
    /// until the writer and every clone of its arena are gone.
    pub(super) fn store(&mut self, parts: &[&[u8]]) -> *const u8 {
        let len = parts.iter().map(|part| part.len()).sum();
        let start = self.reserve(len);
        let mut at = start;
        for part in parts {
            // SAFETY: `reserve` handed out `len` bytes, the sum of the parts, that overlap nothing
            // else.
            unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
        }
        start
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
        lock(&self.arena.0).push(slab);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_length_stay_as_stored_after_the_writer_is_gone() {
        let mut writer = ArenaWriter::new(4096, 4096);
        let arena = writer.arena();
        assert!(writer.fills(&arena) && !writer.fills(&ArenaWriter::new(4096, 4096).arena()));
        let lens = [1, 0, 511, 512, 513, 4096, 4097, 100_000];
        let stored: Vec<_> = (0..200_usize)
            .map(|n| {
                let (a, b) = (vec![n as u8; lens[n % lens.len()]], vec![!(n as u8); n]);
                (writer.store(&[&a, &b]), [a, b].concat())
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
}
