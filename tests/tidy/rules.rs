//! What is named only where, what is named nowhere, and how long things may be.

use crate::Rule;
use crate::source::Source;

const LINE_CHARS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 80;

/// How many lines above an `unsafe` its note may end, a comment that is longer apart.
const SAFETY_LINES: usize = 4;

/// Files that may be longer, with their own bound and the reason.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Functions that may be longer: file, name, bound, reason.
const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] = &[];

/// The only files with unsafe code, and what they need it for.
const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "examples/repl/files/descriptor.rs",
        "copies descriptors that a shell has opened for the program",
    ),
    ("src/io/mapping.rs", "maps a file and stores into it"),
    ("src/mapped.rs", "maps a file and reads it"),
    ("src/format/data_block/bytes.rs", "points into a vector or a mapping"),
    ("src/io/process.rs", "maps a page that a fork empties"),
    ("tests/fork.rs", "forks"),
    ("src/prefetch.rs", "asks the processor for memory ahead"),
    ("src/memtable/arena.rs", "hands out bytes of memory that it still fills elsewhere"),
    ("tests/memory.rs", "counts what the system's allocator gives"),
    ("tests/stress/planted.rs", "has the faults that a sanitizer must find"),
    ("tests/system_calls/allocations.rs", "counts what a thread has of the allocator"),
    ("tests/system_calls/watch.rs", "puts a filter on a thread and counts its system calls"),
    ("src/memtable/active_cursor.rs", "keeps a place in the list of a table that it keeps alive"),
    ("src/memtable/active.rs", "keeps a skiplist and the arena that its keys point into together"),
];

