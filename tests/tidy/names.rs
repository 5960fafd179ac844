//! No two types of one name in `src`: who reads `State` is to know which.

use std::collections::BTreeMap;

use crate::source::Source;

const KEYWORDS: &[&str] = &["struct", "enum", "union", "trait"];

/// Names that more than one file of `src` gives to a type. Test code is left out.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let mut homes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.in_src()) {
        for (line, name) in types(source) {
            let known = homes.entry(name).or_default();
            // Variants for platforms stand in one file.
            if !known.iter().any(|home| home.starts_with(&format!("{}:", source.path))) {
                known.push(format!("{}:{line}", source.path));
            }
        }
    }
    let shared = homes.iter().filter(|(_, homes)| homes.len() > 1);
    shared.map(|(name, homes)| format!("{name}: {}", homes.join(", "))).collect()
}

/// The types that a file defines outside tests.
fn types(source: &Source) -> Vec<(usize, &str)> {
    let shipped = |line: usize| !source.is_test(line) && !source.is_test_file();
    let lines = source.text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines
        .filter(|(at, _)| shipped(*at))
        .filter_map(|(at, line)| Some((at, type_of(line)?)))
        .collect()
}

fn type_of(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let mut word = words.find(|word| !word.is_empty())?;
    while matches!(word, "pub" | "crate" | "super" | "unsafe" | "in") {
        word = words.find(|word| !word.is_empty())?;
    }
    if !KEYWORDS.contains(&word) || line.trim_start().starts_with("//") {
        return None;
    }
    words.find(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_file() {
        let check = |texts: &[(&str, &str)]| {
            check(&texts.iter().map(|(path, text)| Source::new(path, text)).collect::<Vec<_>>())
        };
        let a = ("src/a.rs", "pub(crate) struct State<T> {\n}\n");
        assert_eq!(
            check(&[a, ("src/b.rs", "// x\n    enum State {\n}")]),
            ["State: src/a.rs:1, src/b.rs:2"]
        );
        assert_eq!(check(&[a, ("src/b.rs", "unsafe trait State {}\n")]).len(), 1);
        for other in ["struct Other;", "// struct State", "use State;", "fn f(state: State) {}"] {
            assert!(check(&[a, ("src/b.rs", other)]).is_empty(), "{other}");
        }
        assert!(check(&[a, ("src/b/tests.rs", "struct State;")]).is_empty());
        assert!(check(&[a, ("tests/b.rs", "struct State;")]).is_empty());
        assert!(check(&[("src/a.rs", "struct A;\nstruct A(u8);")]).is_empty());
    }
}
