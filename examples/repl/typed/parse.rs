//! What the user typed, as a [`Command`]: the grammar of each command. Pure.
//!
//! Words and quotes are those of [`crate::text::words`], the commands those of
//! [`crate::commands::spec`]. A value that does not begin with a quote is the rest of its line,
//! blanks inside kept and those around it dropped, escapes undone: `store k it's 1, 2`. Names of
//! commands may be in upper or lower case; keys are taken as they are. Only a command that has
//! options takes a word that begins with `--` for one, and a quoted word never is one.

mod command;

use std::path::PathBuf;

pub(crate) use command::{About, Command, ExportRequest, ImportRequest, ScanRequest, Show};

use crate::commands::spec::{Alias, Kind, Spec, Topic, unknown};
use crate::rows::{Columns, Encoding, Format, KeyColumn};
use crate::shell::Extent;
use crate::text::escape::escaped;
use crate::text::size;
use crate::text::words::{Word, WordError, Words};

/// Reads one command; `None` if there are only blanks, or a comment.
pub(crate) fn parse(text: &[u8]) -> Result<Option<Command>, WordError> {
    match text.trim_ascii() {
        // No word, because a backslash begins an escape; but people type them.
        b"\\q" => return Ok(Some(Command::Exit)),
        b"\\?" | b"\\h" => return Ok(Some(Command::Help { about: None })),
        text if text.starts_with(b"#") => return Ok(None),
        _ => {}
    }
    let mut words = Words::new(text);
    let Some(name) = words.next()? else { return Ok(None) };
    let name = name.bytes.to_ascii_lowercase();
    let spec = Spec::meant(&name).ok_or_else(|| unknown(&name))?;
    let mut given = Given::read(spec, &mut words)?;
    for flag in Alias::of(&name).map_or(&[][..], |alias| alias.flags) {
        given.options.push((flag, Vec::new()));
    }
    Ok(Some(match data(spec.name, &mut given)? {
        Some(command) => command,
        None => other(spec.name, &mut given)?,
    }))
}

/// The commands that read and write keys.
fn data(name: &str, given: &mut Given) -> Result<Option<Command>, WordError> {
    Ok(Some(match name {
        "store" => match (given.option("--from"), given.needed()) {
            (Some(file), key) => Command::StoreFile { key, file: path(file)? },
            (None, key) => Command::Store { key, value: given.needed() },
        },
        "get" => {
            let raw = given.flag("--raw");
            Command::Get { key: given.needed(), at: given.text("--at")?, raw }
        }
        "exists" => Command::Exists { key: given.needed(), at: given.text("--at")? },
        "mget" => {
            let at = given.text("--at")?;
            Command::MultiGet { keys: given.words.by_ref().collect(), at }
        }
        "delete" => Command::Delete { key: given.needed() },
        "scan" => {
            let extent = Extent::Between { from: given.next(), to: given.next() };
            Command::Scan(given.scan(extent)?)
        }
        "prefix" => {
            let extent = Extent::Prefix(given.needed());
            Command::Scan(given.scan(extent)?)
        }
        "count" => Command::Count { extent: given.counted()?, at: given.text("--at")? },
        "size" => Command::Size { extent: given.counted()? },
        "import" => Command::Import(given.import()?),
        "export" => Command::Export(ExportRequest {
            file: path(given.needed())?,
            format: given.format()?,
            at: given.text("--at")?,
            skip_damaged: given.flag("--skip-damaged"),
        }),
        _ => return Ok(None),
    }))
}

/// All other commands.
fn other(name: &str, given: &mut Given) -> Result<Command, WordError> {
    Ok(match name {
        "keyspaces" => Command::Keyspaces,
        "use" => Command::Use { name: given.name()?, create: given.flag("--create") },
        "drop" => Command::Drop { name: given.name()? },
        "snapshot" => Command::Snapshot { name: given.next().map(utf8).transpose()? },
        "snapshots" => Command::Snapshots,
        "release" => Command::Release { name: given.name()? },
        "batch" => Command::Batch,
        "commit" => Command::Commit,
        "abort" => Command::Abort,
        "source" => Command::Source { file: path(given.needed())? },
        "sync" => Command::Sync,
        "flush" => Command::Flush,
        "stats" => Command::Stats,
        "segments" => Command::Segments { all: given.flag("--all") },
        "explain" => Command::Explain { key: given.needed(), at: given.text("--at")? },
        "verify" => Command::Verify,
        "compact" => Command::Compact { extent: given.extent() },
        "pause_compaction" => Command::PauseCompaction,
        "resume_compaction" => Command::ResumeCompaction,
        "set_threshold" => Command::SetThreshold { bytes: given.size()? },
        "load_index" => Command::LoadIndex,
        "save_index_snapshot" => Command::SaveIndexSnapshot { file: path(given.needed())? },
        "load_index_snapshot" => Command::LoadIndexSnapshot { file: path(given.needed())? },
        "help" => Command::Help { about: given.next().map(about).transpose()? },
        "timer" => Command::Timer { on: given.switch()? },
        "exit" => Command::Exit,
        name => unreachable!("{name} is in the table of commands and not here"),
    })
}