const WORDS_BANNED: &[&str] = &["TODO", "FIXME", "XXX"];
const CODE_BANNED: &[&str] = &["dbg!", "todo!", "unimplemented!", "#[ignore"];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "a file opens with what lives in it",
        check: opens_with_header,
        bad: &[("src/a.rs", "use std::fmt;\n"), ("src/a.rs", "// Not a doc comment.\n")],
        good: &[("src/a.rs", "//! What lives here.\n")],
    },
    Rule {
        name: "only io/disk names std::fs",
        check: |source| {
            let disk = source.path.starts_with("src/io/disk");
            let allowed = |line| disk || source.is_test(line);
            only_there(source, allowed, &[("std", "fs")], &[])
        },
        bad: &[
            ("src/engine/a.rs", "std::fs::read(path)"),
            ("src/io/mod.rs", "use std::{\n  fmt,\n  fs::File,\n};"),
        ],
        good: &[
            ("src/io/disk.rs", "use std::fs::File;"),
            ("src/io/disk/lock.rs", "use std::fs::File;"),
            ("src/log/a.rs", "use std::{fmt, io}; // std::fs"),
            ("src/log/a.rs", "#[cfg(test)]\nmod tests {\n use std::fs;\n}"),
        ],
    },
    Rule {
        name: "only sync/ names std::sync, arc_swap, loom and shuttle",
        check: |source| {
            let in_models = |line| {
                (source.path.starts_with("src/mvcc/") || source.path.contains("loom"))
                    && source.is_test(line)
            };
            let here = in_sync(source) || !source.in_src();
            let std = [("std", "sync"), ("core", "sync"), ("alloc", "sync")];
            let mut found = only_there(source, |_| here, &std, &["arc_swap"]);
            for checker in ["loom", "shuttle"] {
                let named = source.paths_under(checker).into_iter().map(|(line, _)| line);
                let wrong = named.filter(|&line| !here && !in_models(line));
                found.extend(wrong.map(|line| (line, checker.into())));
            }
            found
        },
        bad: &[
            ("src/db.rs", "use std::sync::Arc;"),
            ("src/mvcc/a.rs", "use std::{fmt, sync::atomic::AtomicU64};"),
            ("src/engine/a.rs", "#[cfg(test)]\nmod tests {\n use std::sync::Barrier;\n}"),
            ("src/runs/a.rs", "arc_swap::ArcSwap::new(x)"),
            ("src/mvcc/a.rs", "loom::thread::yield_now()"),
            ("src/db.rs", "shuttle::thread::yield_now()"),
            ("src/engine/a.rs", "#[cfg(test)]\nmod tests {\n use loom::model;\n}"),
        ],
        good: &[
            ("src/sync.rs", "pub use std::sync::Arc; use arc_swap::ArcSwap; use loom::x;"),
            ("src/sync/a.rs", "use std::sync::Arc; use shuttle::sync::Mutex;"),
            ("tests/shuttle/main.rs", "use shuttle::Runner;"),
            ("src/mvcc/a.rs", "#[cfg(all(test, loom))]\nmod models {\n use loom::model;\n}"),
            ("src/lib.rs", "#[cfg(not(all(test, loom)))]\nmod db;"),
            ("tests/a.rs", "use std::sync::Arc;"),
        ],
    },
    Rule {
        name: "only engine/threads/background.rs starts threads",
        check: |source| {
            let seam = ["src/sync/threads.rs", "src/sync/switches.rs"].contains(&&*source.path);
            let seam = |line| seam || source.is_test(line);
            let named = source.paths_under("thread");
            // Asking whether it panics starts none, and waits for none.
            let asked = |line| named.iter().any(|(at, word)| *at == line && word == "panicking");
            let allowed = |line| seam(line) || asked(line);
            let mut found = only_there(source, allowed, &[("std", "thread")], &[]);
            if source.path == "src/engine/threads/background.rs" {
                return found;
            }
            found.extend(named.iter().filter(|(line, _)| !allowed(*line)).cloned());
            // What the seam starts them with.
            let starts = ["Builder", "scope"];
            let begun = source.paths_under("threads").into_iter();
            found.extend(begun.filter(|(at, word)| !seam(*at) && starts.contains(&&**word)));
            found
        },
        bad: &[
            ("src/engine/merge/step.rs", "std::thread::spawn(f)"),
            ("src/engine/threads/background.rs", "std::thread::spawn(f)"),
            ("src/db.rs", "use std::{fmt, thread};"),
            ("src/db.rs", "thread::sleep(d)"),
            ("src/db.rs", "std::thread::current()"),
            ("src/db.rs", "use crate::sync::threads;\nthreads::Builder::new().spawn(f)"),
            ("src/db.rs", "use crate::sync::threads::{current, scope};"),
        ],
        good: &[
            ("src/engine/threads/background.rs", "use crate::sync::threads;\nthreads::scope(f)"),
            ("src/sync/threads.rs", "use std::thread::spawn;"),
            ("src/db.rs", "use crate::sync::threads::{ThreadId, current};"),
            ("src/db.rs", "#[cfg(test)]\nmod tests {\n use std::thread;\n}"),
            ("src/db.rs", "per_thread::f(thread)"),
            ("src/event.rs", "std::thread::panicking()"),
        ],
    },
    Rule {
        name: "only engine/ has a clock",
        check: |source| {
            let allowed =
                |_| source.path.starts_with("src/engine/") || in_sync(source) || !source.in_src();
            // The switches lie below the clock, which would import them in a circle.
            let below = ["src/sync/clock.rs", "src/sync/switches.rs"];
            let seam = below.contains(&&*source.path) || !source.in_src();
            let mut found = only_there(source, allowed, &[], &["Instant", "SystemTime"]);
            // The engine has the seam's, its tests as well.
            found.extend(only_there(source, |_| seam, &[("time", "Instant")], &[]));
            found
        },
        bad: &[
            ("src/log/a.rs", "let start = Instant::now();"),
            ("src/db.rs", "use std::time::SystemTime;"),
            ("src/engine/a.rs", "use std::time::{Duration, Instant};"),
        ],
        good: &[
            ("src/engine/a.rs", "use std::time::SystemTime;\nuse crate::sync::clock::Instant;"),
            ("src/sync/clock.rs", "use std::time::Instant;"),
            ("tests/a.rs", "use std::time::Instant;"),
            ("src/log/a.rs", "use std::time::Duration; fn instant() {}"),
        ],
    },
    Rule {
        name: "only sync/ names crossbeam_channel",
        check: |source| {
            let allowed = |_| in_sync(source) || !source.in_src();
            only_there(source, allowed, &[], &["crossbeam_channel"])
        },
        bad: &[
            ("src/engine/a.rs", "use crossbeam_channel::Sender;"),
            ("src/engine/a.rs", "#[cfg(test)]\nmod tests {\n use crossbeam_channel::bounded;\n}"),
        ],
        good: &[
            ("src/sync/channel.rs", "use crossbeam_channel::Sender;"),
            ("src/engine/a.rs", "use crate::sync::channel::Sender;"),
        ],
    },
    Rule {
        name: "only event.rs names tracing",
        check: |source| {
            let allowed = |_| source.path == "src/event.rs" || !source.in_src();
            only_there(source, allowed, &[], &["tracing"])
        },
        bad: &[
            ("src/db.rs", "tracing::warn!(%error, \"sent under a lock\")"),
            ("src/io/a.rs", "use tracing::info_span;"),
        ],
        good: &[
            ("src/event.rs", "::tracing::$level!($($field)+);"),
            ("src/db.rs", "// tracing\nevent!(warn, %error, \"tracing\")"),
            ("tests/events.rs", "use tracing::Subscriber;"),
        ],
    },
    Rule {
        name: "only memtable/ names crossbeam_skiplist",
        check: |source| {
            let allowed = |_| source.path.starts_with("src/memtable/");
            only_there(source, allowed, &[], &["crossbeam_skiplist"])
        },
        bad: &[("src/engine/a.rs", "use crossbeam_skiplist::SkipMap;")],
        good: &[("src/memtable/a.rs", "use crossbeam_skiplist::base::SkipList;")],
    },
    Rule {
        name: "unsafe code only in the files listed for it, each use with a SAFETY note",
        check: unsafe_is_listed_and_explained,
        bad: &[
            ("src/db.rs", "// SAFETY: fine.\nunsafe { f() }"),
            ("src/memtable/arena.rs", "unsafe { f() }"),
            ("src/memtable/arena.rs", "// SAFETY: far.\na();\nb();\nc();\nd();\nunsafe { f() }"),
        ],
        good: &[
            ("src/memtable/arena.rs", "// SAFETY: near.\nlet x =\n    unsafe { f() };"),
            ("src/memtable/arena.rs", "// SAFETY: a\n// b\n// c\n// d\n// e\n// f\nunsafe { f() }"),
            ("src/memtable/arena.rs", "/// # Safety\n///\n/// `x` lives.\nunsafe fn f() {}"),
            ("src/db.rs", "// unsafe\n#![deny(unsafe_code)]"),
        ],
    },
    Rule {
        name: "nothing is left for later",
        check: nothing_left_for_later,
        bad: &[
            ("src/a.rs", "// TODO: later"),
            ("src/a.rs", "let x = 1; // FIXME"),
            ("tests/a.rs", "/* XXX */"),
            ("src/a.rs", "dbg!(x);"),
            ("src/a.rs", "todo!()"),
            ("examples/a.rs", "unimplemented!(\"x\")"),
            ("tests/a.rs", "#[test]\n#[ignore]\nfn f() {}"),
            ("tests/a.rs", "#[ignore = \"slow\"]"),
        ],
        good: &[("src/a.rs", "//! A TODOS list; we ignore it. Todo. XXXX.\nfn todo() {}")],
    },
    Rule {
        name: "a lock owns its data",
        check: |source| {
            let squeezed = |code: String| code.split_whitespace().collect::<String>();
            let empty = |code: &str| code.contains("Mutex<()>") || code.contains("RwLock<()>");
            let lines = source.code_lines().filter(|(_, code)| empty(&squeezed(code.clone())));
            lines.map(|(line, _)| (line, "it guards nothing".to_owned())).collect()
        },
        bad: &[("src/a.rs", "a: Mutex<()>,"), ("src/a.rs", "a: RwLock< () >,")],
        good: &[("src/a.rs", "a: Mutex<State>, // not Mutex<()>")],
    },
    Rule {
        name: "a line has at most 100 characters, addresses and tables apart, no blank at its end",
        check: lines_fit,
        bad: &[
            ("src/a.rs", "fn f() {} "),
            // Two slashes and eleven nines.
            (
                "src/a.rs",
                "//12345678912345678912345678912345678912345678912345678912345678912345678912345\
                 6789123456789123456789",
            ),
        ],
        // 100 characters in 108 bytes.
        good: &[(
            "src/a.rs",
            "//12345678912345678912345678912345678912345678912345678912345678912345678912345\
             6789123456789ääääääää",
        )],
    },
    Rule {
        name: "a file has 600 lines at most",
        check: files_are_short,
        bad: &[("src/a.rs", LINES_601), ("tests/a.rs", LINES_601)],
        good: &[("src/a.rs", "//! Short.\n")],
    },
    Rule {
        name: "a function has 80 lines at most",
        check: functions_are_short,
        bad: &[("src/a.rs", FUNCTION_81), ("tests/a.rs", FUNCTION_81)],
        good: &[("src/a.rs", "fn f() {\n}\n")],
    },
];

