//! Where answers go and how they look: for a person, in colours or not, or as JSON for a program.
//!
//! With `--json` each answer is one line holding one JSON object. Bytes are strings where they are
//! UTF-8, and `{"base64": "…"}` where not, as in the JSON lines of `import` and `export`.

use std::io::{self, Write};

use serde_json::{Value, json};

/// How answers look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) json: bool,
    pub(crate) colour: bool,
    /// Whether they go to a terminal.
    pub(crate) terminal: bool,
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    Bar,
    Error,
    Faint,
    Key,
    Title,
}

impl Look {
    /// `text` in the colour of what it is, if there are colours.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        if !self.colour {
            return text.into();
        }
        let code = match ink {
            Ink::Bar => "36",
            Ink::Error => "1;31",
            Ink::Faint => "2",
            Ink::Key => "32",
            Ink::Title => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Where the answers of one command go.
pub(crate) struct Output<'a> {
    pub(crate) to: &'a mut dyn Write,
    pub(crate) look: Look,
}

impl Output<'_> {
    /// Answers a command that has nothing else to say.
    pub(crate) fn ok(&mut self) -> io::Result<()> {
        self.say("ok", || json!({"ok": true}))
    }

    /// Answers with a line of text, or with what it says as JSON.
    pub(crate) fn say(&mut self, text: &str, json: impl FnOnce() -> Value) -> io::Result<()> {
        if self.look.json { writeln!(self.to, "{}", json()) } else { writeln!(self.to, "{text}") }
    }

    /// Says something on standard error, apart from the answers.
    pub(crate) fn note(&mut self, text: &str, json: impl FnOnce() -> Value) {
        let _ = match self.look.json {
            true => writeln!(io::stderr(), "{}", json()),
            false => writeln!(io::stderr(), "{}", harmless(text)),
        };
    }
}

/// A message without control characters: a file's name may hold some, and a terminal obeys them.
pub(crate) fn harmless(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for character in message.chars() {
        match character {
            '\n' | '\t' => text.push(character),
            _ if character.is_control() => text.extend(character.escape_default()),
            _ => text.push(character),
        }
    }
    text
}

/// Whether the terminal can only print one line after the other.
pub(crate) fn is_dumb() -> bool {
    let term = std::env::var_os("TERM").unwrap_or_default();
    ["dumb", "cons25", "emacs"].iter().any(|name| term.eq_ignore_ascii_case(name))
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Any bytes as JSON.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    let value = serde_json::to_value(crate::rows::json::Bytes(bytes));
    value.expect("a string and a map of strings are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_json_only_where_they_are_wanted() {
        let colour = Look { colour: true, ..Look::default() };
        assert_eq!(colour.paint(Ink::Key, "k"), "\x1b[32mk\x1b[0m");
        assert_eq!(Look::default().paint(Ink::Key, "k"), "k");
        for (json, want) in [(false, "ok\n"), (true, "{\"ok\":true}\n")] {
            let mut out = Vec::new();
            Output { to: &mut out, look: Look { json, ..Look::default() } }.ok().unwrap();
            assert_eq!(out, want.as_bytes());
        }
        assert_eq!(harmless("é\n\x1b[2J\u{9b}"), "é\n\\u{1b}[2J\\u{9b}");
        assert_eq!(bytes("é\n".as_bytes()).to_string(), r#""é\n""#);
        assert_eq!(bytes(b"\xff").to_string(), r#"{"base64":"/w=="}"#);
    }
}
