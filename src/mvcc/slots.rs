//! Blocks in the slots of a file: put there by readers, taken out by the clock hand, and counted.
//!
//! What a block is, and when there is room for another, is the caller's business. One background
//! thread has the hand.

use super::residence::Residence;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Slot};

/// What slots hold.
pub(crate) trait Resident {
    /// What it counts for.
    fn cached_bytes(&self) -> usize;

    /// Whether it was read since the last call: then the hand passes it by once.
    fn take_used(&self) -> bool;
}

/// Bytes of what is in slots, of all files together; at least, because each counts from before it
/// is put there until after it is taken out.
#[derive(Debug)]
pub(crate) struct Cached(AtomicUsize);

impl Cached {
    /// Nothing.
    pub(crate) fn none() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn bytes(&self) -> usize {
        // Relaxed, here and below: an account, it publishes nothing.
        self.0.load(Ordering::Relaxed)
    }

    fn enters<T: Resident>(&self, value: &T) {
        self.0.fetch_add(value.cached_bytes(), Ordering::Relaxed);
    }

    fn leaves<T: Resident>(&self, value: &T) {
        self.0.fetch_sub(value.cached_bytes(), Ordering::Relaxed);
    }
}

/// The slots of one file.
///
/// Two readers that miss at the same time both load the block, and one of the two is kept: 1. count
/// it; 2. put it into the slot if that is empty, or take it off the count again; 3. note the
/// residence. What is in a slot no reader takes out.
///
/// The hand: 1. begin with the residence; 2. for each slot look whether there is a block, and
/// whether it was read; 3. take it out, then off the count. It hands the block to its caller, who
/// drops it when no reader has it any more: no reader frees what was in a slot.
#[derive(Debug)]
pub(crate) struct FileSlots<T> {
    slots: Box<[Slot<T>]>,
    /// Whether a slot may be filled; lets the hand pass by cold files.
    residence: Residence,
}

impl<T: Resident> FileSlots<T> {
    /// So many, all of them empty.
    pub(crate) fn empty(count: usize) -> Self {
        let slots = (0..count).map(|_| Slot::empty()).collect();
        Self { slots, residence: Residence::none() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Slot `i`, to be looked at.
    #[inline]
    pub(crate) fn at(&self, i: usize) -> &Slot<T> {
        &self.slots[i]
    }

    /// Whether any slot may be filled. A hint.
    pub(crate) fn are_warm(&self) -> bool {
        self.residence.is_warm()
    }

    /// Puts a value into slot `i`, unless another reader was first. Returns whether it did.
    pub(crate) fn keep(&self, i: usize, value: &Arc<T>, cached: &Cached) -> bool {
        cached.enters(&**value);
        let kept = self.slots[i].fill(Arc::clone(value));
        if !kept {
            cached.leaves(&**value);
        }
        self.residence.note();
        kept
    }

    /// Takes values out of the slots from `from` on, until their bytes make up for `excess`.
    /// Returns the slot to go on with. The thread with the hand only.
    pub(crate) fn evict(
        &self,
        from: usize,
        excess: &mut usize,
        out: &mut Vec<Arc<T>>,
        cached: &Cached,
    ) -> usize {
        if !self.residence.begin() {
            return self.slots.len();
        }
        let mut left_some = from > 0;
        for (i, slot) in self.slots.iter().enumerate().skip(from) {
            if *excess == 0 {
                self.residence.note();
                return i;
            }
            match slot.load().as_ref() {
                None => continue,
                Some(value) if value.take_used() => {
                    left_some = true;
                    continue;
                }
                Some(_) => {}
            }
            if let Some(value) = slot.take() {
                cached.leaves(&*value);
                *excess = excess.saturating_sub(value.cached_bytes());
                out.push(value);
            }
        }
        if left_some {
            self.residence.note();
        }
        self.slots.len()
    }

    /// Takes everything out, for who has the file alone.
    pub(crate) fn clear(&self, cached: &Cached) {
        self.slots.iter().filter_map(Slot::take).for_each(|value| cached.leaves(&*value));
    }
}

#[cfg(all(test, loom))]
mod models;
