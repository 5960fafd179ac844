//! Long answers at a terminal, a screenful at a time.
//!
//! It stands between a command and the output, so that no command knows of it. A reader who has
//! seen enough ends the command by an error of its output, which [`is_stop`] recognises.

use std::fmt;
use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

/// The size of a screen in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// What the reader wants at the end of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    Page,
    Line,
    Enough,
}

/// The question at the end of a page, no wider than the screen. At a `plain` terminal it is
/// answered with a line.
pub(crate) fn question(columns: usize, plain: bool) -> &'static str {
    let texts = match plain {
        true => ["-- more -- (enter: next page, q enter: enough)", "-- more -- (enter, q enter)"],
        false => ["-- more -- (space: page, enter: line, q: enough)", "-- more -- (space/enter/q)"],
    };
    // The cursor needs a cell behind it.
    let fitting = texts.into_iter().find(|text| text.len() + 2 <= columns);
    fitting.unwrap_or(if columns > 11 { "-- more --" } else { "more" })
}

/// The size of the terminal that this program prints to.
pub(crate) fn screen() -> Option<Page> {
    #[cfg(unix)]
    {
        use rustix::termios::tcgetwinsize;
        let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr()));
        let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0)?;
        Some(Page { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }
    #[cfg(not(unix))]
    None
}

/// The reader has seen enough.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader has seen enough")
    }
}

impl std::error::Error for Stop {}

/// Whether the output ended because the reader wanted it to.
pub(crate) fn is_stop(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stop>())
}

/// Output that stops at the end of each page and asks how to go on.
pub(crate) struct Paged<'a> {
    to: &'a mut dyn Write,
    ask: &'a mut dyn FnMut(&mut dyn Write) -> io::Result<More>,
    page: Page,
    /// Full lines of this page, and cells in the line under way.
    lines: usize,
    columns: usize,
    /// The first bytes of a character, until the others come.
    partial: Vec<u8>,
    /// Whether a colour is being switched, which takes no room.
    in_escape: bool,
    stopped: bool,
}

impl<'a> Paged<'a> {
    pub(crate) fn new(
        to: &'a mut dyn Write,
        page: Page,
        ask: &'a mut dyn FnMut(&mut dyn Write) -> io::Result<More>,
    ) -> Self {
        Self {
            to,
            ask,
            page,
            lines: 0,
            columns: 0,
            partial: Vec::new(),
            in_escape: false,
            stopped: false,
        }
    }

    /// Counts a byte; true if a line of the screen is full behind it.
    fn step(&mut self, byte: u8) -> bool {
        if byte.is_ascii() && self.partial.is_empty() {
            return self.character(char::from(byte));
        }
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let character = text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                self.partial.clear();
                self.character(character)
            }
            Err(error) if error.error_len().is_none() => false,
            Err(_) => {
                self.partial.clear();
                self.character(char::REPLACEMENT_CHARACTER)
            }
        }
    }

    fn character(&mut self, character: char) -> bool {
        if self.in_escape {
            self.in_escape = !character.is_ascii_alphabetic();
            return false;
        }
        match character {
            '\n' => {
                self.columns = 0;
                return true;
            }
            '\x1b' => self.in_escape = true,
            // The last stop is the last column.
            '\t' => self.columns = (self.columns / 8 * 8 + 8).min(self.page.columns),
            _ => {
                let cells = character.width().unwrap_or(0);
                self.columns += cells;
                // A character that is wider than the rest of the line goes to the next one.
                if self.columns > self.page.columns {
                    self.columns = cells;
                    return true;
                }
            }
        }
        false
    }

    /// Asks at the end of a page, once there is more to print.
    fn turn(&mut self) -> io::Result<()> {
        self.to.flush()?;
        match (self.ask)(self.to)? {
            More::Page => self.lines = 0,
            More::Line => self.lines = self.lines.saturating_sub(1),
            More::Enough => {
                self.stopped = true;
                return Err(io::Error::other(Stop));
            }
        }
        Ok(())
    }
}

