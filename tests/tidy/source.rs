//! A Rust file as the tidy rules see it: its text, its code without comments and literals, and
//! which of its lines are test code. A scanner, not a parser: half of the rules are about comments,
//! which `syn` drops, and they have to run on a tree that does not parse. Clippy's `too_many_lines`
//! and `undocumented_unsafe_blocks` count and accept other things than the rules do.

use std::ops::Range;
use std::path::Path;

/// One file of the tree.
pub(crate) struct Source {
    /// Relative to the repository, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with each character of a comment or literal made a blank: same lines, same columns.
    pub(crate) code: Vec<char>,
    /// For each line, whether it is compiled for tests only.
    pub(crate) test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let mut source =
            Self { path: path.to_owned(), text: text.to_owned(), code, test: Vec::new() };
        source.test = source.find_test_lines(!source.in_src());
        source
    }

    /// Every Rust file under `directory` of the repository at `root`, in order of path.
    pub(crate) fn read_all(root: &Path, directory: &str) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(root.join(directory)) else { return Vec::new() };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().expect("names are UTF-8"))
            .collect();
        names.sort();
        let mut sources = Vec::new();
        for name in names {
            let path = format!("{directory}/{name}");
            if root.join(&path).is_dir() {
                sources.extend(Self::read_all(root, &path));
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(root.join(&path)).unwrap();
                sources.push(Self::new(&path, &text));
            }
        }
        sources
    }

    /// Whether the file is part of the crate itself.
    pub(crate) fn in_src(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// The code of each line, numbered from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, String)> {
        let lines: Vec<_> = self.code.split(|&c| c == '\n').map(String::from_iter).collect();
        (1..).zip(lines)
    }

    /// Whether the line with this number is test code.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test.get(line - 1).copied().unwrap_or(false)
    }

    /// The number of the line that holds character `at`.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        1 + self.code[..at].iter().filter(|&&c| c == '\n').count()
    }

    /// Where a word stands in the code, as a whole word.
    pub(crate) fn find_word(&self, word: &str) -> Vec<usize> {
        let word: Vec<char> = word.chars().collect();
        let is_word = |at: usize| self.code.get(at).is_some_and(|&c| is_word_char(c));
        (0..self.code.len())
            .filter(|&at| self.code[at..].starts_with(&word))
            .filter(|&at| (at == 0 || !is_word(at - 1)) && !is_word(at + word.len()))
            .collect()
    }

    /// What follows `prefix::` in paths and imports: with the line, the first word of each branch,
    /// `a` and `b` for `prefix::{a::x, b}`.
    pub(crate) fn paths_under(&self, prefix: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in self.find_word(prefix) {
            let mut rest = at + prefix.len();
            if !self.code[rest..].starts_with(&[':', ':']) {
                continue;
            }
            rest += 2;
            if self.code.get(rest) != Some(&'{') {
                found.push((self.line_of(at), self.word_at(rest)));
                continue;
            }
            let group = rest + 1..self.closing(rest);
            let mut depth = 0;
            let mut branch_begins = true;
            for at in group {
                match self.code[at] {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => branch_begins = true,
                    c if branch_begins && is_word_char(c) => {
                        found.push((self.line_of(at), self.word_at(at)));
                        branch_begins = false;
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Every function that has a body: its name, and its lines from `fn` to the closing brace.
    pub(crate) fn functions(&self) -> Vec<(String, Range<usize>)> {
        let mut found = Vec::new();
        for at in self.find_word("fn") {
            if self.code.get(at + 2) == Some(&'(') {
                continue; // A function pointer type.
            }
            let name = self.word_at(at + 3);
            if let Some(open) = self.body_after(at) {
                found.push((name, self.line_of(at)..self.line_of(self.closing(open)) + 1));
            }
        }
        found
    }

    /// The word that begins at `at`, perhaps empty.
    pub(crate) fn word_at(&self, at: usize) -> String {
        self.code.get(at..).into_iter().flatten().take_while(|&&c| is_word_char(c)).collect()
    }

    /// The brace that opens the body of the item at `at`, unless a semicolon ends the item first.
    fn body_after(&self, at: usize) -> Option<usize> {
        let mut depth = 0;
        for (offset, c) in self.code[at..].iter().enumerate() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                '{' if depth == 0 => return Some(at + offset),
                ';' if depth == 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// The brace that closes the one at `open`.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0;
        for (offset, c) in self.code[open..].iter().enumerate() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return open + offset;
            }
        }
        self.code.len()
    }

    /// What follows the bracket, of any kind, that closes the one at `open`.
    pub(crate) fn after_group(&self, open: usize) -> usize {
        let mut depth = 0;
        for (offset, c) in self.code[open..].iter().enumerate() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return open + offset + 1;
            }
        }
        self.code.len()
    }

    /// Whether the whole file is test code by its name.
    pub(crate) fn is_test_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || matches!(name, "tests.rs" | "testing.rs" | "models.rs")
            || self.path.contains("/tests/")
            || name.contains("loom")
            // The seam as `--cfg shuttle` has it.
            || self.path.starts_with("src/sync/scheduled")
    }

    /// The lines of each item that is compiled for tests only, its attribute included.
    pub(crate) fn test_items(&self) -> Vec<Range<usize>> {
        let mut items = Vec::new();
        let attributes = ["#[cfg(test)]", "#[cfg(all(test"];
        for at in 0..self.code.len() {
            let begins = |attribute: &&str| {
                attribute.chars().eq(self.code[at..].iter().copied().take(attribute.len()))
            };
            if !attributes.iter().any(begins) {
                continue;
            }
            let item = at + self.code[at..].iter().take_while(|&&c| c != ']').count() + 1;
            let end = match self.body_after(item) {
                _ if self.is_field(item) => self.field_end(item),
                Some(open) => self.closing(open),
                None => item + self.code[item..].iter().take_while(|&&c| c != ';').count(),
            };
            let last = self.line_of(end.min(self.code.len()));
            items.push(self.line_of(at)..last + 1);
        }
        items
    }

    /// Whether a field stands there, or the value of one: a name, and one colon.
    fn is_field(&self, at: usize) -> bool {
        let mut rest = self.code[at..].iter().skip_while(|c| c.is_whitespace());
        let after = rest.find(|&&c| !(c.is_alphanumeric() || c == '_'));
        after == Some(&':') && rest.next() != Some(&':')
    }

    /// The comma behind a field, or the bracket that closes what it is the last of.
    fn field_end(&self, at: usize) -> usize {
        let mut depth = 0;
        for (offset, c) in self.code[at..].iter().enumerate() {
            match c {
                '(' | '[' | '{' | '<' => depth += 1,
                ')' | ']' | '}' if depth == 0 => return at + offset - 1,
                ')' | ']' | '}' | '>' => depth -= 1,
                ',' if depth == 0 => return at + offset,
                _ => {}
            }
        }
        self.code.len()
    }

    /// For each line, whether it is test code; `all` of a file that is not part of a crate.
    pub(crate) fn find_test_lines(&self, all: bool) -> Vec<bool> {
        let lines = self.text.lines().count();
        let mut test = vec![self.is_test_file() || all; lines];
        for item in self.test_items() {
            for line in item.start..item.end.min(lines + 1) {
                test[line - 1] = true;
            }
        }
        test
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank_comments_and_literals(text: &str) -> Vec<char> {
    let mut code: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < code.len() {
        let follows_word = at > 0 && is_word_char(code[at - 1]);
        let end = match comment_or_literal(&code[at..], follows_word) {
            0 => {
                at += 1;
                continue;
            }
            length => (at + length).min(code.len()),
        };
        for c in &mut code[at..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
        at = end;
    }
    code
}

/// The length of the comment or literal that `rest` begins with; 0 if it begins with neither.
fn comment_or_literal(rest: &[char], follows_word: bool) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|&&c| c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['b' | 'c', '"', ..] if !follows_word => 1 + quoted(&rest[1..], '"'),
        ['b', '\'', ..] if !follows_word => 1 + quoted(&rest[1..], '\''),
        ['b' | 'c', 'r', '"' | '#', ..] if !follows_word => 1 + raw_string(&rest[1..]),
        ['r', '"' | '#', ..] if !follows_word => raw_string(rest),
        // A quote that neither escapes nor closes after one character begins a lifetime.
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of the raw string at an `r`; 0 if it is a raw identifier.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut closing = vec!['"'];
    closing.extend(vec!['#'; hashes]);
    let body = 2 + hashes;
    (body..rest.len())
        .find(|&at| rest[at..].starts_with(&closing))
        .map_or(rest.len(), |at| at + closing.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_else() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            let code: String = blank_comments_and_literals(text).into_iter().collect();
            assert_eq!(code.len(), text.len());
            let squeezed = code.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(squeezed, want, "{text}");
        }
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a("b\"{", c)"#, "a( , c)");
        check(r##"a(r#"b"{"#, br"{", b"{", c"{")"##, "a( , , , )");
        check(r"a('{', '\'', b'{', '\u{7f}') {", "a( , , , ) {");
        check("fn f<'a>(x: &'a str) {", "fn f<'a>(x: &'a str) {");
        check("r#type r\"x\"", "r#type");
    }

    #[test]
    fn test_lines_are_those_of_test_items_and_test_files() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n\
                    #[cfg(all(test, loom))]\nmod m;\nfn d() {}\n\
                    #[cfg(not(all(test, loom)))]\nmod e;";
        let want = [false, true, true, true, true, false, true, true, false, false, false];
        assert_eq!(Source::new("src/a.rs", text).test, want);
        let fields = "struct A {\n#[cfg(test)]\na: B<C, D>,\nb: u8 }\nfn f() {\n}";
        let want = [false, true, true, false, false, false];
        assert_eq!(Source::new("src/a.rs", fields).test, want);
        assert_eq!(Source::new("src/a/tests.rs", "fn a() {}").test, [true]);
        assert_eq!(Source::new("tests/a.rs", "fn a() {}").test, [true]);
    }

    #[test]
    fn paths_are_found_singly_and_in_groups() {
        let text = "use crate::{a, b::{c, d},\n  e::f};\nuse crate::g::h; mycrate::i; crate::J";
        let got = Source::new("src/a.rs", text).paths_under("crate");
        let want = [(1, "a"), (1, "b"), (2, "e"), (3, "g"), (3, "J")];
        assert_eq!(got, want.map(|(line, word)| (line, word.to_owned())));
    }

    #[test]
    fn functions_are_measured_from_fn_to_the_closing_brace() {
        let text = "trait T { fn no_body(&self, x: [u8; 4]); }\n\
                    fn a(x: [u8; 2]) -> fn(u8)\n{\n  if x { y(\"}\") }\n}\nfn b() {}";
        let got = Source::new("src/a.rs", text).functions();
        assert_eq!(got, [("a".to_owned(), 2..6), ("b".to_owned(), 6..7)]);
    }
}