/// 601 empty lines.
const LINES_601: &str = {
    const BREAKS: [u8; 601] = [b'\n'; 601];
    match std::str::from_utf8(&BREAKS) {
        Ok(text) => text,
        Err(_) => panic!("line breaks are ASCII"),
    }
};

/// A function of 81 lines.
const FUNCTION_81: &str = {
    const BYTES: [u8; 89] = {
        let mut bytes = [b'\n'; 89];
        let open = *b"fn f() {";
        let mut at = 0;
        while at < open.len() {
            bytes[at] = open[at];
            at += 1;
        }
        bytes[88] = b'}';
        bytes
    };
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("all of it is ASCII"),
    }
};

/// Uses of paths (`("std", "fs")`) and words on lines where they are not allowed.
fn only_there(
    source: &Source,
    allowed: impl Fn(usize) -> bool,
    paths: &[(&str, &str)],
    words: &[&str],
) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (prefix, name) in paths {
        let uses = source.paths_under(prefix).into_iter().filter(|(_, used)| used == name);
        found.extend(uses.map(|(line, _)| (line, format!("{prefix}::{name}"))));
    }
    for word in words {
        let uses = source.find_word(word).into_iter();
        found.extend(uses.map(|at| (source.line_of(at), (*word).to_owned())));
    }
    found.retain(|(line, _)| !allowed(*line));
    found
}

