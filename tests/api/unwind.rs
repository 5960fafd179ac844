//! What may cross threads, and be used on after a panic: every public type is in the table.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::path::Path;

use alluvium::io::*;
use alluvium::{BackupInfo, BackupOptions, BackupReport, Backups, Checkpoint, Deleted, DirStore};
use alluvium::{Builder, OnOverload};
use alluvium::{Compaction, CompareAndSwap, Compression, Db, Durability, Durable, Error, Explain};
use alluvium::{ExplainBlock, ExplainFilter, ExplainFound, ExplainLayer, ExplainSource};
use alluvium::{
    ExplainVersion, Health, IndexReport, KeyChange, Keys, Keyspace, KeyspaceOptions, MergeStats,
};
use alluvium::{
    Isolation, Savepoint, Stats, Transaction, TransactionKeyspace, TransactionOptions,
    TransactionRange, TryGet, TryWrite, Updated, Value, Values, VerifyReport, WaitFor, WriteBatch,
};
use alluvium::{Range, Reader, RunInfo, SegmentInfo, Sequence, Skipped, Snapshot, StallCause};

use crate::{text, tiny};

/// Public names that are no types of their own, whose field is the caller's (`Transacted`), or of
/// the builds for tests of schedules alone.
const OTHERS: &[&str] =
    &["BackupStore", "Fault", "Fs", "FsFile", "FsLock", "KeyRange", "Result", "Transacted"];

fn owned<T: Debug + Send + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

fn local<T: Debug + Unpin + UnwindSafe + RefUnwindSafe>() {}

fn shared<T: Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

/// Checks each type, when this is compiled, and gives their names.
macro_rules! types {
    ($check:ident: $($name:ident),* $(,)?) => {{
        $($check::<$name>();)*
        [$(stringify!($name)),*]
    }};
}

fn table() -> BTreeSet<&'static str> {
    let handles =
        types!(shared: Backups, Builder, Compaction, Db, DirStore, Keyspace, Reader, Snapshot);
    // Usable from any thread, by one at a time.
    let iterators = types!(owned: Keys, Range, Transaction, Values);
    // As long as the transaction, and on its thread.
    let borrowed = types!(local: TransactionKeyspace, TransactionRange);
    let values = types!(
        shared: BackupOptions, CompareAndSwap, Compression, Durability, Durable, Error,
        KeyChange, KeyspaceOptions, OnOverload, Isolation, Savepoint, Sequence,
        TransactionOptions, TryGet, TryWrite, Updated, Value, WaitFor, WriteBatch,
    );
    let reports = types!(
        shared: BackupInfo, BackupReport, Checkpoint, Deleted, Explain, ExplainBlock,
        ExplainFilter, ExplainFound, ExplainLayer, ExplainSource, ExplainVersion, Health,
        IndexReport, MergeStats, RunInfo, SegmentInfo, Skipped, StallCause, Stats, VerifyReport,
    );
    let io = types!(shared: CrashMode, DiskFs, FaultPlan, Mapped, OpKind, OpenMode, SimFs);
    let all = [&handles[..], &iterators, &borrowed, &values, &reports, &io];
    all.concat().into_iter().chain(OTHERS.iter().copied()).collect()
}

/// The public names of a file, those of `pub use` and of its own items.
fn public_names(path: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut found = BTreeSet::new();
    for statement in text.split("pub ").skip(1) {
        let (kind, rest) = statement.split_once(' ').unwrap_or_default();
        let end = match kind {
            "use" => rest.find(';'),
            "enum" | "struct" | "trait" | "type" => rest.find([' ', ':', '(', '<', ';']),
            _ => None,
        };
        let words = rest[..end.unwrap_or(0)].split(|c: char| !c.is_alphanumeric());
        found.extend(words.filter(|word| word.starts_with(char::is_uppercase)).map(str::to_owned));
    }
    found
}

#[test]
fn every_public_type_is_in_the_table() {
    let mut public = public_names("src/lib.rs");
    public.append(&mut public_names("src/io/mod.rs"));
    assert!(public.len() > 40, "{public:?}");
    let table = table();
    let missing: Vec<_> = public.iter().filter(|name| !table.contains(name.as_str())).collect();
    let gone: Vec<_> = table.iter().filter(|name| !public.contains(**name)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not listed: {missing:?}, gone: {gone:?}");
}

fn panics<R>(call: impl FnOnce() -> R + UnwindSafe) {
    assert!(catch_unwind(call).is_err());
}

/// The handles go into `catch_unwind` as they are, which is what this is about, too.
#[test]
fn a_panic_in_the_callers_code_leaves_nothing_behind() {
    let (db, _) = tiny();
    db.put("k", "v").unwrap();
    let snapshot = db.snapshot();
    panics(|| db.update("k", |_| panic!("in the change")));
    panics(|| db.get_with("k", |_| panic!("in the read")).map(drop));
    panics(|| snapshot.get_with("k", |_| panic!("in the read")).map(drop));
    panics(|| db.multi_get((0..3).map(|i| if i < 2 { "k" } else { panic!("in the keys") })));
    let range = db.range(..);
    panics(move || range.map(|_| -> u8 { panic!("in the loop") }).max());
    let batch = catch_unwind(|| {
        let mut batch = WriteBatch::new();
        batch.put("k", "w");
        batch
    });
    db.write(&batch.unwrap()).unwrap();
    assert_eq!(text(db.get("k").unwrap().as_ref()).as_deref(), Some("w"));
    assert_eq!(text(snapshot.get("k").unwrap().as_ref()).as_deref(), Some("v"));
    db.flush().unwrap();
    db.compact().unwrap();
    db.close().unwrap();
}

/// A key is held after eight lost tries, for as long as the call lasts, however it ends.
#[test]
fn a_panic_gives_up_the_key_that_the_call_holds() {
    let db = Db::builder("data").fs(std::sync::Arc::new(SimFs::new()));
    let db = db.on_overload(OnOverload::Error).open().unwrap();
    let elsewhere = |value: u8| {
        std::thread::scope(|scope| scope.spawn(|| db.put("k", [value])).join().unwrap())
    };
    let mut tries = 0;
    let change = |_: Option<&[u8]>| -> Option<Vec<u8>> {
        tries += 1;
        // It gets in between with another value, until it finds the key held.
        if let Err(error) = elsewhere(tries) {
            assert!(matches!(error, Error::KeyHeld { .. }), "{error}");
            panic!("in the change");
        }
        Some(Vec::new())
    };
    panics(AssertUnwindSafe(|| db.update("k", change)));
    assert!(tries > 1, "nobody held the key");
    elsewhere(0).unwrap();
    db.close().unwrap();
}
