//! Invariants are numbered in DESIGN.md (I1, I2, …) and cited by number where they are relied on:
//! each number cited exists, and each one that exists is cited by a test.

use std::collections::BTreeSet;

use crate::source::Source;

/// What is wrong between the document and the tree. Nothing, while the document defines none.
pub(crate) fn check(design: &str, sources: &[Source]) -> Vec<String> {
    let defined: BTreeSet<u32> = design.lines().filter_map(defined_by).collect();
    if defined.is_empty() {
        return Vec::new();
    }
    let mut broken = Vec::new();
    let mut tested = BTreeSet::new();
    // These files speak of numbers that are none.
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        for (line, text) in (1..).zip(source.text.lines()) {
            for number in cited_by(text) {
                if !defined.contains(&number) {
                    let path = &source.path;
                    broken.push(format!("{path}:{line}: DESIGN.md does not define I{number}"));
                }
                if source.is_test(line) {
                    tested.insert(number);
                }
            }
        }
    }
    let untested = defined.difference(&tested);
    broken.extend(untested.map(|number| format!("DESIGN.md: no test cites I{number}")));
    broken
}

/// The number that a line defines: one that begins a line, a list item, a heading or a table row.
fn defined_by(line: &str) -> Option<u32> {
    let line = line.trim_start_matches(|c: char| "|*-#` \t".contains(c));
    let word = line.split(|c: char| !c.is_alphanumeric()).next()?;
    invariant_number(word)
}

fn cited_by(line: &str) -> impl Iterator<Item = u32> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter_map(invariant_number)
}

fn invariant_number(word: &str) -> Option<u32> {
    let digits = word.strip_prefix('I')?;
    let plain =
        !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[test]
fn citations_and_definitions_are_compared_both_ways() {
    let design = "Text about I3.\n| I1 | one |\n- **I2**: two\n";
    let src = |text| Source::new("src/a.rs", text);
    let test = |text| Source::new("tests/a.rs", text);
    let check = |sources: &[Source]| check(design, sources);
    assert!(check(&[src("// I1\n"), test("// I1, I2\n")]).is_empty());
    assert!(check(&[src("// I1\n#[cfg(test)]\nmod tests {\n// (I1) I2.\n}")]).is_empty());
    assert!(check(&[test("// I1 I2 I1234 I1x xI9 I_3 i3\n")]).is_empty());
    assert_eq!(check(&[src("// I3\n"), test("// I1 I2\n")]).len(), 1);
    assert_eq!(check(&[src("// I1 I2\n"), test("// I2\n")]).len(), 1);
    assert_eq!(check(&[]).len(), 2);
}