/// Whether the file is of the seam through which threads meet.
fn in_sync(source: &Source) -> bool {
    source.path == "src/sync.rs" || source.path.starts_with("src/sync/")
}

fn opens_with_header(source: &Source) -> Vec<(usize, String)> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![(1, "no `//!` on the first line".to_owned())]
}

fn unsafe_is_listed_and_explained(source: &Source) -> Vec<(usize, String)> {
    let listed = UNSAFE_FILES.iter().any(|(path, _)| *path == source.path);
    let lines: Vec<&str> = source.text.lines().collect();
    let has_note = |line: &str| line.contains("SAFETY: ") || line.contains("# Safety");
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let explained = |at: usize| {
        // `at` is a number from 1, so `lines[at - 1]` holds the word and this slice what is above.
        let above = lines[..at - 1].iter().rev();
        let near = above.clone().take(SAFETY_LINES).any(|line| has_note(line));
        let comment = above.take_while(|line| is_comment(line) || line.trim().starts_with("#["));
        near || comment.into_iter().any(|line| has_note(line))
    };
    let mut found = Vec::new();
    for line in source.find_word("unsafe").into_iter().map(|at| source.line_of(at)) {
        if !listed {
            found.push((line, "the file is not in UNSAFE_FILES".to_owned()));
        } else if !explained(line) {
            found.push((line, format!("no SAFETY note in the {SAFETY_LINES} lines above")));
        }
    }
    found
}

fn nothing_left_for_later(source: &Source) -> Vec<(usize, String)> {
    // This file has to name them.
    if source.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|word| WORDS_BANNED.contains(word)) {
            found.push((line, word.to_owned()));
        }
    }
    for (line, code) in source.code_lines() {
        if let Some(banned) = CODE_BANNED.iter().find(|banned| code.contains(**banned)) {
            found.push((line, (*banned).to_owned()));
        }
    }
    found
}

fn lines_fit(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        let chars = text.chars().count();
        let comment = text.trim_start().trim_start_matches(['/', '!']);
        let cannot_wrap = text.contains("://") || comment.starts_with(" |");
        if chars > LINE_CHARS_MAX && !cannot_wrap {
            found.push((line, format!("{chars} characters")));
        }
        if text.ends_with([' ', '\t']) {
            found.push((line, "blanks at the end".to_owned()));
        }
    }
    found
}

fn files_are_short(source: &Source) -> Vec<(usize, String)> {
    let lines = source.test.len();
    let exception = LONG_FILES.iter().find(|(path, ..)| *path == source.path);
    let max = exception.map_or(FILE_LINES_MAX, |(_, max, _)| *max);
    if lines > max { vec![(1, format!("{lines} lines"))] } else { Vec::new() }
}

fn functions_are_short(source: &Source) -> Vec<(usize, String)> {
    let bound = |name: &str| {
        let mut exceptions = LONG_FUNCTIONS.iter();
        exceptions
            .find(|(path, function, ..)| *path == source.path && *function == name)
            .map_or(FUNCTION_LINES_MAX, |(_, _, max, _)| *max)
    };
    let long = source.functions().into_iter().filter(|(name, lines)| lines.len() > bound(name));
    long.map(|(name, lines)| (lines.start, format!("{name} has {} lines", lines.len()))).collect()
}
