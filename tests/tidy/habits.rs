//! How code is laid out and told: one binding a line, tests beside the code while they are few, a
//! reason at each ordering, plain words in comments.

use crate::Rule;
use crate::source::Source;

/// A file's tests stand in it while they are at most one line in this many.
const INLINE_TESTS_SHARE: usize = 3;

/// How far above an ordering its reason may stand, in lines.
const ORDERING_LINES: usize = 8;

const ORDERINGS: &[&str] = &["Acquire", "Release", "AcqRel", "SeqCst"];

/// Words that a reader stumbles over, and what is plainer.
const STILTED: &[(&str, &str)] =
    &[("whoever", "a thread that, a caller that"), ("anew", "again"), ("of now", "new, present")];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "one binding a line: no tuple taken apart where it is made",
        check: tuples_taken_apart,
        bad: &[
            ("src/a.rs", "let (a, b) = (x, y);"),
            ("tests/a.rs", "let (mut a, b): (u8, u8) = (f(1, 2), y);"),
            ("src/a.rs", "let (a, b) =\n    (x, y);"),
        ],
        good: &[
            ("src/a.rs", "let (a, b) = f(x, y);"),
            ("src/a.rs", "let (a, b) = (x, y).swap();"),
            ("src/a.rs", "let (Some(a), None) = (x, y) else { return };"),
            ("src/a.rs", "if let (Some(a), None) = (x, y) {}"),
            ("src/a.rs", "let a = (x, y); // let (a, b) = (x, y);"),
        ],
    },
    Rule {
        name: "more tests than a third of a file have a file of their own",
        check: tests_in_place_are_few,
        bad: &[
            ("src/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n}\n"),
            ("examples/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n}\n"),
        ],
        good: &[
            ("src/a.rs", "a();\nb();\nc();\n\nd();\ne();\n#[cfg(test)]\nmod tests {\n}\n"),
            ("src/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests;\n"),
            ("src/a/tests.rs", "#[test]\nfn f() {}\n"),
        ],
    },
    Rule {
        name: "an ordering has its reason beside it, which names it",
        check: orderings_have_reasons,
        bad: &[
            ("src/a.rs", "a.load(Ordering::Acquire)"),
            ("src/a.rs", "// The end.\na.store(1, Ordering::Release)"),
            ("src/a.rs", "// Release; far.\n\n\n\n\n\n\n\n\na.store(1, Ordering::Release)"),
        ],
        good: &[
            ("src/a.rs", "// Acquire; pairs with the Release in `b`.\na.load(Ordering::Acquire)"),
            ("src/a.rs", "a.store(1, Ordering::Release); // Release: b sees all of it."),
            ("src/a.rs", "a.load(Ordering::Relaxed)"),
            ("src/a.rs", "use std::sync::atomic::Ordering::Acquire;"),
            ("src/a/tests.rs", "a.load(Ordering::SeqCst)"),
        ],
    },
    Rule {
        name: "comments are in plain words",
        check: comments_are_plain,
        bad: &[
            ("src/a.rs", "/// Wakes whoever waits."),
            ("src/a.rs", "//! Tables, made anew."),
            ("tests/a.rs", "f(); // for readers of now"),
            ("src/a.rs", "// Who waits looks again."),
            ("src/a.rs", "// An estimate. Who waits looks again."),
        ],
        good: &[
            ("src/a.rs", "/// Wakes all that wait."),
            ("src/a.rs", "let whoever = \"anew\";"),
            ("src/a.rs", "/// A user who waits looks again."),
            ("src/a.rs", "/// Renewed, of nowhere."),
        ],
    },
];

fn tuples_taken_apart(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let skip_blanks = |mut at: usize| {
        while code.get(at).is_some_and(|c| c.is_whitespace()) {
            at += 1;
        }
        at
    };
    let mut found = Vec::new();
    for at in source.find_word("let") {
        let pattern = skip_blanks(at + 3);
        if code.get(pattern) != Some(&'(') {
            continue;
        }
        let after = source.after_group(pattern);
        let sign = (after..code.len()).find(|&at| matches!(code[at], '=' | ';' | '{'));
        let Some(sign) = sign.filter(|&at| code[at] == '=') else { continue };
        let value = skip_blanks(sign + 1);
        if code.get(value) != Some(&'(') {
            continue;
        }
        if code.get(skip_blanks(source.after_group(value))) == Some(&';') {
            found.push((source.line_of(at), "a line for each".to_owned()));
        }
    }
    found
}

fn tests_in_place_are_few(source: &Source) -> Vec<(usize, String)> {
    let modules = source.test_items().into_iter().filter(|lines| lines.len() > 2);
    let tests: usize = modules.map(|lines| lines.len()).sum();
    let lines = source.test.len();
    if source.is_test_file() || tests * INLINE_TESTS_SHARE <= lines {
        return Vec::new();
    }
    vec![(1, format!("{tests} of {lines} lines"))]
}

fn orderings_have_reasons(source: &Source) -> Vec<(usize, String)> {
    if !source.in_src() {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let has_reason = |line: &&str| {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        let mut words = comment.split(|c: char| !c.is_alphanumeric());
        words.any(|word| ORDERINGS.contains(&word))
    };
    let mut found = Vec::new();
    for ordering in ORDERINGS {
        for line in source.find_word(ordering).into_iter().map(|at| source.line_of(at)) {
            let is_use = lines[line - 1].trim_start().starts_with("use ");
            // `line` counts from 1, so the slice ends with the line itself.
            let explained = lines[..line].iter().rev().take(1 + ORDERING_LINES).any(has_reason);
            if !source.is_test(line) && !is_use && !explained {
                found.push((line, (*ordering).to_owned()));
            }
        }
    }
    found
}

fn comments_are_plain(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for ((line, code), text) in source.code_lines().zip(source.text.lines()) {
        // What is a comment is blank in the code; so is a string, which ends before its line does.
        let Some(at) = text.find("//").filter(|&at| code.trim_end().len() <= at) else { continue };
        let text = &text[at..];
        let words = format!(" {} ", text.replace(|c: char| !c.is_alphanumeric() && c != '.', " "));
        for (word, plainer) in STILTED {
            if words.contains(&format!(" {word} ")) || words.contains(&format!(" {word}.")) {
                found.push((line, format!("`{word}`: {plainer}")));
            }
        }
        if words.trim_start().starts_with("Who ") || words.contains(". Who ") {
            found.push((line, "a sentence that begins with `Who`".to_owned()));
        }
    }
    found
}
