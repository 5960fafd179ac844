//! Where commands come from: lines of a file or of a program. A terminal is in
//! [`crate::session::terminal`].

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::print::pager::{More, Page};
use crate::shell::Shell;

/// What came of asking for a line.
#[derive(Debug)]
pub(crate) enum Got {
    /// It was appended, with its newline where it had one.
    Line,
    /// The person wants to begin the command again.
    Interrupted,
    /// A byte that is no part of a character was typed, and the line is gone.
    Garbled,
    Unreadable(io::Error),
    End,
}

/// Lines, one after the other.
pub(crate) trait Source {
    /// Appends the next line to `text`. `shell` is given for the first line of a command. An error
    /// is one of the output.
    fn line(
        &mut self,
        shell: Option<&Shell>,
        out: &mut dyn Write,
        text: &mut Vec<u8>,
    ) -> io::Result<Got>;

    /// Keeps a whole command, for the history.
    fn remember(&mut self, _command: &[u8]) {}

    /// The size of the screen, if answers are to stop at its end and wait for the reader.
    fn page(&mut self) -> Option<Page> {
        None
    }

    /// Asks the reader at the end of a page what to print next.
    fn more(&mut self, _out: &mut dyn Write) -> io::Result<More> {
        Ok(More::Page)
    }

    /// Asks a person, if there is one, to say yes or no.
    fn ask(&mut self, _out: &mut dyn Write, _question: &str) -> io::Result<Option<bool>> {
        Ok(None)
    }
}

/// Whether an answer is a yes.
pub(crate) fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

/// The lines of a file, of a pipe, or of text.
pub(crate) struct Lines<R>(pub(crate) BufReader<R>);

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self(BufReader::new(input))
    }
}

impl<R: Read> Source for Lines<R> {
    fn line(
        &mut self,
        _shell: Option<&Shell>,
        out: &mut dyn Write,
        text: &mut Vec<u8>,
    ) -> io::Result<Got> {
        // An answer is written before this waits for the next line. A script that is already here
        // need not pay a system call for each answer.
        if !self.0.buffer().contains(&b'\n') {
            out.flush()?;
        }
        Ok(match self.0.read_until(b'\n', text) {
            Ok(0) => Got::End,
            Ok(_) => Got::Line,
            Err(error) => Got::Unreadable(error),
        })
    }
}
