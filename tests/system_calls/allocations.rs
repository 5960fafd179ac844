//! An allocator that counts, thread by thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has had of the allocator so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) allocations: u64,
    pub(crate) frees: u64,
}

thread_local! {
    // Made without an allocation, and dropped without anything.
    static COUNT: Cell<Count> = const { Cell::new(Count { allocations: 0, frees: 0 }) };
}

/// What the calling thread has had so far; nothing while it ends.
pub(crate) fn of_this_thread() -> Count {
    COUNT.try_with(Cell::get).unwrap_or_default()
}

fn count(allocations: u64, frees: u64) {
    // Not of a thread that is ending.
    let _ = COUNT.try_with(|count| {
        let before = count.get();
        count.set(Count {
            allocations: before.allocations + allocations,
            frees: before.frees + frees,
        });
    });
}

pub(crate) struct Counting;

// SAFETY: everything is the system's, which is asked as it was called.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the trait's contract, handed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, 0);
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as above.
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count(0, 1);
        // SAFETY: the caller's word.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