/// The words and options that a command was given; every needed word is there.
struct Given {
    words: std::vec::IntoIter<Vec<u8>>,
    options: Vec<(&'static str, Vec<u8>)>,
}

impl Given {
    fn read(spec: &'static Spec, words: &mut Words<'_>) -> Result<Self, WordError> {
        let mut found = Vec::new();
        let mut options = Vec::new();
        while let Some(word) = next(spec, found.len(), words)? {
            if word.is_option() && !spec.options.is_empty() {
                let (name, value) = option(spec, &word, words)?;
                if options.iter().any(|(given, _)| *given == name) {
                    return Err(format!("{name} is given twice: {}", spec.advice()).into());
                }
                options.push((name, value));
            } else if found.len() < spec.places.len()
                || spec.places.last().is_some_and(|place| place.many)
            {
                found.push(word.bytes);
            } else {
                let extra = escaped(&word.bytes);
                return Err(format!("{extra} is one word too many: {}", spec.advice()).into());
            }
        }
        // A value that comes from a file is not missing.
        let from = options.iter().any(|(name, _)| *name == "--from");
        if from && found.len() > 1 {
            return Err(format!("a value and --from exclude each other: {}", spec.advice()).into());
        }
        let missing = spec.places.get(found.len()).filter(|place| place.needed);
        if let Some(place) = missing.filter(|place| !(from && place.what == "value")) {
            let what = place.what;
            let advice = spec.advice();
            let hint = if what == "value" { r#"; "" is the empty value"# } else { "" };
            return Err(format!("the {what} is missing: {advice}{hint}").into());
        }
        Ok(Self { words: found.into_iter(), options })
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        self.words.next()
    }

    fn needed(&mut self) -> Vec<u8> {
        self.next().expect("words that are needed were found to be there")
    }

    fn name(&mut self) -> Result<String, String> {
        utf8(self.needed())
    }

    /// The value of an option, empty for one that stands alone.
    fn option(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.options.iter().position(|(given, _)| *given == name)?;
        Some(self.options.remove(at).1)
    }

    /// Whether an option that stands alone was given.
    fn flag(&mut self, name: &str) -> bool {
        self.option(name).is_some()
    }

    fn switch(&mut self) -> Result<bool, String> {
        let word = self.needed();
        match word.to_ascii_lowercase().as_slice() {
            b"on" => Ok(true),
            b"off" => Ok(false),
            _ => Err(format!("write on or off, and not {}", escaped(&word))),
        }
    }

    fn size(&mut self) -> Result<u64, String> {
        let word = self.needed();
        size::size(&word).ok_or_else(|| {
            let got = escaped(&word);
            format!("{got:?} is no size: write bytes, or a number with KiB, MiB or GiB")
        })
    }

    fn text(&mut self, option: &str) -> Result<Option<String>, String> {
        self.option(option).map(utf8).transpose()
    }

    fn format(&mut self) -> Result<Option<Format>, String> {
        let Some(name) = self.option("--format") else { return Ok(None) };
        let format = std::str::from_utf8(&name).ok().and_then(Format::named);
        let wrong = || format!("--format takes tsv, csv or jsonl, and got {:?}", escaped(&name));
        format.map(Some).ok_or_else(wrong)
    }

    /// From one key up to another, if one was given.
    fn extent(&mut self) -> Option<Extent> {
        let from = self.next()?;
        Some(Extent::Between { from: Some(from), to: self.next() })
    }

    /// From one key up to another, or all that begin with a prefix.
    fn counted(&mut self) -> Result<Extent, String> {
        let from = self.next();
        let to = self.next();
        match (self.option("--prefix"), from.is_some()) {
            (Some(prefix), false) => Ok(Extent::Prefix(prefix)),
            (Some(_), true) => Err("--prefix and FROM exclude each other".into()),
            (None, _) => Ok(Extent::Between { from, to }),
        }
    }

    fn scan(&mut self, extent: Extent) -> Result<ScanRequest, String> {
        let limit = self.option("--limit").map(|count| {
            size::count(&count)
                .ok_or_else(|| format!("--limit takes a number, and got {:?}", escaped(&count)))
        });
        let show = match (self.flag("--keys"), self.flag("--values")) {
            (true, true) => return Err("--keys and --values exclude each other".into()),
            (true, false) => Show::Keys,
            (false, true) => Show::Values,
            (false, false) => Show::Pairs,
        };
        Ok(ScanRequest {
            extent,
            show,
            hex: self.flag("--hex"),
            reverse: self.flag("--reverse"),
            limit: limit.transpose()?,
            at: self.text("--at")?,
        })
    }

    fn import(&mut self) -> Result<ImportRequest, String> {
        let file = path(self.needed())?;
        let encoding = self.option("--encoding").map(|name| {
            let known = std::str::from_utf8(&name).ok().and_then(Encoding::named);
            known.ok_or_else(|| {
                let got = escaped(&name);
                format!("--encoding takes utf-8, utf-16, utf-16le, utf-16be or latin-1, not {got}")
            })
        });
        let delimiter = self.option("--delimiter").map(|text| match text.as_slice() {
            b"tab" => Ok(b'\t'),
            &[one] if !matches!(one, b'"' | b'\r' | b'\n') => Ok(one),
            _ => Err(format!("--delimiter takes one character or tab, not {}", escaped(&text))),
        });
        let key = self.option("--key").map(|column| match size::count(&column) {
            Some(0) => Err("columns are counted from 1".to_owned()),
            Some(number) => {
                Ok(KeyColumn::Number(usize::try_from(number).unwrap_or(usize::MAX) - 1))
            }
            None => Ok(KeyColumn::Named(column)),
        });
        let encoding = encoding.transpose()?;
        let delimiter = delimiter.transpose()?;
        let key = key.transpose()?;
        let header = self.flag("--header");
        Ok(ImportRequest {
            file,
            format: self.format()?,
            encoding,
            columns: Columns { header, key, delimiter },
            skip_bad: self.flag("--skip-bad"),
            ack: self.flag("--ack"),
            progress: self.flag("--progress"),
        })
    }
}

/// The next word, after `found` of them. The value of `store` is the rest of its line, unless that
/// begins with its option.
fn next(spec: &Spec, found: usize, words: &mut Words<'_>) -> Result<Option<Word>, WordError> {
    if spec.name == "store" && found == 1 && !words.begin_with("--from") {
        return Ok(words.value()?.map(|bytes| Word { bytes, quoted: true }));
    }
    let word = words.next()?;
    // The key of `store` may look like an option: no other one is known.
    Ok(word.map(|word| Word {
        quoted: word.quoted || (spec.name == "store" && word.bytes != b"--from"),
        ..word
    }))
}

/// An option of the command with its value.
fn option(
    spec: &'static Spec,
    word: &Word,
    words: &mut Words<'_>,
) -> Result<(&'static str, Vec<u8>), WordError> {
    let known = spec.options.iter().find(|(name, _)| name.as_bytes() == word.bytes);
    let Some(&(name, kind)) = known else {
        let name = escaped(&word.bytes);
        let advice = spec.advice();
        return Err(format!("no option {name}: {advice}; quotes make it an ordinary word").into());
    };
    if kind == Kind::Flag {
        return Ok((name, Vec::new()));
    }
    match words.next()? {
        Some(value) => Ok((name, value.bytes)),
        None => Err(format!("{name} needs a word behind it: {}", spec.advice()).into()),
    }
}

/// A name, which is text.
fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .map_err(|error| format!("{} is no name: it is not UTF-8", escaped(error.as_bytes())))
}

fn about(name: Vec<u8>) -> Result<About, String> {
    let name = name.to_ascii_lowercase();
    if let Some(topic) = Topic::named(&name) {
        return Ok(About::Topic(topic));
    }
    Spec::meant(&name).map(About::Command).ok_or_else(|| unknown(&name))
}

#[cfg(unix)]
fn path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    String::from_utf8(bytes)
        .map(PathBuf::from)
        .map_err(|error| format!("{} names no file here: not UTF-8", escaped(error.as_bytes())))
}

#[cfg(test)]
mod tests;
