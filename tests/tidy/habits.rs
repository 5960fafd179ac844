//! How code is laid out: one binding a line, tests beside the code while they are few, a reason at
//! each ordering. And what old code still owes of that.

use crate::Rule;
use crate::source::Source;

/// A file's tests stand in it while they are at most one line in this many.
const INLINE_TESTS_SHARE: usize = 3;

/// How far above an ordering its reason may stand, in lines.
const ORDERING_LINES: usize = 8;

const ORDERINGS: &[&str] = &["Acquire", "Release", "AcqRel", "SeqCst"];

const BINDINGS: &str = "one binding a line: no tuple taken apart where it is made";
const INLINE_TESTS: &str = "more tests than a third of a file have a file of their own";
const ORDERING: &str = "an ordering has its reason beside it, which names it";

/// Places in old code that break a rule: the rule, the file or folder, how many at most. The
/// numbers only go down, and an entry that owes nothing any more has to go.
pub(crate) const OWED: &[(&str, &str, usize)] =
    &[(BINDINGS, "src/engine/", 8), (BINDINGS, "tests/tidy/", 1)];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: BINDINGS,
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
        name: INLINE_TESTS,
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
        name: ORDERING,
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
];

/// Takes what is owed out of a list of broken rules (rule, file, words), and adds what is wrong
/// with the debts themselves.
pub(crate) fn settle(
    owed: &[(&str, &str, usize)],
    broken: Vec<(&str, String, String)>,
) -> Vec<String> {
    let owes = |(rule, place, _): &(&str, &str, usize), broken_rule: &str, path: &str| {
        let inside =
            path.strip_prefix(place).is_some_and(|rest| !place.ends_with(".rs") || rest.is_empty());
        *rule == broken_rule && inside
    };
    let mut found = Vec::new();
    let mut counts = vec![0; owed.len()];
    let mut places = vec![Vec::new(); owed.len()];
    for (rule, path, words) in broken {
        match owed.iter().position(|debt| owes(debt, rule, &path)) {
            Some(at) => {
                counts[at] += 1;
                places[at].push(words);
            }
            None => found.push(words),
        }
    }
    for (((rule, place, most), count), places) in owed.iter().zip(counts).zip(places) {
        if count > *most {
            found.push(format!("{place} owes {count}, more than its {most}: {rule}"));
            found.extend(places);
        } else if count == 0 {
            found.push(format!("{place} owes nothing any more, so it leaves OWED: {rule}"));
        }
    }
    found
}

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

#[test]
fn debts_are_taken_off_and_do_not_grow() {
    let broken =
        |rule: &'static str, path: &str| (rule, path.to_owned(), format!("{path}: {rule}"));
    let one = || broken("r", "src/a/b.rs");
    assert_eq!(settle(&[], vec![one()]).len(), 1);
    assert!(settle(&[("r", "src/a/", 1)], vec![one()]).is_empty());
    assert!(settle(&[("r", "src/a/b.rs", 2)], vec![one()]).is_empty());
    assert_eq!(settle(&[("r", "src/a/b.rs", 1)], vec![one(), one()]).len(), 3);
    assert_eq!(settle(&[("q", "src/a/", 1)], vec![one()]).len(), 2);
    assert_eq!(settle(&[("r", "src/a/c.rs", 1)], Vec::new()).len(), 1);
}
