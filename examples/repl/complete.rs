//! What the tabulator key offers, and what stands faintly behind a command that is being typed.

use std::fs;
use std::path::Path;

use alluvium::{Db, Keyspace};

use crate::escape::unescape;
use crate::spec::{Kind, SPECS, Spec};
use crate::words::{Word, WordError, Words, quote};

/// Keys offered at once; more would fill the screen and the time.
const KEYS_MAX: usize = 64;

/// Where the names come from.
pub(crate) struct Names {
    pub(crate) db: Db,
    pub(crate) keyspace: Keyspace,
    pub(crate) snapshots: Vec<String>,
}

/// The words that may stand at the end of `text`, and the byte where they would begin.
pub(crate) fn complete(text: &str, names: &Names) -> (usize, Vec<String>) {
    let Some((before, start, partial)) = split(text.as_bytes()) else {
        return (text.len(), Vec::new());
    };
    let found = match before.split_first() {
        None => commands(&partial.bytes),
        Some((name, given)) => {
            let name = name.bytes.to_ascii_lowercase();
            Spec::named(&name).map_or(Vec::new(), |spec| words(spec, given, &partial, names))
        }
    };
    let only = found.len() == 1;
    let mut found: Vec<String> = found.into_iter().map(|word| word.text(only)).collect();
    found.sort();
    (start, found)
}

/// How the rest of a command is written, behind its name and a blank.
pub(crate) fn hint(text: &str) -> Option<&'static str> {
    let name = text.strip_suffix(' ')?;
    let spec = Spec::named(name.trim_start().to_ascii_lowercase().as_bytes())?;
    Some(spec.arguments).filter(|arguments| !arguments.is_empty())
}

