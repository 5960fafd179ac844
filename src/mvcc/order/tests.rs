//! The order with real threads, in chosen steps; `models.rs` has the interleavings.

use super::{Broken, Order, SLOTS, Ticket};
use crate::ids::Sequence;

/// Ticket `n` goes up to sequence `10 * n + 10`.
fn finish(order: &Order, ticket: u64) {
    order.finish(Ticket(ticket), Sequence(10 * ticket + 10));
}

#[test]
fn what_is_finished_out_of_turn_is_published_by_the_one_before() {
    let order = Order::new(Sequence(5));
    assert_eq!(order.visible(), Sequence(5));
    for (ticket, visible) in [(2, 5), (1, 5), (0, 30), (4, 30), (3, 50), (5, 60)] {
        finish(&order, ticket);
        assert_eq!(order.visible(), Sequence(visible), "after ticket {ticket}");
        let next = visible / 10;
        assert!(order.is_next(Ticket(next)) && !order.is_next(Ticket(next + 1)));
    }
}

/// Whole rounds of the slots, forwards, backwards and by halves.
#[test]
fn slots_are_used_again() {
    let order = Order::new(Sequence(0));
    let slots = SLOTS as u64;
    for round in 0..6 {
        let from = round * slots;
        for at in 0..slots {
            let at = match round % 3 {
                0 => at,
                1 => slots - 1 - at,
                _ => (at + slots / 2) % slots,
            };
            assert!(order.wait_for_slot(Ticket(from + at)).is_ok());
            finish(&order, from + at);
        }
        assert_eq!(order.visible(), Sequence(10 * (from + slots)));
        assert!(order.wait_for_all_before(Ticket(from + slots)).is_ok());
    }
}

#[test]
fn who_sleeps_is_woken_by_the_publication_or_by_the_end() {
    for end in [false, true] {
        let order = Order::new(Sequence(0));
        finish(&order, 1);
        let got = std::thread::scope(|scope| {
            let sleepers = [1, 1, 2].map(|next| {
                let order = &order;
                scope.spawn(move || match next {
                    1 => order.wait_for(Ticket(1)),
                    _ => order.wait_for_all_before(Ticket(2)),
                })
            });
            while order.sleeps() < 3 {
                std::thread::yield_now();
            }
            if end {
                order.give_up();
            } else {
                finish(&order, 0);
            }
            sleepers.map(|sleeper| sleeper.join().expect("no waiter panics"))
        });
        assert_eq!(got, [if end { Err(Broken) } else { Ok(()) }; 3]);
        assert_eq!(order.wait_for_slot(Ticket(2)), got[0]);
    }
}
