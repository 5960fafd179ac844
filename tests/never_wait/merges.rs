//! Merges, held wherever they touch the disk: puts, gets, snapshots and flushes go on, and a close
//! ends them at their next look.

use std::path::Path;

use alluvium::io::{Fs, OpKind};
use alluvium::{Compaction, Db, Error};

use crate::gates::GatedFs;
use crate::{builder, use_foreground};

/// The segment files that are there.
fn segments(fs: &GatedFs) -> Vec<String> {
    let mut names = fs.list(Path::new("db")).unwrap();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

/// The name of the segment file that is made next.
fn next_segment(fs: &GatedFs) -> String {
    let last = segments(fs).pop().unwrap();
    let number: u64 = last.trim_end_matches(".seg").parse().unwrap();
    format!("{:06}.seg", number + 1)
}

/// A kilobyte that takes as much in a segment.
fn incompressible(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(1_000).collect()
}

/// A database of two runs, nothing in memory, and a compaction that has not begun.
fn about_to_merge(fs: &GatedFs, keys: usize) -> (Db, Compaction) {
    let db = builder(fs).memtable_bytes(1 << 20).flush_bytes(8 << 20).open().unwrap();
    for _ in 0..2 {
        db.put("on disk", "v").unwrap();
        (0..keys).for_each(|key| {
            db.put(format!("{key:06}"), incompressible(key)).unwrap();
        });
        db.flush().unwrap();
    }
    db.pause_compaction();
    let compaction = db.start_compaction_of_all().unwrap();
    (db, compaction)
}

#[test]
fn nothing_waits_for_a_merge_wherever_it_stands() {
    // A flush goes on too, unless both have come to the manifest.
    let gates = [
        (OpKind::Create, ".seg", true),
        (OpKind::Write, ".seg", true),
        (OpKind::Sync, ".seg", true),
        (OpKind::Write, "MANIFEST", false),
        (OpKind::Sync, "MANIFEST", false),
    ];
    for (kind, file, flushes) in gates {
        let fs = GatedFs::default();
        let (db, compaction) = about_to_merge(&fs, 10);
        let name = if file == ".seg" { next_segment(&fs) } else { file.to_owned() };
        let held = fs.hold(kind, &name);
        db.resume_compaction();
        held.await_arrival();
        use_foreground(&db);
        if flushes {
            db.flush().unwrap();
            use_foreground(&db);
        }
        let runs = db.stats().runs;
        assert!(runs >= 2, "{kind:?} {name}: it was to be held, and there are {runs} runs");
        held.release();
        compaction.wait().unwrap();
        use_foreground(&db);
        assert_eq!(db.get("on disk").unwrap().unwrap(), "v");
        assert_eq!((db.stats().stalls, db.stats().stalled_us), (0, 0), "{kind:?} {name}");
        db.close().unwrap();
    }
}

/// Closes on another thread while something is held; `release` comes once the close has begun.
fn close_while(db: &Db, release: impl FnOnce()) {
    std::thread::scope(|scope| {
        let close = scope.spawn(|| db.close().unwrap());
        while !matches!(db.set_memtable_bytes(1 << 20), Err(Error::Closed)) {
            std::thread::yield_now();
        }
        assert!(!close.is_finished(), "a thread of the database is still held");
        release();
    });
}

#[test]
fn a_close_ends_a_merge_before_it_syncs_what_it_wrote() {
    let fs = GatedFs::default();
    // The writer writes a quarter of a mebibyte at a time, so there is much left to merge then.
    let (db, compaction) = about_to_merge(&fs, 1_500);
    let inputs = segments(&fs);
    let output = next_segment(&fs);
    let held = fs.hold(OpKind::Write, &output);
    db.resume_compaction();
    held.await_arrival();
    close_while(&db, || held.release());
    assert!(matches!(compaction.wait(), Err(Error::Closed)));
    let of_output: Vec<_> = fs.done().into_iter().filter(|op| op.path.ends_with(&output)).collect();
    assert!(of_output.iter().any(|op| op.kind == OpKind::Write), "{of_output:?}");
    assert!(of_output.iter().all(|op| op.kind != OpKind::Sync), "{of_output:?}");
    assert_eq!(segments(&fs), inputs, "nothing is left of what was given up");
    assert_eq!(builder(&fs).open().unwrap().range(..).count(), 1_501);
}

/// Symptom: the inputs of a merge that ended during a close stayed until the next open. Mechanism:
/// the flush thread, which removes them, had ended before. Fix: it ends after the compactors.
#[test]
fn a_merge_that_ends_during_the_close_leaves_no_files() {
    let fs = GatedFs::default();
    let (db, compaction) = about_to_merge(&fs, 10);
    let output = next_segment(&fs);
    let held = fs.hold(OpKind::Sync, "MANIFEST");
    db.resume_compaction();
    held.await_arrival();
    close_while(&db, || held.release());
    drop(compaction);
    assert_eq!(segments(&fs), [output]);
}
