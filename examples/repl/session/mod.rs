//! The loop from input to commands: a terminal, a script on standard input, or the text of `-e`.
//!
//! A script ends at its first error, which names its line; at a terminal an error is printed and
//! the next command read. A command whose quote is open goes on with the next line.

pub(crate) mod plain;
pub(crate) mod source;
pub(crate) mod terminal;

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::commands::spec::{Job, Outcome};
use crate::files::input;
use crate::files::interrupt::is_interrupt;
use crate::print::output::{Ink, Look, Output, harmless};
use crate::print::pager::{Paged, is_stop};
use crate::session::source::{Got, Lines, Source};
use crate::shell::{Failure, Shell};
use crate::text::words::WordError;
use crate::typed::parse::parse;

/// Files that may source each other, one within the other.
const DEPTH_MAX: usize = 16;

const INTERRUPTED: &str = "interrupted";

/// Where commands come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A person, who may try again after an error.
    Terminal,
    /// A file or a program.
    Script,
    /// The text of `-e`: the exit status is to tell that a key is not there.
    Arguments,
}

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By the command `exit`.
    Exit,
    /// At the end of its input.
    Input,
    /// By a failed command, which has been reported.
    Failed,
    /// By the user, which has been reported.
    Interrupted,
}

/// A session under way: where commands come from and where answers and complaints go.
pub(crate) struct Session<'a> {
    pub(crate) shell: &'a mut Shell,
    pub(crate) mode: Mode,
    /// The input, for messages.
    pub(crate) name: String,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) look: Look,
    /// How complaints look: standard error may go elsewhere.
    pub(crate) err_look: Look,
    pub(crate) out: &'a mut dyn Write,
    pub(crate) err: &'a mut dyn Write,
    /// Whether a script goes on after an error.
    pub(crate) keep_going: bool,
    /// How many files have led here.
    pub(crate) depth: usize,
}

/// What the input holds next.
enum Next {
    Job(Job),
    Blank,
    Wrong(String),
    Unreadable(io::Error),
    End,
}

