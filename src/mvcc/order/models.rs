//! Models of the order: what is finished in any order becomes visible in one, nobody is passed over
//! and nobody sleeps through it. What is inserted is a row of relaxed flags: it orders nothing, so
//! that every edge that a reader needs comes from here.

use super::{ASLEEP, BATON, BROKEN, Broken, EMPTY, ONE, Order, Ticket, is_finished};
use crate::ids::Sequence;
use crate::mvcc::models::check;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::models::thread;
use crate::sync::{lock, wait};

/// Which step is wrong, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// Out of its slot is read what was inserted, or not.
    FinishedRelaxed,
    VisibleRelaxed,
    /// A look and a store in place of the exchange.
    LooksThenStores,
    BatonBeforePublication,
    OutOfTurn,
    WakesUnlocked,
    SleepsUnsaid,
    /// The end of the order is not said to those who sleep.
    EndUnsaid,
    /// It is said while somebody goes to sleep.
    EndUnlocked,
}

struct World {
    order: Order,
    inserted: [AtomicBool; 5],
    fault: Fault,
}

fn world(fault: Fault) -> &'static World {
    let inserted = std::array::from_fn(|_| AtomicBool::new(false));
    // Leaked: a deadlock leaves no thread active that the checker's `Arc` could be dropped on.
    Box::leak(Box::new(World { order: Order::new(Sequence(0)), inserted, fault }))
}

impl World {
    /// Ticket `n` has the sequence `n + 1`.
    fn write(&self, ticket: u64) -> Result<(), Broken> {
        self.order.wait_for_slot(Ticket(ticket))?;
        self.inserted[ticket as usize + 1].store(true, Ordering::Relaxed);
        let last = Sequence(ticket + 1);
        match self.fault {
            Fault::None | Fault::SleepsUnsaid | Fault::EndUnsaid | Fault::EndUnlocked => {
                self.order.finish(Ticket(ticket), last);
            }
            _ => self.finish(Ticket(ticket), last),
        }
        if self.fault == Fault::SleepsUnsaid { self.sleep(ticket) } else { self.wait(ticket) }?;
        assert!(self.order.visible() >= last, "an acknowledged write is invisible");
        Ok(())
    }

    fn wait(&self, ticket: u64) -> Result<(), Broken> {
        if self.fault == Fault::OutOfTurn {
            return Ok(());
        }
        self.order.wait_for(Ticket(ticket))
    }

    /// The shipped steps but for the fault.
    fn finish(&self, ticket: Ticket, last: Sequence) {
        let order = &self.order;
        let mut last = last.0;
        let mut at = ticket;
        if self.fault == Fault::OutOfTurn {
            order.visible.fetch_max(last, Ordering::AcqRel);
            return;
        }
        let had = match self.fault {
            Fault::LooksThenStores => {
                let had = order.slot(at).load(Ordering::Acquire);
                if had != BATON {
                    order.slot(at).store(last, Ordering::Release);
                }
                had
            }
            Fault::FinishedRelaxed => order.slot(at).swap(last, Ordering::Relaxed),
            _ => order.slot(at).swap(last, Ordering::AcqRel),
        };
        if had != BATON {
            return;
        }
        loop {
            order.slot(at).store(EMPTY, Ordering::Relaxed);
            let published = last;
            at = at.next();
            if self.fault != Fault::BatonBeforePublication {
                self.publish(published);
            }
            last = order.slot(at).swap(BATON, Ordering::AcqRel);
            if self.fault == Fault::BatonBeforePublication {
                self.publish(published);
            }
            if !is_finished(last) {
                return;
            }
        }
    }

    fn publish(&self, last: u64) {
        let order = &self.order;
        let edge = match self.fault {
            Fault::VisibleRelaxed => Ordering::Relaxed,
            _ => Ordering::Release,
        };
        order.visible.store(last, edge);
        let before = order.published.fetch_add(ONE, edge);
        if before & ASLEEP == 0 {
            return;
        }
        if self.fault == Fault::WakesUnlocked {
            order.published.fetch_and(!ASLEEP, Ordering::Relaxed);
            order.changed.notify_all();
        } else {
            order.wake();
        }
    }

    /// A sleep that says nothing.
    fn sleep(&self, ticket: u64) -> Result<(), Broken> {
        let mut sleeps = lock(&self.order.sleeps);
        while !self.order.is_next(Ticket(ticket + 1)) {
            sleeps = wait(&self.order.changed, sleeps);
        }
        Ok(())
    }

    /// Everything that is visible is there.
    fn read(&self) -> Sequence {
        let visible = self.order.visible();
        for at in 1..=visible.0 {
            let found = self.inserted[at as usize].load(Ordering::Relaxed);
            assert!(found, "visible names a write that cannot be found");
        }
        visible
    }
}

/// Two threads with the tickets that they write one after the other, and a reader.
fn in_turn(fault: Fault, tickets: [&'static [u64]; 2]) {
    let world = world(fault);
    let writers = tickets.map(|tickets| {
        thread::spawn(move || {
            tickets.iter().for_each(|ticket| world.write(*ticket).expect("nobody gives up"));
        })
    });
    let early = world.read();
    assert!(world.read() >= early, "visible goes back");
    writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
    let all: usize = tickets.iter().map(|tickets| tickets.len()).sum();
    assert_eq!(world.read(), Sequence(all as u64));
}

/// I2.
#[test]
fn what_is_finished_in_any_order_becomes_visible_in_one() {
    let lost = "visible names a write that cannot be found";
    let faults = [
        (Fault::FinishedRelaxed, "visible"),
        (Fault::VisibleRelaxed, "visible"),
        (Fault::OutOfTurn, lost),
        (Fault::LooksThenStores, "deadlock"),
        (Fault::WakesUnlocked, "deadlock"),
        (Fault::SleepsUnsaid, "deadlock"),
        (Fault::BatonBeforePublication, ""),
    ];
    check("order", |fault| in_turn(fault, [&[1], &[0]]), &faults);
    let faults = [(Fault::LooksThenStores, "deadlock"), (Fault::FinishedRelaxed, "visible")];
    check("order, slots again", |fault| in_turn(fault, [&[0, 2], &[1, 3]]), &faults);
}

/// A writer that waits for one that gives up.
fn the_end_is_told(fault: Fault) {
    let world = world(fault);
    let waits = thread::spawn(move || world.write(1));
    match fault {
        Fault::EndUnsaid => {
            world.order.published.fetch_or(BROKEN, Ordering::Relaxed);
        }
        Fault::EndUnlocked => {
            world.order.published.fetch_or(BROKEN, Ordering::Relaxed);
            world.order.changed.notify_all();
        }
        _ => world.order.give_up(),
    }
    assert_eq!(waits.join().expect("no writer panics"), Err(Broken));
    assert_eq!(world.read(), Sequence(0));
}

/// I2.
#[test]
fn nobody_waits_for_a_writer_that_has_died() {
    let faults = [(Fault::EndUnsaid, "deadlock"), (Fault::EndUnlocked, "deadlock")];
    check("order, the end", the_end_is_told, &faults);
}
