//! What the user typed, as a [`Command`]: words, quotes and the grammar of each command. Pure.
//!
//! | written | stands for |
//! |---|---|
//! | `word` | itself up to the next blank, escapes undone; a quote inside is itself |
//! | `'…'` | itself, newlines and backslashes included, up to the next `'` |
//! | `"…"` | itself, newlines included, escapes undone |
//!
//! Escapes are those of [`crate::escape`]. A value that does not begin with a quote is the rest of
//! its line, blanks inside kept and those around it dropped, escapes undone: `store k it's 1, 2`.
//! Names of commands may be in upper or lower case; keys are taken as they are.

use std::path::PathBuf;

use crate::escape::{escaped, unescape, unescape_one};
use crate::rows::Format;

/// One command, ready to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Store { key: Vec<u8>, value: Vec<u8> },
    Get { key: Vec<u8> },
    Delete { key: Vec<u8> },
    Scan { from: Option<Vec<u8>>, to: Option<Vec<u8>> },
    Import(ImportRequest),
    Flush,
    Stats,
    Help,
    Exit,
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

/// Why there is no command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// This quote is still open: the text goes on with the next line.
    Unfinished { quote: u8 },
    /// What is wrong, and what would be right.
    Wrong(String),
}

impl From<String> for ParseError {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

/// Each command as it is written, and what it does.
pub(crate) const USAGE: [(&str, &str); 9] = [
    ("store KEY VALUE", "set KEY to VALUE; without quotes, VALUE is the rest of the line"),
    ("get KEY", "print the value of KEY"),
    ("delete KEY", "remove KEY"),
    ("scan [FROM] [TO]", "print the keys from FROM up to, not including, TO with their values"),
    ("import FILE [--format tsv|csv|jsonl] [--header] [--ack] [--progress]", "store each row"),
    ("flush", "move what is in memory into a segment file"),
    ("stats", "print the state of the engine"),
    ("help", "print this text"),
    ("exit", "leave; so does the end of the input"),
];

/// Reads one command; `None` if there are only blanks.
pub(crate) fn parse(text: &[u8]) -> Result<Option<Command>, ParseError> {
    let mut words = Words { rest: text };
    let Some(name) = words.next()? else { return Ok(None) };
    let name = name.bytes.to_ascii_lowercase();
    let command = match &*name {
        b"store" => Command::Store { key: words.needed("store")?, value: words.value()? },
        b"get" => Command::Get { key: words.needed("get")? },
        b"delete" => Command::Delete { key: words.needed("delete")? },
        b"scan" => Command::Scan { from: words.optional()?, to: words.optional()? },
        b"import" => Command::Import(import(&mut words)?),
        b"flush" => Command::Flush,
        b"stats" => Command::Stats,
        b"help" => Command::Help,
        b"exit" => Command::Exit,
        _ => {
            let name = escaped(&name);
            return Err(format!("there is no command {name}; help lists the commands").into());
        }
    };
    if let Some(extra) = words.next()? {
        let name = std::str::from_utf8(&name).expect("the name matched one in ASCII");
        let extra = escaped(&extra.bytes);
        return Err(format!("{extra} is one word too many: {}", usage(name)).into());
    }
    Ok(Some(command))
}

/// How the command is written, for a message.
fn usage(name: &str) -> String {
    let line = USAGE.iter().find(|(line, _)| line.split(' ').next() == Some(name));
    let (line, _) = line.expect("every command has its line");
    format!("write {line}, with quotes around a KEY that holds blanks")
}

/// The words of `import`: a file, and options before or after it.
fn import(words: &mut Words<'_>) -> Result<ImportRequest, ParseError> {
    let mut request = ImportRequest::default();
    let mut file = None;
    while let Some(word) = words.next()? {
        // A quoted word is never an option, so that any file can be named.
        match &*word.bytes {
            b"--header" if !word.quoted => request.header = true,
            b"--ack" if !word.quoted => request.ack = true,
            b"--progress" if !word.quoted => request.progress = true,
            b"--format" if !word.quoted => {
                let name = words.next()?.map(|word| word.bytes).unwrap_or_default();
                let format = std::str::from_utf8(&name).ok().and_then(Format::named);
                request.format = Some(format.ok_or_else(|| {
                    format!("--format takes tsv, csv or jsonl, and got {:?}", escaped(&name))
                })?);
            }
            option if option.starts_with(b"--") && !word.quoted => {
                return Err(format!("no option {}: {}", escaped(option), usage("import")).into());
            }
            _ if file.is_none() => file = Some(path(word.bytes)?),
            extra => {
                let extra = escaped(extra);
                return Err(format!("{extra} is one word too many: {}", usage("import")).into());
            }
        }
    }
    request.file = file.ok_or_else(|| format!("the file is missing: {}", usage("import")))?;
    Ok(request)
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

struct Word {
    bytes: Vec<u8>,
    quoted: bool,
}

/// The words that are left.
struct Words<'a> {
    rest: &'a [u8],
}

impl Words<'_> {
    fn next(&mut self) -> Result<Option<Word>, ParseError> {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.first() {
            None => return Ok(None),
            Some(b'\'') => return self.single_quoted().map(Some),
            Some(b'"') => return self.double_quoted().map(Some),
            Some(_) => {}
        }
        // No escape stands on a blank, so the word ends at the first one, escaped or not.
        let end = self.rest.iter().position(u8::is_ascii_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let mut bytes = Vec::with_capacity(end);
        unescape(word, &mut bytes)?;
        self.rest = rest;
        Ok(Some(Word { bytes, quoted: false }))
    }

    fn single_quoted(&mut self) -> Result<Word, ParseError> {
        let inside = &self.rest[1..];
        let end = inside.iter().position(|&byte| byte == b'\'');
        let end = end.ok_or(ParseError::Unfinished { quote: b'\'' })?;
        let bytes = inside[..end].to_vec();
        self.close(&inside[end + 1..], bytes)
    }

    fn double_quoted(&mut self) -> Result<Word, ParseError> {
        let mut inside = &self.rest[1..];
        let mut bytes = Vec::new();
        loop {
            let end = inside.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let end = end.ok_or(ParseError::Unfinished { quote: b'"' })?;
            bytes.extend_from_slice(&inside[..end]);
            let behind = &inside[end + 1..];
            if inside[end] == b'"' {
                return self.close(behind, bytes);
            }
            inside = unescape_one(behind, &mut bytes)?;
        }
    }

    /// Ends a quoted word, which only a blank may follow.
    fn close(&mut self, behind: &[u8], bytes: Vec<u8>) -> Result<Word, ParseError> {
        if behind.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(ParseError::Wrong(
                r#"text right after a closing quote; write \" or \' for a quote in the text"#
                    .into(),
            ));
        }
        // By length, because `behind` is not known to live as long as the input.
        self.rest = &self.rest[self.rest.len() - behind.len()..];
        Ok(Word { bytes, quoted: true })
    }

    fn optional(&mut self) -> Result<Option<Vec<u8>>, ParseError> {
        Ok(self.next()?.map(|word| word.bytes))
    }

    fn needed(&mut self, name: &str) -> Result<Vec<u8>, ParseError> {
        let word = self.optional()?;
        Ok(word.ok_or_else(|| format!("the key is missing: {}", usage(name)))?)
    }

    /// The value of `store`: a quoted word, or else all that is left.
    fn value(&mut self) -> Result<Vec<u8>, ParseError> {
        let rest = self.rest.trim_ascii();
        match rest.first() {
            None => {
                Err(format!(r#"the value is missing: {}; "" is the empty value"#, usage("store"))
                    .into())
            }
            Some(b'\'' | b'"') => Ok(self.optional()?.expect("there is a quote to begin a word")),
            Some(_) => {
                let mut value = Vec::with_capacity(rest.len());
                unescape(rest, &mut value)?;
                self.rest = &[];
                Ok(value)
            }
        }
    }
}

#[cfg(test)]
mod tests;
