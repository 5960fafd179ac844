//! Commands typed at a terminal that can only print one line after the other, as `TERM=dumb` says:
//! nothing is edited, and a question is answered with a line.

use std::io::{self, Read, Write};

use crate::files::interrupt::is_interrupt;
use crate::print::pager::{More, Page, question, screen};
use crate::session::source::{Got, Lines, Source, is_yes};
use crate::shell::Shell;

const CONTINUED: &str = "     ...> ";

pub(crate) struct Plain<R> {
    lines: Lines<R>,
    /// A command that was the answer to another question.
    begun: Vec<u8>,
}

impl<R: Read> Plain<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { lines: Lines::new(input), begun: Vec::new() }
    }

    /// Asks, and reads a line; `None` at the end of the input, or after an interrupt.
    fn answer(&mut self, out: &mut dyn Write, question: &str) -> io::Result<Option<Vec<u8>>> {
        write!(out, "{question} ")?;
        let mut text = Vec::new();
        out.flush()?;
        Ok(match self.lines.line(None, out, &mut text)? {
            Got::Line => Some(text),
            Got::Interrupted | Got::Garbled | Got::Unreadable(_) | Got::End => {
                out.write_all(b"\n")?;
                None
            }
        })
    }
}

impl<R: Read> Source for Plain<R> {
    fn line(
        &mut self,
        shell: Option<&Shell>,
        out: &mut dyn Write,
        text: &mut Vec<u8>,
    ) -> io::Result<Got> {
        if !self.begun.is_empty() {
            text.append(&mut self.begun);
            return Ok(Got::Line);
        }
        out.write_all(shell.map_or(CONTINUED.into(), Shell::prompt).as_bytes())?;
        out.flush()?;
        let got = self.lines.line(shell, out, text)?;
        // The prompt's line is still open.
        match got {
            Got::Unreadable(error) if is_interrupt(&error) => {
                out.write_all(b"\n")?;
                Ok(Got::Interrupted)
            }
            Got::End => {
                out.write_all(b"\n")?;
                Ok(Got::End)
            }
            got => Ok(got),
        }
    }

    fn page(&mut self) -> Option<Page> {
        screen()
    }

    fn more(&mut self, out: &mut dyn Write) -> io::Result<More> {
        let columns = screen().map_or(80, |page| page.columns);
        let Some(answer) = self.answer(out, question(columns, true))? else {
            return Ok(More::Enough);
        };
        match answer.trim_ascii() {
            b"" => Ok(More::Page),
            b"q" | b"Q" => Ok(More::Enough),
            _ => {
                self.begun = answer;
                Ok(More::Enough)
            }
        }
    }

    fn ask(&mut self, out: &mut dyn Write, question: &str) -> io::Result<Option<bool>> {
        let answer = self.answer(out, &format!("{question} (y/n)"))?;
        Ok(Some(answer.is_some_and(|answer| is_yes(&String::from_utf8_lossy(&answer)))))
    }
}
