//! The documents: not longer than they may be, every link and path in them leads somewhere, in the
//! package too, and every number of a decision or an invariant that is cited has its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::Source;

/// How long the pages may be that a newcomer reads: name, lines, words.
const LENGTHS: &[(&str, usize, usize)] = &[("README.md", 150, 1_200), ("DESIGN.md", 300, 4_500)];

/// Where the pages of decisions lie, by number: `31-merge-batches.md`.
const DECISIONS: &str = "docs/decisions/";

/// Folders whose files are named by their paths from the root.
const ROOTS: &[&str] = &["src/", "tests/", "examples/", "bench/", "docs/"];

/// The documents by their paths from the root, and all paths that there are.
pub(crate) struct Documents {
    pages: BTreeMap<String, String>,
    paths: BTreeSet<String>,
    /// What the package holds: the patterns of `include` in Cargo.toml.
    included: Vec<String>,
}

impl Documents {
    pub(crate) fn read(root: &Path) -> Self {
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let included = included(&manifest);
        let mut found = Self { pages: BTreeMap::new(), paths: BTreeSet::new(), included };
        found.read_folder(root, "");
        found
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap_or_default();
            let hidden = name.starts_with('.') && name != ".ci" && name != ".github";
            let built = name.starts_with("target") || (prefix.is_empty() && name == "shared");
            let path = format!("{prefix}{name}");
            if hidden || built {
                continue;
            }
            if entry.path().is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"));
            } else if name.ends_with(".md") {
                self.pages.insert(path.clone(), std::fs::read_to_string(entry.path()).unwrap());
            }
            self.paths.insert(path);
        }
    }

    /// What is wrong with the documents, and with what the sources say of them.
    pub(crate) fn check(&self, sources: &[Source]) -> Vec<String> {
        let mut broken = self.check_lengths();
        broken.extend(self.check_decisions());
        let invariants = self.invariants();
        for (page, text) in &self.pages {
            for (line, text) in prose(text) {
                let mut complaints = self.check_links(page, text);
                complaints.extend(self.check_names(text));
                complaints.extend(self.check_decisions_cited(text));
                if !invariants.is_empty() {
                    let unknown = numbers(text, 'I').filter(|number| !invariants.contains(number));
                    complaints.extend(unknown.map(|number| format!("there is no I{number}")));
                }
                broken.extend(complaints.iter().map(|what| format!("{page}:{line}: {what}")));
            }
        }
        // These files speak of numbers and paths that are none.
        for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
            for (line, text) in comments(source) {
                let mut complaints = self.check_names(text);
                complaints.extend(self.check_decisions_cited(text));
                if text.contains("(rule ") {
                    complaints.push("rules have no numbers: cite I or D".to_owned());
                }
                let path = &source.path;
                broken.extend(complaints.iter().map(|what| format!("{path}:{line}: {what}")));
            }
        }
        broken
    }

    fn check_lengths(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for &(page, lines_max, words_max) in LENGTHS {
            let Some(text) = self.pages.get(page) else { continue };
            let lines = text.lines().count();
            let words = text.split_whitespace().count();
            if lines > lines_max || words > words_max {
                broken.push(format!(
                    "{page}: {lines} lines and {words} words, at most {lines_max} and {words_max}"
                ));
            }
        }
        broken
    }

    /// Each page of a decision has its number in its title, and a line in the index.
    fn check_decisions(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let index = self.pages.get(&format!("{DECISIONS}README.md"));
        for (page, text) in &self.pages {
            let Some(name) = page.strip_prefix(DECISIONS).filter(|name| *name != "README.md")
            else {
                continue;
            };
            let number = decision_of(name);
            let title = number.map(|number| format!("# D{number}. "));
            if !title.is_some_and(|title| text.starts_with(&title)) {
                broken.push(format!("{page}: name and title do not begin with one number"));
            }
            if index.is_none_or(|index| !index.contains(&format!("({name})"))) {
                broken.push(format!("{page}: {DECISIONS}README.md does not list it"));
            }
        }
        broken
    }

    fn check_decisions_cited(&self, text: &str) -> Vec<String> {
        let has_page = |number: u32| {
            let pages = self.pages.keys().filter_map(|page| page.strip_prefix(DECISIONS));
            pages.filter_map(decision_of).any(|known| known == number)
        };
        let unknown = numbers(text, 'D').filter(|number| !has_page(*number));
        unknown.map(|number| format!("no page in {DECISIONS} for D{number}")).collect()
    }

    fn invariants(&self) -> BTreeSet<u32> {
        let design = self.pages.get("DESIGN.md").map_or("", String::as_str);
        let rows = design.lines().filter_map(|line| line.strip_prefix("| "));
        rows.filter_map(|row| numbers(row.split('|').next()?, 'I').next()).collect()
    }

    fn is_packaged(&self, path: &str) -> bool {
        self.included.iter().any(|pattern| match pattern.split_once('*') {
            Some((begin, end)) => {
                path.starts_with(begin) && path.ends_with(end) && !path.contains('/')
            }
            None => path == pattern || path.starts_with(&format!("{pattern}/")),
        })
    }

    /// Links to files, `](…)`, from the folder of the page; with the heading that they name.
    fn check_links(&self, page: &str, text: &str) -> Vec<String> {
        let mut broken = Vec::new();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { Some(page.to_owned()) } else { join(page, file) };
            let Some(target) = target.filter(|target| self.paths.contains(target)) else {
                broken.push(format!("no such file: {link}"));
                continue;
            };
            if self.is_packaged(page) && !self.is_packaged(&target) {
                broken.push(format!("not in the package, as the page is: {link}"));
            }
            let anchors = self.pages.get(&target).map(|text| anchors(text)).unwrap_or_default();
            if !heading.is_empty() && !anchors.contains(heading) {
                broken.push(format!("no such heading: {link}"));
            }
        }
        broken
    }

    /// Files and modules named in backticks: `src/db.rs`, `mvcc::commit`.
    fn check_names(&self, text: &str) -> Vec<String> {
        let mut broken = Vec::new();
        for name in text.split('`').skip(1).step_by(2) {
            let plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/.-:".contains(c);
            let from_root = ROOTS.iter().any(|root| name.starts_with(root));
            if from_root && name.chars().all(|c| plain(c) || c.is_ascii_uppercase()) {
                let path = name.trim_end_matches('/');
                if !self.paths.contains(path) {
                    broken.push(format!("no such path: {name}"));
                }
            } else if name.contains("::") && name.chars().all(plain) && !self.has_module(name) {
                broken.push(format!("no such module: {name}"));
            }
        }
        broken
    }

    /// Whether a module of that path exists; true of what is not in a folder of `src`, and of what
    /// may be a function in a module that exists.
    fn has_module(&self, name: &str) -> bool {
        let parts: Vec<_> = name.split("::").collect();
        if !self.paths.contains(&format!("src/{}", parts[0])) {
            return true;
        }
        let is_module = |path: String| {
            self.paths.contains(&format!("{path}.rs"))
                || self.paths.contains(&format!("{path}/mod.rs"))
        };
        is_module(format!("src/{}", parts.join("/")))
    }
}

