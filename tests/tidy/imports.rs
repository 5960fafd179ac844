//! Which file imports which, in `src` and in the shell, and that none does so in a circle: a circle
//! of files can only be read, tested and changed as one.
//!
//! Test code is left out, and so are `lib.rs` and `main.rs`. `mod x;` is no import. `use super::X`
//! imports the file of the parent, or the file that the parent has `X` from: names are followed
//! through `use` to where they are defined. A name that a file only hands on is an import of that
//! file's.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The files of a crate's root, which import everything.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// The circles of files of `src`, each with the imports that close it.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    Graph::new(sources, "src/").describe_circles()
}

/// For each file the files that it imports, with a line that does.
type Arrows = BTreeMap<String, BTreeMap<String, usize>>;

pub(crate) struct Graph {
    pub(crate) arrows: Arrows,
}

impl Graph {
    /// Of the crate whose files lie below `base`.
    pub(crate) fn new(sources: &[Source], base: &str) -> Self {
        let inside = |source: &&Source| {
            source.path.strip_prefix(base).is_some_and(|path| !ROOTS.contains(&path))
        };
        let files = sources.iter().filter(inside).map(|source| File::new(source, base));
        let files: Vec<_> = files.filter(|file| file.test.iter().any(|&test| !test)).collect();
        let tree = Tree(files.iter().map(|file| (file.module.clone(), file)).collect());
        let mut arrows = Arrows::new();
        for file in &files {
            let to = arrows.entry(file.path.to_owned()).or_default();
            for (line, path) in file.paths(&tree) {
                match tree.home_of(&path, 0) {
                    Some(home) if home.path != file.path => {
                        to.entry(home.path.to_owned()).or_insert(line);
                    }
                    _ => {}
                }
            }
        }
        Self { arrows }
    }

    /// The circles of files, each with the imports that close it.
    pub(crate) fn describe_circles(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for circle in circles(&self.arrows) {
            lines.push(format!("{} files import each other in a circle:", circle.len()));
            for (from, to, line) in self.arrows_between(&circle) {
                lines.push(format!("    {from}:{line}: imports {to}"));
            }
        }
        lines
    }

    fn arrows_between<'a>(&'a self, files: &[&str]) -> Vec<(&'a str, &'a str, usize)> {
        let from_listed = self.arrows.iter().filter(|(from, _)| files.contains(&from.as_str()));
        from_listed
            .flat_map(|(from, to)| {
                to.iter().map(move |(to, line)| (from.as_str(), to.as_str(), *line))
            })
            .filter(|(_, to, _)| files.contains(to))
            .collect()
    }
}

/// The largest sets of two files or more of which each reaches each other.
fn circles(arrows: &Arrows) -> Vec<Vec<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (file.as_str(), reach(arrows, file))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (&file, from_here) in &reached {
        if seen.contains(file) || !from_here.contains(file) {
            continue;
        }
        let circle: Vec<&str> =
            from_here.iter().copied().filter(|other| reached[other].contains(file)).collect();
        seen.extend(circle.iter().copied());
        circles.push(circle);
    }
    circles
}

/// What `file` imports, directly or through others; itself, if it is in a circle.
fn reach<'a>(arrows: &'a Arrows, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(next) = open.pop() {
        for to in arrows.get(next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to.as_str()) {
                open.push(to);
            }
        }
    }
    reached
}

/// A path from the crate's root, `["engine", "read", "View"]`.
type Path = Vec<String>;

struct File<'a> {
    path: &'a str,
    module: Path,
    source: &'a Source,
    /// For each line, whether it is test code.
    test: Vec<bool>,
    uses: Vec<Use>,
    /// Where `use` statements stand, which hold no other paths.
    use_ranges: Vec<std::ops::Range<usize>>,
}

/// One name that a file imports.
struct Use {
    line: usize,
    /// From the crate's root; `None` for another crate's.
    path: Path,
    /// What it is called here; `*` for all that is there.
    name: String,
}

impl<'a> File<'a> {
    fn new(source: &'a Source, base: &str) -> Self {
        let inside = source.path.trim_start_matches(base).trim_end_matches(".rs");
        let mut module: Path = inside.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        let mut file = Self {
            path: &source.path,
            module,
            source,
            test: source.find_test_lines(false),
            uses: Vec::new(),
            use_ranges: Vec::new(),
        };
        for at in source.find_word("use") {
            let length = source.code[at..].iter().take_while(|&&c| c != ';').count();
            file.use_ranges.push(at..at + length);
            let line = source.line_of(at);
            if file.is_test(line) {
                continue;
            }
            let text: String = source.code[at + 3..at + length].iter().collect();
            for (path, name) in leaves(text.trim()) {
                if let Some(path) = file.rooted(&path) {
                    file.uses.push(Use { line, path, name });
                }
            }
        }
        file
    }

