//! The way of a `get`: the files that it goes through, and what none of them may name there: locks,
//! channels, waits, and the disk. What `tests/never_wait` sees in one run holds in every run only
//! if there is nothing else on the way.

use crate::Rule;
use crate::source::Source;

/// Every file that a `get` of what is in memory runs code of, the standard library's, arc-swap's
/// and the skiplist's apart.
const FILES: &[&str] = &[
    "src/reader.rs",
    "src/engine/read/get.rs",
    "src/engine/shared/view.rs",
    "src/mvcc/slots.rs",
    "src/mvcc/view.rs",
    "src/memtable/mod.rs",
    "src/memtable/active.rs",
    "src/memtable/sorted.rs",
    "src/memtable/rows.rs",
    "src/runs/mod.rs",
    "src/engine/read/many.rs",
    "src/prefetch.rs",
    "src/segment/reader.rs",
    "src/segment/file.rs",
    "src/segment/cache.rs",
    "src/format/coding.rs",
    "src/format/key.rs",
    "src/format/hash.rs",
    "src/format/filter.rs",
    "src/format/index.rs",
    "src/format/block.rs",
    "src/format/data_block.rs",
    "src/format/data_block/bytes.rs",
    "src/mapped.rs",
    "src/format/data_block/walk.rs",
    "src/value.rs",
];

/// What waits, or may: a lock of `sync`, a channel, a thread, and the calls of a file.
const BANNED: &[&str] = &[
    "lock",
    "lock_anyway",
    "try_lock",
    "read_write",
    "RwLock",
    "Condvar",
    "wait",
    "wait_timeout",
    "channel",
    "crossbeam_channel",
    "send",
    "send_flush",
    "send_log",
    "recv",
    "thread",
    "sleep",
    "park",
    "spawn",
    "yield_now",
    "read_at",
    "read_exact_at",
    "read_block",
    "write_at",
    "write_all_at",
    "sync_data",
    "sync_below",
    "open",
    "shared_file",
    "pin",
];

/// Functions that may, and why: file, name, words.
const EXCEPTIONS: &[(&str, &str, &[&str], &str)] = &[
    (
        "src/segment/file.rs",
        "read_from_file",
        &["read_block"],
        "the cold read: a block that is not in memory comes from the disk",
    ),
    (
        "src/segment/reader.rs",
        "read_block",
        &["read_block"],
        "of cursors: it shares a block as a `get` borrows it",
    ),
    (
        "src/segment/reader.rs",
        "open",
        &["open"],
        "a segment is opened before there is a view of it",
    ),
    (
        "src/engine/read/get.rs",
        "after_disk_read",
        &["send_flush"],
        "a cache that is full is emptied by the flush thread, which is told once",
    ),
];

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "nothing on the way of a `get` locks, waits, sends or reads the disk, but the cold read",
    check: names_nothing_that_waits,
    bad: &[
        ("src/memtable/active.rs", "fn f() { lock(&self.list); }"),
        ("src/mvcc/view.rs", "use crate::sync::{Condvar, lock};"),
        ("src/engine/read/get.rs", "fn get() { core.send_flush(FlushJob::Evict); }"),
        ("src/engine/read/get.rs", "fn after_disk_read() { core.send_log(LogJob::Sealed); }"),
        ("src/segment/file.rs", "fn with_block() { read_block(&self.file, bytes, at)?; }"),
    ],
    good: &[
        ("src/memtable/drops.rs", "fn f() { lock(&self.drops); }"),
        ("src/engine/read/get.rs", "fn after_disk_read() { core.send_flush(FlushJob::Evict); }"),
        ("src/segment/file.rs", "fn read_from_file() { read_block(&self.file, bytes, at)?; }"),
        ("src/mvcc/view.rs", "// lock, wait\n#[cfg(test)]\nmod tests {\n fn f() { lock(); }\n}"),
    ],
}];

fn names_nothing_that_waits(source: &Source) -> Vec<(usize, String)> {
    if !FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let functions = source.functions();
    let excepted = |line: usize, word: &str| {
        EXCEPTIONS.iter().any(|(path, name, words, _)| {
            let mut inside = functions.iter().filter(|(_, lines)| lines.contains(&line));
            source.path == *path && words.contains(&word) && inside.any(|(found, _)| found == name)
        })
    };
    let imports = imports(source);
    let mut found = Vec::new();
    for word in BANNED {
        for line in source.find_word(word).into_iter().map(|at| source.line_of(at)) {
            // What is imported for an exception is named there.
            let imported = imports.contains(&line)
                && EXCEPTIONS
                    .iter()
                    .any(|(path, _, words, _)| source.path == *path && words.contains(word));
            if !source.is_test(line) && !imported && !excepted(line, word) {
                found.push((line, (*word).to_owned()));
            }
        }
    }
    found
}

/// The lines of `use`.
fn imports(source: &Source) -> Vec<usize> {
    let lines = source.code_lines();
    lines.filter(|(_, code)| code.starts_with("use ")).map(|(line, _)| line).collect()
}

/// Files that are listed, and are not there: a renamed one would be held to nothing.
pub(crate) fn check_list(sources: &[Source]) -> Vec<String> {
    let listed = FILES.iter().chain(EXCEPTIONS.iter().map(|(path, ..)| path));
    let missing = listed.filter(|path| !sources.iter().any(|source| source.path == **path));
    missing.map(|path| format!("{path} is on the way of `get`, and is not there")).collect()
}
