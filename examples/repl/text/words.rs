//! Words and quotes: what was typed, taken apart. Pure.
//!
//! | written | stands for |
//! |---|---|
//! | `word` | itself up to the next blank, escapes undone; a quote inside is itself |
//! | `'…'` | itself, newlines and backslashes included, up to the next `'` |
//! | `"…"` | itself, newlines included, escapes undone |
//!
//! Escapes are those of [`crate::text::escape`].

use crate::text::escape::{escape, unescape, unescape_one};

/// Why a word cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WordError {
    /// This quote is still open: the text goes on with the next line.
    Unfinished { quote: u8 },
    /// What is wrong, and what would be right.
    Wrong(String),
}

impl From<String> for WordError {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) bytes: Vec<u8>,
    pub(crate) quoted: bool,
}

impl Word {
    /// Whether it is this option. A quoted word is none, so that anything can be named.
    pub(crate) fn is_option(&self) -> bool {
        !self.quoted && self.bytes.starts_with(b"--")
    }
}

/// The words of a text that are left.
pub(crate) struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Bytes that no word was made of yet.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether the next word is `word`, written without quotes.
    pub(crate) fn begin_with(&self, word: &str) -> bool {
        let behind = self.rest.trim_ascii_start().strip_prefix(word.as_bytes());
        behind.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    }
}

impl Words<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<Word>, WordError> {
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

    fn single_quoted(&mut self) -> Result<Word, WordError> {
        let inside = &self.rest[1..];
        let end = inside.iter().position(|&byte| byte == b'\'');
        let end = end.ok_or(WordError::Unfinished { quote: b'\'' })?;
        let bytes = inside[..end].to_vec();
        self.close(&inside[end + 1..], bytes)
    }

    fn double_quoted(&mut self) -> Result<Word, WordError> {
        let mut inside = &self.rest[1..];
        let mut bytes = Vec::new();
        loop {
            let end = inside.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let end = end.ok_or(WordError::Unfinished { quote: b'"' })?;
            bytes.extend_from_slice(&inside[..end]);
            let behind = &inside[end + 1..];
            if inside[end] == b'"' {
                return self.close(behind, bytes);
            }
            inside = unescape_one(behind, &mut bytes)?;
        }
    }

    /// Ends a quoted word, which only a blank may follow.
    fn close(&mut self, behind: &[u8], bytes: Vec<u8>) -> Result<Word, WordError> {
        if behind.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(WordError::Wrong(
                r#"text right after a closing quote; write \" or \' for a quote in the text"#
                    .into(),
            ));
        }
        // By its length: `behind` need not live as long as the input.
        self.rest = &self.rest[self.rest.len() - behind.len()..];
        Ok(Word { bytes, quoted: true })
    }

    /// The value of `store`: a quoted word, or else all that is left; `None` if nothing is.
    pub(crate) fn value(&mut self) -> Result<Option<Vec<u8>>, WordError> {
        let rest = self.rest.trim_ascii();
        if matches!(rest.first(), None | Some(b'\'' | b'"')) {
            return Ok(self.next()?.map(|word| word.bytes));
        }
        let mut value = Vec::with_capacity(rest.len());
        unescape(rest, &mut value)?;
        self.rest = &[];
        Ok(Some(value))
    }
}

/// The word that stands for `bytes`: bare if it can be, else in double quotes.
pub(crate) fn quote(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 2);
    escape(bytes, &mut text);
    let plain = !matches!(text.first(), None | Some(b'\'' | b'"'))
        && !text.starts_with(b"--")
        && !text.iter().any(u8::is_ascii_whitespace);
    if plain {
        return text;
    }
    let mut quoted = vec![b'"'];
    for byte in text {
        if byte == b'"' {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}