/// The patterns of `include`, without the slash that they begin with.
fn included(manifest: &str) -> Vec<String> {
    let list = manifest.lines().find_map(|line| line.strip_prefix("include = "));
    let patterns = list.unwrap_or_default().split('"').skip(1).step_by(2);
    patterns.map(|pattern| pattern.trim_start_matches('/').to_owned()).collect()
}

/// The number that a page's name begins with.
fn decision_of(name: &str) -> Option<u32> {
    name.split_once('-')?.0.parse().ok()
}

/// A path as seen from a page's folder; `None` if it leads out of the tree.
fn join(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The lines of a page that are not in a block of code.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let is_fence = text.trim_start().starts_with("```");
        in_code ^= is_fence;
        if !in_code && !is_fence {
            found.push((line, text));
        }
    }
    found
}

/// The comments that take a line of their own.
fn comments(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(source.text.lines());
    lines.filter(|(_, text)| text.trim_start().starts_with("//"))
}

/// The names that links use for the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let lines = prose(text).into_iter().map(|(_, line)| line);
    let headings = lines.filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The numbers that a line cites: `D31`.
fn numbers(line: &str, letter: char) -> impl Iterator<Item = u32> {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter_map(move |word| {
        let digits = word.strip_prefix(letter)?;
        let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    })
}

