//! What the user typed, as a [`Command`]: the grammar of each command. Pure.
//!
//! Words and quotes are those of [`crate::words`], the commands those of [`crate::spec`]. A value
//! that does not begin with a quote is the rest of its line, blanks inside kept and those around it
//! dropped, escapes undone: `store k it's 1, 2`. Names of commands may be in upper or lower case;
//! keys are taken as they are. Only a command that has options takes a word that begins with `--`
//! for one, and a quoted word never is one.

use std::path::PathBuf;

use crate::escape::escaped;
use crate::rows::Format;
use crate::size;
use crate::spec::{Kind, SPECS, Spec, unknown};
use crate::words::{Word, WordError, Words};

/// One command, ready to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Store { key: Vec<u8>, value: Vec<u8> },
    Get { key: Vec<u8>, at: Option<String> },
    Delete { key: Vec<u8> },
    Scan(ScanRequest),
    Keyspaces,
    Use { name: String },
    Drop { name: String },
    Snapshot { name: Option<String> },
    Snapshots,
    Release { name: String },
    Batch,
    Commit,
    Abort,
    Import(ImportRequest),
    Export(ExportRequest),
    Sync,
    Flush,
    Stats,
    Segments { all: bool },
    Explain { key: Vec<u8>, at: Option<String> },
    Verify,
    Compact { extent: Option<Extent> },
    PauseCompaction,
    ResumeCompaction,
    SetThreshold { bytes: u64 },
    LoadIndex,
    SaveIndexSnapshot { file: PathBuf },
    LoadIndexSnapshot { file: PathBuf },
    Help { command: Option<&'static Spec> },
    Exit,
}

/// Which keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Between { from: Option<Vec<u8>>, to: Option<Vec<u8>> },
    Prefix(Vec<u8>),
}

/// What `scan` or `prefix` was asked to print.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScanRequest {
    pub(crate) extent: Extent,
    pub(crate) reverse: bool,
    /// `None` is all.
    pub(crate) limit: Option<u64>,
    /// The snapshot to read at.
    pub(crate) at: Option<String>,
}

/// What `import` was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportRequest {
    /// The file to read.
    pub(crate) file: PathBuf,
    /// `None` goes by the extension of the file.
    pub(crate) format: Option<Format>,
    /// Whether the first row only names the columns.
    pub(crate) header: bool,
    /// Whether to print a line for each acknowledged batch.
    pub(crate) ack: bool,
    /// Whether to report progress although standard error is no terminal.
    pub(crate) progress: bool,
}

/// What `export` was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportRequest {
    /// The file to write.
    pub(crate) file: PathBuf,
    /// `None` goes by the extension of the file.
    pub(crate) format: Option<Format>,
    /// The snapshot to read at.
    pub(crate) at: Option<String>,
}

