//! Read points and updates with real threads; `models.rs` has the interleavings.

use super::{read_point, read_point_owned, update};
use crate::ids::Sequence;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Published};

/// I3.
#[test]
fn the_view_is_loaded_before_visible() {
    let published = Published::new(Arc::new(1));
    let replace_meanwhile = || {
        update(&published, |view| view + 1);
        Sequence(7)
    };
    let (view, sequence) = read_point(&published, replace_meanwhile);
    assert_eq!((**view, sequence), (1, Sequence(7)));
    let (view, sequence) = read_point_owned(&published, replace_meanwhile);
    assert_eq!((*view, sequence), (2, Sequence(7)));
}

#[test]
fn an_update_that_was_overtaken_derives_again() {
    let published = Published::new(Arc::new(vec![0]));
    let overtaken = AtomicBool::new(false);
    let mut derivations = 0;
    let (old, new) = update(&published, |view| {
        derivations += 1;
        if !overtaken.swap(true, Ordering::Relaxed) {
            update(&published, |view| [&view[..], &[1]].concat());
        }
        [&view[..], &[2]].concat()
    });
    assert_eq!((old.as_slice(), new.as_slice()), (&[0, 1][..], &[0, 1, 2][..]));
    assert_eq!(derivations, 2);
    assert!(Arc::ptr_eq(&new, &published.load_full()));
}

/// I4.
#[test]
fn concurrent_updates_are_all_kept_and_each_view_is_superseded_once() {
    const THREADS: usize = 4;
    const UPDATES: u64 = 2_000;
    let published = Published::new(Arc::new([0_u64; THREADS]));
    let mut superseded: Vec<u64> = std::thread::scope(|scope| {
        let updaters: Vec<_> = (0..THREADS)
            .map(|mine| {
                let published = &published;
                scope.spawn(move || {
                    let derive = |view: &[u64; THREADS]| {
                        let mut next = *view;
                        next[mine] += 1;
                        next
                    };
                    (0..UPDATES)
                        .map(|_| update(published, derive).0.iter().sum())
                        .collect::<Vec<u64>>()
                })
            })
            .collect();
        updaters.into_iter().flat_map(|updater| updater.join().unwrap()).collect()
    });
    assert_eq!(**published.load(), [UPDATES; THREADS]);
    superseded.sort_unstable();
    assert!(superseded.into_iter().eq(0..UPDATES * THREADS as u64));
}
