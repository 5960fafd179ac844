//! Models of reclaiming: what is collected, nobody else holds, and a reader never frees a value; a
//! file is removed when nobody can read from it.

use super::{Retired, RetiredFiles, RetiredValue};
use crate::mvcc::models::check;
use crate::mvcc::view::update;
use crate::sync::atomic::{AtomicBool, Ordering};
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
    /// A file is removed once no view has it.
    ReadersNotCounted,
    /// A segment over a file that is open opens it for itself.
    OpensAgain,
    /// A file is put on the list twice.
    RetiredTwice,
}

/// A reader drops what it has. Taken apart, because the checker switches threads there, and at no
/// look at a count.
fn let_go<T>(held: Arc<T>) {
    assert!(Arc::try_unwrap(held).is_err(), "a reader frees the value");
}

/// Two readers, of which each drops what it loaded, and the background thread that replaces the
/// value twice and collects until nothing is retired.
fn collected_is_unshared(fault: Fault) {
    let published = Arc::new(Published::new(Arc::new(0_u32)));
    let readers = [(), ()].map(|()| {
        let published = Arc::clone(&published);
        thread::spawn(move || {
            let loaded = published.load_full();
            let_go(loaded);
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

/// Whether the file was removed. Relaxed, so that it orders nothing.
type Removed = Arc<AtomicBool>;

/// A file that is open.
struct File(Removed);

struct Segment(Arc<File>);

type View = Vec<Arc<Segment>>;

/// Takes a segment out of the current view, lets the view go, and reads.
fn read(published: &Published<View>) {
    let view = published.load_full();
    let segment = view.first().cloned();
    let_go(view);
    if let Some(segment) = segment {
        let removed = segment.0.0.load(Ordering::Relaxed);
        assert!(!removed, "a file that is read was removed");
        let_go(segment);
    }
}

/// What the flush thread holds.
struct Reclaim {
    fault: Fault,
    views: Retired<View>,
    files: RetiredFiles<Segment, File>,
}

impl Reclaim {
    /// As the flush thread does it: the outermost first.
    fn collect(&mut self) {
        drop(self.views.collect(0, 0));
        if self.fault == Fault::ReadersNotCounted && self.views.iter().count() == 0 {
            self.files.files().for_each(|file| file.0.store(true, Ordering::Relaxed));
        }
        for file in self.files.collect(0) {
            file.0.store(true, Ordering::Relaxed);
        }
    }

    fn publish(&mut self, published: &Published<View>, next: View) {
        self.views.push(update(published, |_| next.clone()).0, 0);
    }
}

/// A reader, and the flush thread: it publishes new tables over the same file, then a set without
/// it, and removes the file.
fn removed_when_nobody_reads(fault: Fault) {
    let removed = Removed::new(AtomicBool::new(false));
    let file = || Arc::new(File(Arc::clone(&removed)));
    let old = Arc::new(Segment(file()));
    let over = if fault == Fault::OpensAgain { file() } else { Arc::clone(&old.0) };
    let fresh = Arc::new(Segment(Arc::clone(&over)));
    let published = Arc::new(Published::new(Arc::new(vec![Arc::clone(&old)])));
    let reader = {
        let published = Arc::clone(&published);
        thread::spawn(move || read(&published))
    };
    let mut reclaim = Reclaim { fault, views: Retired::new(), files: RetiredFiles::new() };
    if fault == Fault::NotKept {
        drop(old);
    } else {
        reclaim.files.retire(old, 0);
    }
    reclaim.publish(&published, vec![Arc::clone(&fresh)]);
    reclaim.collect();
    reclaim.publish(&published, Vec::new());
    if fault == Fault::RetiredTwice {
        let value = Arc::clone(&over);
        reclaim.files.files.values.push(RetiredValue { value, since_ms: 0 });
    }
    reclaim.files.retire_with_file(fresh, over, 0);
    reclaim.collect();
    reader.join().expect("no reader panics");
    reclaim.collect();
    assert!(removed.load(Ordering::Relaxed), "a file that nobody has stays");
    assert_eq!(reclaim.files.segments().count() + reclaim.views.iter().count(), 0);
}

/// I33.
#[test]
fn a_file_is_removed_when_nobody_can_read_it() {
    let faults = [
        (Fault::ReadersNotCounted, "a file that is read was removed"),
        (Fault::OpensAgain, "a file that is read was removed"),
        (Fault::NotKept, "a reader frees the value"),
        (Fault::RetiredTwice, "a file that nobody has stays"),
    ];
    check("files", removed_when_nobody_reads, &faults);
}