/// A tree in which everything is right but for what a test adds to it.
#[cfg(test)]
fn tree(more: &[(&str, &str)]) -> Documents {
    let fine = [
        (
            "README.md",
            "See [design](DESIGN.md#1-words), [D1](docs/decisions/01-a.md), `src/db.rs`.\n",
        ),
        ("DESIGN.md", "# Design\n## 1. Words\n| I1 | one | `mvcc::commit` |\n"),
        ("docs/decisions/README.md", "[one](01-a.md), I1\n"),
        ("docs/decisions/01-a.md", "# D1. A\n[back](../../DESIGN.md) [here](#d1-a)\n"),
    ];
    let pages: BTreeMap<_, _> =
        fine.iter().chain(more).map(|(path, text)| (path.to_string(), text.to_string())).collect();
    let files = ["src", "src/db.rs", "src/mvcc", "src/mvcc/commit.rs", "src/mvcc/mod.rs"];
    let paths = pages.keys().cloned().chain(files.map(str::to_owned)).collect();
    let included = included("include = [\"/src\", \"/docs\", \"/*.md\"]");
    Documents { pages, paths, included }
}

#[test]
fn documents_are_held_to_their_rules() {
    let complaints = |page: &str, text: &str| tree(&[(page, text)]).check(&[]);
    assert_eq!(tree(&[]).check(&[]), Vec::<String>::new());
    for fine in [
        "[a](https://a.example/b.md) `cargo test` `a::b` `std::fs` `mvcc::commit` `src/`?",
        "```text\n[a](none.md) D99 `src/none.rs`\n```",
        "`Db::open` `src/mvcc/` XD9 D1x D123",
    ] {
        assert_eq!(complaints("docs/a.md", fine), Vec::<String>::new(), "{fine}");
    }
    for wrong in [
        "[a](none.md)",
        "[a](../../out.md)",
        "[a](../DESIGN.md#2-words)",
        "[a](#none)",
        "`src/none.rs`",
        "`mvcc::none`",
        "as D2 says",
        "as I2 says",
    ] {
        assert_eq!(complaints("docs/a.md", wrong).len(), 1, "{wrong}");
    }
    let mut with_bench = tree(&[("bench/a.md", ""), ("docs/a.md", "[a](../bench/a.md)")]);
    assert_eq!(with_bench.check(&[]).len(), 1, "a page of the package leads out of it");
    with_bench.included.clear();
    assert_eq!(with_bench.check(&[]), Vec::<String>::new(), "the page is in no package");
    assert_eq!(complaints("README.md", &"a\n".repeat(151)).len(), 1);
    assert_eq!(complaints("README.md", &"a ".repeat(1_201)).len(), 1);
    assert_eq!(complaints("docs/decisions/02-b.md", "# D2. B\n").len(), 1, "not in the index");
    assert_eq!(complaints("docs/decisions/01-a.md", "# A\n").len(), 1, "no number");
    let source = |text| Source::new("src/db.rs", text);
    assert!(
        tree(&[]).check(&[source("// D1 `src/db.rs`\nlet D9 = \"`src/none.rs`\";")]).is_empty()
    );
    assert_eq!(tree(&[]).check(&[source("    // (D2)")]).len(), 1);
    assert_eq!(tree(&[]).check(&[source("//! `src/none.rs`")]).len(), 1);
    assert_eq!(tree(&[]).check(&[source("// so it stays (rule 7).")]).len(), 1);
}
