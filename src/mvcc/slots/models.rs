//! Model of a slot: two readers that load the same block, and the hand that takes it out.

use super::{Cached, FileSlots, Resident};
use crate::mvcc::models::check;
use crate::mvcc::retire::Retired;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::models::thread;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// A block is counted when it is in its slot.
    CountsLast,
    /// A block that another reader's has kept out stays counted.
    LoserStaysCounted,
    /// A reader puts its block in the place of another's.
    StoresOver,
    /// A reader does not say that there is a block.
    NothingNoted,
    /// The hand drops what it takes out while a reader has it.
    DropsAtOnce,
}

/// A block of one byte.
struct Block {
    used: AtomicBool,
    /// Whether the hand has taken it out.
    taken: AtomicBool,
}

impl Resident for Block {
    fn cached_bytes(&self) -> usize {
        1
    }

    fn take_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) && self.used.swap(false, Ordering::Relaxed)
    }
}

struct File {
    fault: Fault,
    slots: FileSlots<Block>,
    cached: Cached,
}

impl File {
    /// A read, as the engine's: from the slot, or from the file.
    fn read(&self) {
        let found = self.slots.at(0).load().as_ref().map(Arc::clone);
        let block = if let Some(block) = found {
            block.used.store(true, Ordering::Relaxed);
            block
        } else {
            let flag = || AtomicBool::new(false);
            let block = Arc::new(Block { used: flag(), taken: flag() });
            self.keep(&block);
            block
        };
        if let Ok(block) = Arc::try_unwrap(block) {
            assert!(!block.taken.into_inner(), "a reader frees what was in a slot");
        }
    }

    /// The shipped steps but for the fault.
    fn keep(&self, block: &Arc<Block>) {
        let fill = || self.slots.slots[0].fill(Arc::clone(block));
        match self.fault {
            Fault::CountsLast => {
                if fill() {
                    self.cached.enters(&**block);
                }
            }
            Fault::LoserStaysCounted => {
                self.cached.enters(&**block);
                fill();
            }
            Fault::StoresOver => {
                self.cached.enters(&**block);
                drop(self.slots.slots[0].take());
                fill();
            }
            Fault::NothingNoted => {
                self.cached.enters(&**block);
                if !fill() {
                    self.cached.leaves(&**block);
                }
                return;
            }
            _ => {
                self.slots.keep(0, block, &self.cached);
                return;
            }
        }
        self.slots.residence.note();
    }

    /// A round of the hand.
    fn evict(&self, retired: &mut Retired<Block>) {
        let filled = self.slots.at(0).load().is_some();
        assert!(!filled || self.cached.bytes() > 0, "a block in its slot is not counted");
        let mut out = Vec::new();
        self.slots.evict(0, &mut 1, &mut out, &self.cached);
        for block in out {
            block.taken.store(true, Ordering::Relaxed);
            if self.fault != Fault::DropsAtOnce {
                retired.push(block, 0);
            }
        }
        drop(retired.collect(0, 0));
    }
}

/// Two readers of one block, and the hand, which takes it out in the end.
fn what_is_counted_is_in_a_slot(fault: Fault) {
    let file = Arc::new(File { fault, slots: FileSlots::empty(1), cached: Cached::none() });
    let readers = [(), ()].map(|()| {
        let file = Arc::clone(&file);
        thread::spawn(move || file.read())
    });
    let mut retired = Retired::new();
    file.evict(&mut retired);
    readers.into_iter().for_each(|reader| reader.join().expect("no reader panics"));
    // The first round takes a second chance away.
    file.evict(&mut retired);
    file.evict(&mut retired);
    assert!(file.slots.at(0).load().is_none(), "a cached block escapes the hand");
    assert_eq!(file.cached.bytes(), 0, "what is counted is in no slot");
    assert_eq!(retired.iter().count(), 0, "once the readers are gone, all are freed");
}

/// What the cache compares with its bound is what lies in slots.
#[test]
fn a_block_is_counted_while_it_is_in_its_slot_and_no_reader_frees_it() {
    let faults = [
        (Fault::CountsLast, "a block in its slot is not counted"),
        (Fault::LoserStaysCounted, "what is counted is in no slot"),
        (Fault::StoresOver, "what is counted is in no slot"),
        (Fault::NothingNoted, "a cached block escapes the hand"),
        (Fault::DropsAtOnce, "a reader frees what was in a slot"),
    ];
    check("slot", what_is_counted_is_in_a_slot, &faults);
}