impl Write for Paged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopped {
            return Err(io::Error::other(Stop));
        }
        // One line is kept for the question.
        if self.lines + 1 >= self.page.rows.max(2) && !bytes.is_empty() {
            self.turn()?;
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if self.step(byte) {
                self.lines += 1;
                if self.lines + 1 >= self.page.rows.max(2) {
                    self.to.write_all(&bytes[..=at])?;
                    return Ok(at + 1);
                }
            }
        }
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed on a screen of 4 lines of 10, if `pages` pages are enough. `|` is the
    /// question.
    fn print(text: &str, pages: usize) -> (String, bool) {
        print_by(More::Page, text, pages)
    }

    fn print_by(more: More, text: &str, pages: usize) -> (String, bool) {
        let mut out = Vec::new();
        let mut asked = 0;
        let mut ask = |out: &mut dyn Write| {
            asked += 1;
            out.write_all(b"|")?;
            Ok(if asked < pages { more } else { More::Enough })
        };
        let page = Page { columns: 10, rows: 4 };
        let done = Paged::new(&mut out, page, &mut ask).write_all(text.as_bytes());
        let stopped = done.is_err_and(|error| is_stop(&error));
        (String::from_utf8(out).unwrap(), stopped)
    }

    #[test]
    fn a_page_is_a_screen_less_the_question() {
        let eight = "1\n2\n3\n4\n5\n6\n7\n8\n";
        assert_eq!(print(eight, 9), ("1\n2\n3\n|4\n5\n6\n|7\n8\n".into(), false));
        assert_eq!(print(eight, 1), ("1\n2\n3\n|".into(), true));
        assert_eq!(print(eight, 2), ("1\n2\n3\n|4\n5\n6\n|".into(), true));
        assert_eq!(print("1\n2\n3\n", 1), ("1\n2\n3\n".into(), false));
        assert_eq!(print("", 1), (String::new(), false));
        assert_eq!(print_by(More::Line, eight, 3), ("1\n2\n3\n|4\n|5\n|".into(), true));
    }

    #[test]
    fn long_lines_count_as_what_they_take() {
        assert_eq!(print("1234567890\n2\n3\n4\n", 9).0, "1234567890\n2\n3\n|4\n");
        assert_eq!(print("12345678901\n3\n4\n", 9).0, "12345678901\n3\n|4\n");
        assert_eq!(print("éééééééééé\n2\n3\n4\n", 9).0, "éééééééééé\n2\n3\n|4\n");
        let colours = "\x1b[32m1234567890\x1b[0m\n2\n3\n4\n";
        assert_eq!(print(colours, 9).0, "\x1b[32m1234567890\x1b[0m\n2\n3\n|4\n");
        assert_eq!(print("a\t12\n2\n3\n4\n", 9).0, "a\t12\n2\n3\n|4\n");
        assert_eq!(print("a\t123\n3\n4\n", 9).0, "a\t123\n3\n|4\n");
        assert_eq!(print("123456789\t\n2\n3\n4\n", 9).0, "123456789\t\n2\n3\n|4\n");
        // Wide characters take two cells, and none is cut in two; marks take none.
        assert_eq!(print("日本日本日\n2\n3\n4\n", 9).0, "日本日本日\n2\n3\n|4\n");
        assert_eq!(print("a日本日本日\n3\n4\n", 9).0, "a日本日本日\n3\n|4\n");
        let accent = "e\u{301}234567890\n2\n3\n4\n";
        assert_eq!(print(accent, 9).0, "e\u{301}234567890\n2\n3\n|4\n");
        // What began as an error of the real output is no wish of the reader.
        assert!(!is_stop(&io::Error::from(io::ErrorKind::BrokenPipe)));
    }

    #[test]
    fn the_question_fits_the_screen() {
        for columns in 6..120 {
            for plain in [false, true] {
                assert!(question(columns, plain).len() < columns, "{columns}");
            }
        }
        assert!(question(80, false).contains("space") && question(80, true).contains("q enter"));
    }
}