/// A word to offer.
enum Offer {
    /// As it stands, for names of commands and options.
    Plain(&'static str),
    /// In quotes if need be.
    Bytes(Vec<u8>),
    /// A directory, behind which a path goes on.
    Directory(Vec<u8>),
}

impl Offer {
    /// A blank goes behind the `only` one.
    fn text(self, only: bool) -> String {
        let (mut text, directory) = match self {
            Self::Plain(name) => (name.as_bytes().to_vec(), false),
            Self::Bytes(bytes) => (quote(&bytes), false),
            Self::Directory(bytes) => (quote(&bytes), true),
        };
        if directory && text.starts_with(b"\"") {
            text.pop();
        }
        if only && !directory {
            text.push(b' ');
        }
        String::from_utf8(text).expect("quote writes whole characters only")
    }
}

/// The whole words of `text`, where the one under way begins, and what it stands for so far.
fn split(text: &[u8]) -> Option<(Vec<Word>, usize, Word)> {
    let (mut words, mut before) = (Words::new(text), Vec::new());
    loop {
        let rest = &text[text.len() - words.left()..];
        let start = text.len() - rest.trim_ascii_start().len();
        match words.next() {
            Ok(Some(word)) if words.left() == 0 => return Some((before, start, word)),
            Ok(Some(word)) => before.push(word),
            Ok(None) => {
                return Some((before, text.len(), Word { bytes: Vec::new(), quoted: false }));
            }
            Err(WordError::Wrong(_)) => return None,
            Err(WordError::Unfinished { quote }) => {
                let mut bytes = Vec::new();
                match quote {
                    b'"' => unescape(&text[start + 1..], &mut bytes).ok()?,
                    _ => bytes.extend_from_slice(&text[start + 1..]),
                }
                return Some((before, start, Word { bytes, quoted: true }));
            }
        }
    }
}

/// The words that may follow `given` in a command.
fn words(spec: &'static Spec, given: &[Word], partial: &Word, names: &Names) -> Vec<Offer> {
    let option = |word: &Word| {
        let found = spec.options.iter().find(|(name, _)| name.as_bytes() == word.bytes);
        found.filter(|_| !word.quoted)
    };
    // Words that are neither options nor their values.
    let (mut places, mut value) = (0, None);
    for word in given {
        match (value.take(), option(word)) {
            (Some(_), _) => {}
            (None, Some((_, Kind::Flag))) => {}
            (None, Some((_, kind))) => value = Some(*kind),
            (None, None) => places += 1,
        }
    }
    let options = || {
        let unused = |name: &str| !given.iter().any(|word| word.bytes == name.as_bytes());
        let fits = |name: &str| name.as_bytes().starts_with(&partial.bytes) && unused(name);
        let names = spec.options.iter().map(|(name, _)| *name);
        names.filter(|name| fits(name)).map(Offer::Plain).collect()
    };
    match (value, spec.places.get(places)) {
        (Some(kind), _) => named(kind, &partial.bytes, names),
        _ if partial.is_option() => options(),
        (None, Some(place)) => named(place.kind, &partial.bytes, names),
        (None, None) => options(),
    }
}

/// The things of this kind whose names begin with `partial`.
fn named(kind: Kind, partial: &[u8], names: &Names) -> Vec<Offer> {
    let text = |names: &mut dyn Iterator<Item = String>| {
        let fitting = names.filter(|name| name.as_bytes().starts_with(partial));
        fitting.map(|name| Offer::Bytes(name.into_bytes())).collect()
    };
    match kind {
        Kind::Command => commands(partial),
        Kind::File => files(partial),
        Kind::Format => text(&mut ["tsv", "csv", "jsonl"].into_iter().map(String::from)),
        Kind::Keyspace => text(&mut names.db.keyspaces().into_iter()),
        Kind::Snapshot => text(&mut names.snapshots.iter().cloned()),
        Kind::Key => {
            // A key that cannot be read is not offered; a command will tell why.
            let keys = names.keyspace.prefix(partial).keys().map_while(Result::ok);
            keys.take(KEYS_MAX).map(|key| Offer::Bytes(key.to_vec())).collect()
        }
        Kind::Free | Kind::Flag => Vec::new(),
    }
}

fn commands(partial: &[u8]) -> Vec<Offer> {
    let partial = partial.to_ascii_lowercase();
    let names = SPECS.iter().map(|spec| spec.name);
    names.filter(|name| name.as_bytes().starts_with(&partial)).map(Offer::Plain).collect()
}

/// Files and directories; those that begin with a dot only if the dot is there.
fn files(partial: &[u8]) -> Vec<Offer> {
    let Ok(partial) = std::str::from_utf8(partial) else { return Vec::new() };
    let at = partial.rfind(std::path::is_separator).map_or(0, |at| at + 1);
    let (dir, name) = partial.split_at(at);
    let Ok(entries) = fs::read_dir(if dir.is_empty() { Path::new(".") } else { Path::new(dir) })
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Ok(file) = entry.file_name().into_string() else { continue };
        if !file.starts_with(name) || (file.starts_with('.') && name.is_empty()) {
            continue;
        }
        // Through a link, to see whether it leads to a directory.
        let directory = fs::metadata(entry.path()).is_ok_and(|data| data.is_dir());
        let path = format!("{dir}{file}");
        found.push(match directory {
            true => Offer::Directory(format!("{path}/").into_bytes()),
            false => Offer::Bytes(path.into_bytes()),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let db = Db::in_memory().unwrap();
        let keyspace = db.keyspace("users").unwrap();
        for key in ["ann", "anna", "bob", "with blank", "say \"hi\"", "it's"] {
            keyspace.put(key, "").unwrap();
        }
        keyspace.put(b"\xff", "").unwrap();
        Names { db, keyspace, snapshots: vec!["s1".into(), "before".into()] }
    }

    #[test]
    fn words_are_offered_where_they_fit() {
        let names = names();
        let check = |text: &str, start: usize, want: &[&str]| {
            assert_eq!(
                complete(text, &names),
                (start, want.iter().map(|s| (*s).into()).collect()),
                "{text}"
            );
        };
        check("sto", 0, &["store "]);
        check("  ST", 2, &["stats ", "store "].map(str::trim_end));
        check("snap", 0, &["snapshot", "snapshots"]);
        check("frob", 0, &[]);
        check("frob a", 5, &[]);
        check("help del", 5, &["delete "]);
        check("use ", 4, &["default", "users"]);
        check("drop u", 5, &["users "]);
        check("get ann", 4, &["ann", "anna"]);
        check("get w", 4, &["\"with blank\" "]);
        check("get \"wi", 4, &["\"with blank\" "]);
        check("get 'wi", 4, &["\"with blank\" "]);
        check("get say", 4, &["\"say \\\"hi\\\"\" "]);
        check(r"get \xff", 4, &[r"\xff "]);
        check("get it", 4, &["it's "]);
        check("get ann --at ", 13, &["before", "s1"]);
        check("get --at s", 9, &["s1 "]);
        check("get --at s1 b", 12, &["bob "]);
        check("get bob -", 8, &["--at "]);
        check("scan a b --", 9, &["--at", "--limit", "--reverse"]);
        check("scan --reverse --r", 15, &[]);
        check("scan --limit ", 13, &[]);
        check("scan --reverse bo", 15, &["bob "]);
        check("get '--", 4, &[]);
        check("get bob ", 8, &["--at "]);
        check("store ann ", 10, &[]);
        check("import a --format c", 18, &["csv "]);
        check(r"get \q", 6, &[]);
    }

    #[test]
    fn every_offered_key_is_read_back() {
        let names = names();
        let (start, offers) = complete("get ", &names);
        assert_eq!((start, offers.len()), (4, 7));
        for offer in offers {
            let key = Words::new(offer.as_bytes()).next().unwrap().unwrap().bytes;
            assert!(names.keyspace.get(key).unwrap().is_some(), "{offer}");
        }
    }

    #[test]
    fn files_are_offered_by_their_path() {
        let (names, dir) = (names(), tempfile::tempdir().unwrap());
        for file in ["a.csv", "ab.tsv", "b c.txt", ".hidden"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        fs::create_dir(dir.path().join("sub dir")).unwrap();
        let root = dir.path().to_str().unwrap();
        let check = |partial: &str, want: &[&str]| {
            let text = format!("import {root}/{partial}");
            let want: Vec<String> = want.iter().map(|name| name.replace('@', root)).collect();
            assert_eq!(complete(&text, &names), (7, want), "{text}");
        };
        check("a", &["@/a.csv", "@/ab.tsv"]);
        check("ab", &["@/ab.tsv "]);
        check("b", &["\"@/b c.txt\" "]);
        check("s", &["\"@/sub dir/"]);
        check(".h", &["@/.hidden "]);
        check("", &["\"@/b c.txt\"", "\"@/sub dir/", "@/a.csv", "@/ab.tsv"]);
        check("absent/", &[]);
    }

    #[test]
    fn a_hint_shows_what_comes_next() {
        assert_eq!(hint("store "), Some("KEY VALUE"));
        assert_eq!(hint(" GET "), Some("KEY [--at SNAPSHOT]"));
        for nothing in ["store", "store k ", "stats ", "frob ", ""] {
            assert_eq!(hint(nothing), None, "{nothing}");
        }
    }
}