/// Reads one command; `None` if there are only blanks.
pub(crate) fn parse(text: &[u8]) -> Result<Option<Command>, WordError> {
    let mut words = Words::new(text);
    let Some(name) = words.next()? else { return Ok(None) };
    let name = name.bytes.to_ascii_lowercase();
    let spec = Spec::named(&name).ok_or_else(|| unknown(&name))?;
    let mut given = Given::read(spec, &mut words)?;
    let command = match spec.name {
        "store" => Command::Store { key: given.needed(), value: given.needed() },
        "get" => Command::Get { key: given.needed(), at: given.text("--at")? },
        "delete" => Command::Delete { key: given.needed() },
        "scan" => {
            let extent = Extent::Between { from: given.next(), to: given.next() };
            Command::Scan(given.scan(extent)?)
        }
        "prefix" => {
            let extent = Extent::Prefix(given.needed());
            Command::Scan(given.scan(extent)?)
        }
        "keyspaces" => Command::Keyspaces,
        "use" => Command::Use { name: given.name()? },
        "drop" => Command::Drop { name: given.name()? },
        "snapshot" => Command::Snapshot { name: given.next().map(utf8).transpose()? },
        "snapshots" => Command::Snapshots,
        "release" => Command::Release { name: given.name()? },
        "batch" => Command::Batch,
        "commit" => Command::Commit,
        "abort" => Command::Abort,
        "import" => Command::Import(ImportRequest {
            file: path(given.needed())?,
            format: given.format()?,
            header: given.option("--header").is_some(),
            ack: given.option("--ack").is_some(),
            progress: given.option("--progress").is_some(),
        }),
        "export" => Command::Export(ExportRequest {
            file: path(given.needed())?,
            format: given.format()?,
            at: given.text("--at")?,
        }),
        "sync" => Command::Sync,
        "flush" => Command::Flush,
        "stats" => Command::Stats,
        "segments" => Command::Segments { all: given.option("--all").is_some() },
        "explain" => Command::Explain { key: given.needed(), at: given.text("--at")? },
        "verify" => Command::Verify,
        "compact" => Command::Compact { extent: given.extent() },
        "pause_compaction" => Command::PauseCompaction,
        "resume_compaction" => Command::ResumeCompaction,
        "set_threshold" => Command::SetThreshold { bytes: given.size()? },
        "load_index" => Command::LoadIndex,
        "save_index_snapshot" => Command::SaveIndexSnapshot { file: path(given.needed())? },
        "load_index_snapshot" => Command::LoadIndexSnapshot { file: path(given.needed())? },
        "help" => Command::Help { command: given.next().map(command_named).transpose()? },
        "exit" => Command::Exit,
        name => unreachable!("{name} is in the table of commands and not here"),
    };
    Ok(Some(command))
}

/// The words and options that a command was given; every needed word is there.
struct Given {
    words: std::vec::IntoIter<Vec<u8>>,
    options: Vec<(&'static str, Vec<u8>)>,
}

impl Given {
    fn read(spec: &'static Spec, words: &mut Words<'_>) -> Result<Self, WordError> {
        let (mut found, mut options) = (Vec::new(), Vec::new());
        while let Some(word) = next(spec, found.len(), words)? {
            if word.is_option() && !spec.options.is_empty() {
                let (name, value) = option(spec, &word, words)?;
                if options.iter().any(|(given, _)| *given == name) {
                    return Err(format!("{name} is given twice: {}", spec.advice()).into());
                }
                options.push((name, value));
            } else if found.len() < spec.places.len() {
                found.push(word.bytes);
            } else {
                let extra = escaped(&word.bytes);
                return Err(format!("{extra} is one word too many: {}", spec.advice()).into());
            }
        }
        if let Some(place) = spec.places.get(found.len()).filter(|place| place.needed) {
            let (what, advice) = (place.what, spec.advice());
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

    fn scan(&mut self, extent: Extent) -> Result<ScanRequest, String> {
        let limit = self.option("--limit").map(|count| {
            size::count(&count)
                .ok_or_else(|| format!("--limit takes a number, and got {:?}", escaped(&count)))
        });
        Ok(ScanRequest {
            extent,
            reverse: self.option("--reverse").is_some(),
            limit: limit.transpose()?,
            at: self.text("--at")?,
        })
    }
}

/// The next word, after `found` of them. The value of `store` is the rest of its line.
fn next(spec: &Spec, found: usize, words: &mut Words<'_>) -> Result<Option<Word>, WordError> {
    if spec.name == "store" && found == 1 {
        return Ok(words.value()?.map(|bytes| Word { bytes, quoted: true }));
    }
    words.next()
}

/// An option of the command with its value.
fn option(
    spec: &'static Spec,
    word: &Word,
    words: &mut Words<'_>,
) -> Result<(&'static str, Vec<u8>), WordError> {
    let known = spec.options.iter().find(|(name, _)| name.as_bytes() == word.bytes);
    let Some(&(name, kind)) = known else {
        let (name, advice) = (escaped(&word.bytes), spec.advice());
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

fn command_named(name: Vec<u8>) -> Result<&'static Spec, String> {
    let name = name.to_ascii_lowercase();
    SPECS.iter().find(|spec| spec.name.as_bytes() == name).ok_or_else(|| unknown(&name))
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