    /// A path that begins with `crate`, `self` or `super`, from the root.
    fn rooted(&self, path: &[String]) -> Option<Path> {
        let mut at = match path.first()?.as_str() {
            "crate" => Path::new(),
            "self" | "super" => self.module.clone(),
            _ => return None,
        };
        let mut rest = path;
        if rest[0] != "super" {
            rest = &rest[1..];
        }
        while rest.first().is_some_and(|part| part == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        at.extend_from_slice(rest);
        Some(at)
    }

    /// Everything of this crate that the file names, each with its line.
    fn paths(&self, tree: &Tree) -> Vec<(usize, Path)> {
        let mut found: Vec<_> = self.uses.iter().map(|it| (it.line, it.path.clone())).collect();
        let code = &self.source.code;
        let mut at = 0;
        while at < code.len() {
            let word = self.source.word_at(at);
            if word.is_empty() {
                at += 1;
                continue;
            }
            let begin = at;
            let path = path_at(self.source, at);
            at += word.chars().count().max(path.join("::").chars().count());
            let preceded = code[..begin].iter().rev().take(2).any(|&c| c == ':' || c == '.');
            let spaced = begin > 0 && code[begin - 1] == ' ';
            if path.len() < 2 || (preceded && !spaced) || self.in_use(begin) {
                continue;
            }
            let line = self.source.line_of(begin);
            if !self.is_test(line) {
                found.extend(self.named_path(tree, &path).map(|path| (line, path)));
            }
        }
        found
    }

    fn is_test(&self, line: usize) -> bool {
        self.test.get(line - 1).copied().unwrap_or(false)
    }

    fn in_use(&self, at: usize) -> bool {
        self.use_ranges.iter().any(|range| range.contains(&at))
    }

    /// A path as code names it, from the root, if it is of this crate: by `crate` and the like, by
    /// a module that was imported, or by a module below this one.
    fn named_path(&self, tree: &Tree, path: &[String]) -> Option<Path> {
        if let Some(path) = self.rooted(path) {
            return Some(path);
        }
        let imported = self.uses.iter().find(|it| it.name == path[0]);
        let mut module = match imported {
            Some(import) => import.path.clone(),
            None => [self.module.as_slice(), &path[..1]].concat(),
        };
        if !tree.0.contains_key(&module) {
            return None;
        }
        module.extend_from_slice(&path[1..]);
        Some(module)
    }
}

/// `a::b::c` at a place in the code.
fn path_at(source: &Source, mut at: usize) -> Path {
    let mut path = Path::new();
    loop {
        let word = source.word_at(at);
        if word.is_empty() {
            return path;
        }
        at += word.chars().count();
        path.push(word);
        if !source.code[at..].starts_with(&[':', ':']) {
            return path;
        }
        at += 2;
    }
}

/// The branches of a `use`: each path in full, and the name that it gets.
fn leaves(text: &str) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    let (prefix, group) = match text.split_once('{') {
        Some((prefix, group)) => (prefix, group.strip_suffix('}').unwrap_or(group)),
        None => {
            let (path, alias) = match text.split_once(" as ") {
                Some((path, alias)) => (path, Some(alias.trim().to_owned())),
                None => (text, None),
            };
            let mut path = split_path(path);
            if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
            return vec![(path, name)];
        }
    };
    let prefix = split_path(prefix);
    let mut depth = 0;
    let mut branch = String::new();
    for c in group.chars().chain([',']) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = std::mem::take(&mut branch);
                if !branch.trim().is_empty() {
                    for (path, name) in leaves(branch.trim()) {
                        let whole = path == ["self"];
                        let name = if whole { prefix.last().cloned() } else { Some(name) };
                        let rest = if whole { &[][..] } else { &path[..] };
                        found.push(([&prefix[..], rest].concat(), name.unwrap_or_default()));
                    }
                }
                continue;
            }
            _ => {}
        }
        branch.push(c);
    }
    found
}

fn split_path(text: &str) -> Path {
    text.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// All modules that have a file, by their paths.
struct Tree<'a>(BTreeMap<Path, &'a File<'a>>);

impl<'a> Tree<'a> {
    /// The file that defines what `path` names; `None` for a module as such.
    fn home_of(&self, path: &[String], depth: usize) -> Option<&'a File<'a>> {
        let below = (0..=path.len()).rev().find(|&n| self.0.contains_key(&path[..n]))?;
        let file = self.0[&path[..below]];
        let rest = &path[below..];
        let name = rest.first()?;
        let handed_on = file.uses.iter().find(|it| it.name == *name && it.path != path);
        match handed_on {
            Some(import) if depth < 8 => {
                let further = [&import.path[..], &rest[1..]].concat();
                self.home_of(&further, depth + 1)
            }
            _ => Some(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files.iter().map(|(path, text)| Source::new(path, text)).collect()
    }

    #[test]
    fn circles_of_files_are_found_whatever_they_are_named_by() {
        #[track_caller]
        fn check(files: &[(&str, &str)], want: bool) {
            let broken = super::check(&sources(files));
            assert_eq!(!broken.is_empty(), want, "{files:?}: {broken:?}");
        }
        let b = ("src/a/b.rs", "use crate::a::c::C;\npub struct B;");
        check(&[b, ("src/a/c.rs", "pub struct C;")], false);
        check(&[b, ("src/a/c.rs", "use super::b::B;")], true);
        check(&[b, ("src/a/c.rs", "fn f() { super::b::g() }")], true);
        check(&[b, ("src/a/c.rs", "use super::{b::{self, x}, d};")], true);
        check(&[b, ("src/a/c.rs", "use crate::a::b;\nfn f() { b::g() }")], true);
        check(&[b, ("src/a/c.rs", "use crate::a::b;")], false);
        check(
            &[b, ("src/a/c.rs", "#[cfg(test)]\nmod tests {\n use super::super::b::B;\n}")],
            false,
        );
        check(
            &[b, ("src/a/c/tests.rs", "use crate::a::b::B;"), ("src/a/c.rs", "mod tests;")],
            false,
        );
        // Through the parent, which hands both on and is imported by none.
        let parent = ("src/a/mod.rs", "mod b; mod c;\npub use self::b::B; pub use self::c::C;");
        check(&[parent, b, ("src/a/c.rs", "pub struct C;")], false);
        check(&[parent, b, ("src/a/c.rs", "use super::B;")], true);
        // The parent has something of its own.
        let parent = ("src/a/mod.rs", "mod b;\npub struct A(b::B);");
        check(&[parent, ("src/a/b.rs", "pub struct B;")], false);
        check(&[parent, ("src/a/b.rs", "use super::A;")], true);
    }
}
