//! Model of reclaiming: what is collected, nobody else holds, and a reader never frees a value.

use super::Retired;
use crate::mvcc::models::check;
use crate::mvcc::view::update;
use crate::sync::models::thread;
use crate::sync::{Arc, Published};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// All that is old enough is taken, though a reader still holds it.
    NotCounted,
    /// What was replaced is not kept at all.
    NotKept,
}

/// Two readers, of which each drops what it loaded, and the background thread that replaces the
/// value twice and collects until nothing is retired.
fn collected_is_unshared(fault: Fault) {
    let published = Arc::new(Published::new(Arc::new(0_u32)));
    let readers = [(), ()].map(|()| {
        let published = Arc::clone(&published);
        thread::spawn(move || {
            let loaded = published.load_full();
            assert!(Arc::strong_count(&loaded) > 1, "a reader frees the value");
        })
    });
    let mut retired = Retired::new();
    for _ in 0..2 {
        let old = update(&published, |value| value + 1).0;
        if fault == Fault::NotKept {
            continue;
        }
        retired.push(old, 0);
        let collected: Vec<_> = match fault {
            Fault::NotCounted => retired.values.drain(..).map(|entry| entry.value).collect(),
            _ => retired.collect(0, 0),
        };
        for value in collected {
            assert!(Arc::try_unwrap(value).is_ok(), "someone still holds what was collected");
        }
    }
    for reader in readers {
        reader.join().expect("no reader panics");
    }
    let rest = retired.collect(0, 0);
    assert!(retired.iter().count() == 0, "once the readers are gone, everything can be collected");
    assert!(rest.into_iter().all(|value| Arc::try_unwrap(value).is_ok()));
}

/// I21.
#[test]
fn what_is_collected_is_held_by_nobody_else() {
    let faults =
        [(Fault::NotCounted, "someone still holds"), (Fault::NotKept, "a reader frees the value")];
    check("retire", collected_is_unshared, &faults);
}