impl Session<'_> {
    /// Runs every command. The error is one of the output, to which nothing more can be said.
    pub(crate) fn run(mut self) -> io::Result<Ended> {
        let mut line = 0;
        loop {
            if self.shell.interrupt.is_asked() {
                if self.mode != Mode::Terminal {
                    self.complain(line + 1, INTERRUPTED);
                    return Ok(Ended::Interrupted);
                }
                self.shell.interrupt.clear();
            }
            let first = line + 1;
            let ended = match self.next(&mut line)? {
                Next::Blank => None,
                Next::End => Some(Ended::Input),
                Next::Unreadable(error) if is_interrupt(&error) => continue,
                Next::Unreadable(error) => {
                    self.out.flush()?;
                    self.complain(first, &format!("cannot read: {error}"));
                    Some(Ended::Failed)
                }
                Next::Wrong(message) => self.failed(first, &message)?,
                Next::Job(job) => self.timed(first, job)?,
            };
            if let Some(ended) = ended {
                self.out.flush()?;
                return Ok(ended);
            }
        }
    }

    /// Reports a failure; the session may end by it.
    fn failed(&mut self, line: u64, message: &str) -> io::Result<Option<Ended>> {
        self.out.flush()?;
        self.complain(line, message);
        if self.mode == Mode::Terminal {
            return Ok(None);
        }
        self.shell.unwell = true;
        Ok((!self.keep_going).then_some(Ended::Failed))
    }

    /// Runs a command, and tells how long it took if that is wanted.
    fn timed(&mut self, line: u64, job: Job) -> io::Result<Option<Ended>> {
        let timer = self.shell.timer;
        let started = Instant::now();
        let ended = self.command(line, job)?;
        if timer && self.shell.timer {
            self.out.flush()?;
            let seconds = started.elapsed().as_secs_f64();
            let _ = match self.err_look.json {
                true => writeln!(self.err, "{}", json!({"seconds": seconds})),
                false => writeln!(self.err, "took {seconds:.3} s"),
            };
        }
        Ok(ended)
    }

    /// Runs a command; the session may end by it.
    fn command(&mut self, line: u64, job: Job) -> io::Result<Option<Ended>> {
        let done = self.paged(job);
        self.settle(line, done)
    }

    /// Sees to the outcome of a command.
    fn settle(&mut self, line: u64, done: Result<Outcome, Failure>) -> io::Result<Option<Ended>> {
        match done {
            Ok(Outcome::Done) => Ok(None),
            Ok(Outcome::Exit) => Ok(Some(Ended::Exit)),
            Ok(Outcome::Source(file)) => self.source(line, &file),
            Ok(Outcome::Confirm { question, yes, no }) => {
                let done = match self.agreed(&question) {
                    Ok(true) => self.paged(yes),
                    Ok(false) => Err(no),
                    Err(error) => Err(error.into()),
                };
                self.settle(line, done)
            }
            Ok(Outcome::Absent { answer, complaint }) => {
                if self.mode == Mode::Arguments {
                    self.shell.unwell = true;
                    if let Some(complaint) = complaint {
                        self.out.flush()?;
                        self.complain(line, &complaint);
                    }
                } else if let Some(answer) = answer {
                    writeln!(self.out, "{}", self.look.paint(Ink::Faint, answer))?;
                }
                Ok(None)
            }
            Err(Failure::Output(error)) if is_stop(&error) => Ok(None),
            Err(Failure::Output(error)) if !is_interrupt(&error) => Err(error),
            Err(Failure::Output(_)) => self.interrupted(line, INTERRUPTED),
            Err(Failure::Interrupted(came)) => {
                self.interrupted(line, &format!("{INTERRUPTED}: {came}"))
            }
            Err(Failure::Message(message)) => self.failed(line, &message),
        }
    }

    /// Reports an interrupt, which ends a script.
    fn interrupted(&mut self, line: u64, message: &str) -> io::Result<Option<Ended>> {
        if self.mode != Mode::Terminal {
            // What nobody reads cannot be written, and is given up.
            let _ = self.out.flush();
            self.complain(line, message);
            return Ok(Some(Ended::Interrupted));
        }
        self.out.flush()?;
        self.complain(line, message);
        Ok(None)
    }

    /// Runs the commands of a file.
    fn source(&mut self, line: u64, file: &Path) -> io::Result<Option<Ended>> {
        if self.depth >= DEPTH_MAX {
            return self.failed(line, &format!("more than {DEPTH_MAX} files source each other"));
        }
        let input = match input::open(file, &self.shell.interrupt) {
            Ok(input) => input,
            Err(message) => return self.failed(line, &message),
        };
        let terminal = self.mode == Mode::Terminal;
        let inner = Session {
            shell: self.shell,
            mode: if terminal { Mode::Script } else { self.mode },
            name: file.display().to_string(),
            source: &mut Lines::new(input.reader),
            look: self.look,
            err_look: self.err_look,
            out: self.out,
            err: self.err,
            keep_going: self.keep_going,
            depth: self.depth + 1,
        };
        match inner.run()? {
            Ended::Exit => Ok(Some(Ended::Exit)),
            Ended::Input => Ok(None),
            Ended::Failed | Ended::Interrupted if terminal => Ok(None),
            Ended::Failed if self.keep_going => Ok(None),
            ended => Ok(Some(ended)),
        }
    }

    /// Whether a person is there and says yes.
    fn agreed(&mut self, question: &str) -> io::Result<bool> {
        let person = self.mode == Mode::Terminal;
        Ok(person && self.source.ask(self.out, question)? == Some(true))
    }

    /// Runs a command, a page at a time where a person reads what it prints.
    fn paged(&mut self, job: Job) -> Result<Outcome, Failure> {
        let look = self.look;
        let Some(page) = self.source.page().filter(|_| !look.json) else {
            return job(self.shell, &mut Output { to: self.out, look });
        };
        let source = &mut *self.source;
        let mut ask = |out: &mut dyn Write| source.more(out);
        let mut paged = Paged::new(self.out, page, &mut ask);
        job(self.shell, &mut Output { to: &mut paged, look })
    }

    /// Reads one command, which may take several lines, and counts these in `line`.
    fn next(&mut self, line: &mut u64) -> io::Result<Next> {
        let mut text = Vec::new();
        let mut open: Option<u8> = None;
        loop {
            let start = text.len();
            let shell = Some(&*self.shell).filter(|_| open.is_none());
            match self.source.line(shell, self.out, &mut text)? {
                Got::Line => {
                    *line += 1;
                    if *line == 1 && self.mode != Mode::Terminal {
                        match &text[..] {
                            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                                let message = "the script is UTF-16: save it as UTF-8";
                                return Ok(Next::Wrong(message.into()));
                            }
                            [0xef, 0xbb, 0xbf, ..] => drop(text.drain(..3)),
                            _ => {}
                        }
                    }
                }
                Got::Interrupted => return Ok(Next::Blank),
                Got::Garbled => {
                    let message = "a byte that is not UTF-8 was typed, and the line is dropped: \
                                   write such a byte as \\xNN";
                    return Ok(Next::Wrong(message.into()));
                }
                Got::Unreadable(error) => return Ok(Next::Unreadable(error)),
                Got::End => {
                    let Some(quote) = open.map(char::from) else { return Ok(Next::End) };
                    let message = format!("the input ends before the closing quote {quote}");
                    return Ok(Next::Wrong(message));
                }
            }
            // Only a line with that quote can close it. To parse after each line would take
            // quadratic time over a long value.
            if open.is_some_and(|quote| !text[start..].contains(&quote)) {
                continue;
            }
            let next = match parse(&text) {
                Ok(Some(command)) => Next::Job(command.job),
                Ok(None) => return Ok(Next::Blank),
                Err(WordError::Wrong(message)) => Next::Wrong(message),
                Err(WordError::Unfinished { quote }) => {
                    open = Some(quote);
                    continue;
                }
            };
            self.source.remember(&text);
            return Ok(next);
        }
    }

    /// Prints what went wrong. If it cannot be printed, the exit status still tells.
    fn complain(&mut self, line: u64, message: &str) {
        let name = &harmless(&self.name);
        let message = &harmless(message);
        let _ = if self.err_look.json {
            writeln!(self.err, "{}", json!({"error": message, "input": name, "line": line}))
        } else {
            let error = self.err_look.paint(Ink::Error, "error:");
            match self.mode {
                Mode::Terminal => writeln!(self.err, "{error} {message}"),
                Mode::Script | Mode::Arguments => {
                    writeln!(self.err, "{error} {name}, line {line}: {message}")
                }
            }
        };
    }
}

#[cfg(test)]
mod tests;
