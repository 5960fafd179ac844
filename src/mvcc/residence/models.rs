//! Model of the flag over slots: readers that fill them, and a hand that empties them. A slot is
//! weaker here than the shipped one: an exchange to fill it, a load to look.

use super::Residence;
use crate::mvcc::models::check;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::models::thread;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// A fill looks at the flag, and sets it only if it seems to be clear.
    LooksFirst,
    /// A fill sets the flag, then fills the slot.
    NotesFirst,
    /// The hand clears the flag after it has looked into the slots.
    ClearsLast,
    /// The hand does not set the flag for what it leaves.
    ForgetsLeft,
}

struct File {
    fault: Fault,
    slots: [AtomicBool; 2],
    residence: Residence,
}

impl File {
    fn fill(&self, slot: usize) {
        let set = |at: usize| {
            let filled = &self.slots[at];
            let _ = filled.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        };
        match self.fault {
            Fault::NotesFirst => {
                self.residence.note();
                set(slot);
            }
            Fault::LooksFirst => {
                set(slot);
                if !self.residence.is_warm() {
                    self.residence.note();
                }
            }
            _ => {
                set(slot);
                self.residence.note();
            }
        }
    }

    /// A round of the hand, which empties one slot at most, as the shipped one stops when enough
    /// is evicted.
    fn evict(&self) {
        if self.fault == Fault::ClearsLast {
            let found = self.slots.iter().filter(|slot| slot.load(Ordering::Acquire));
            found.take(1).for_each(|slot| slot.store(false, Ordering::Release));
            self.residence.begin();
            return;
        }
        if !self.residence.begin() {
            return;
        }
        let mut excess = 1;
        for slot in &self.slots {
            if excess == 0 {
                if self.fault != Fault::ForgetsLeft {
                    self.residence.note();
                }
                return;
            }
            if slot.load(Ordering::Acquire) && slot.swap(false, Ordering::AcqRel) {
                excess -= 1;
            }
        }
    }
}

/// A reader and a hand that comes by twice; then what is filled is not passed by.
fn no_block_escapes(fault: Fault) {
    let slots = [AtomicBool::new(true), AtomicBool::new(false)];
    let file = Arc::new(File { fault, slots, residence: Residence::none() });
    file.residence.note();
    let reader = {
        let file = Arc::clone(&file);
        thread::spawn(move || file.fill(1))
    };
    file.evict();
    file.evict();
    reader.join().expect("no reader panics");
    let filled = file.slots.iter().any(|slot| slot.load(Ordering::Acquire));
    assert!(!filled || file.residence.is_warm(), "a cached block escapes the hand");
}

/// The cache stays within its bound.
#[test]
fn the_hand_passes_by_no_file_with_a_block_in_memory() {
    let symptom = "a cached block escapes the hand";
    let faults = [
        (Fault::LooksFirst, symptom),
        (Fault::NotesFirst, symptom),
        (Fault::ClearsLast, symptom),
        (Fault::ForgetsLeft, symptom),
    ];
    check("residence", no_block_escapes, &faults);
}
