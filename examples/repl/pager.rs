//! Long answers at a terminal, a screenful at a time.
//!
//! Stands between a command and the output, so that no command knows of it. A reader who has seen
//! enough ends the command by an error of its output, which [`is_stop`] knows again.

use std::fmt;
use std::io::{self, Write};

/// The size of a screen in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
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

/// Output that stops at the end of each page and asks whether to go on.
pub(crate) struct Paged<'a> {
    to: &'a mut dyn Write,
    ask: &'a mut dyn FnMut(&mut dyn Write) -> io::Result<bool>,
    page: Page,
    /// Full lines of this page, and characters in the line under way.
    lines: usize,
    columns: usize,
    /// Whether a colour is being switched, which takes no room.
    in_escape: bool,
    stopped: bool,
}

impl<'a> Paged<'a> {
    pub(crate) fn new(
        to: &'a mut dyn Write,
        page: Page,
        ask: &'a mut dyn FnMut(&mut dyn Write) -> io::Result<bool>,
    ) -> Self {
        Self { to, ask, page, lines: 0, columns: 0, in_escape: false, stopped: false }
    }

    /// Counts a byte; true if a line of the screen is full behind it.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_escape {
            self.in_escape = !byte.is_ascii_alphabetic();
            return false;
        }
        match byte {
            b'\n' => {
                self.columns = 0;
                return true;
            }
            0x1b => self.in_escape = true,
            b'\t' => self.columns = self.columns / 8 * 8 + 8,
            // What continues a character; the first byte was counted.
            0x80..=0xbf => {}
            _ => self.columns += 1,
        }
        let full = self.columns > self.page.columns;
        if full {
            self.columns = 1;
        }
        full
    }
}

impl Write for Paged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopped {
            return Err(io::Error::other(Stop));
        }
        // One line is kept for the question.
        if self.lines + 1 >= self.page.rows.max(2) && !bytes.is_empty() {
            self.to.flush()?;
            self.lines = 0;
            if !(self.ask)(self.to)? {
                self.stopped = true;
                return Err(io::Error::other(Stop));
            }
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
        let (mut out, mut asked) = (Vec::new(), 0);
        let mut ask = |out: &mut dyn Write| {
            asked += 1;
            out.write_all(b"|")?;
            Ok(asked < pages)
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
        // What began as an error of the real output is no wish of the reader.
        assert!(!is_stop(&io::Error::from(io::ErrorKind::BrokenPipe)));
    }
}
