//! Model of reclaiming: what is collected, nobody else holds, and a reader never frees a value.

use super::Retired;
use crate::mvcc::models::{holds, refuted};
use crate::mvcc::view::update;
use crate::sync::model::thread;
use crate::sync::{Arc, Published};

/// Two readers, of which each drops what it loaded, and the background thread that replaces the
/// value twice and collects until nothing is retired.
fn collected_is_unshared(counts: bool) {
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
        retired.push(update(&published, |value| value + 1).0, 0);
        // A fault: whatever is old enough is taken, though a reader still holds it.
        let all = |retired: &mut Retired<u32>| retired.values.drain(..).map(|e| e.value).collect();
        let collected: Vec<_> = if counts { retired.collect(0, 0) } else { all(&mut retired) };
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
    holds("retire", Some(3), 1_500, || collected_is_unshared(true));
    refuted("references not counted", Some(3), "someone still holds", || {
        collected_is_unshared(false);
    });
}
