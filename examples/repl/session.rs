//! The loop from input to commands: a terminal, a script on standard input, or the text of `-e`.
//!
//! A script ends at its first error, which names its line; at a terminal an error is printed and
//! the next command read. A command whose quote is open goes on with the next line.

use std::io::{self, BufRead, BufReader, Read, Write};

use alluvium::Db;

use crate::commands::{self, Failure};
use crate::parse::{Command, ParseError, parse};

/// Who types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A person, who sees prompts and may try again after an error.
    Terminal,
    /// A file or a program.
    Script,
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
}

/// A session under way: where commands come from and where answers and complaints go.
pub(crate) struct Session<'a, R, O, E> {
    pub(crate) db: &'a Db,
    pub(crate) mode: Mode,
    /// The input, for messages.
    pub(crate) name: String,
    pub(crate) input: BufReader<R>,
    pub(crate) out: &'a mut O,
    pub(crate) err: &'a mut E,
}

/// What the input holds next.
enum Next {
    Command(Command),
    Blank,
    Wrong(String),
    Unreadable(io::Error),
    End,
}

impl<R: Read, O: Write, E: Write> Session<'_, R, O, E> {
    /// Runs every command. An error is one of the output: nobody is left to talk to.
    pub(crate) fn run(mut self) -> io::Result<Ended> {
        let mut line = 0;
        loop {
            self.prompt("alluvium> ")?;
            let first_line = line + 1;
            let message = match self.next(&mut line)? {
                Next::End => {
                    self.prompt("\n")?;
                    self.out.flush()?;
                    return Ok(Ended::Input);
                }
                Next::Blank => continue,
                Next::Unreadable(error) => {
                    self.out.flush()?;
                    self.complain(line + 1, &format!("cannot read: {error}"));
                    return Ok(Ended::Failed);
                }
                Next::Wrong(message) => message,
                Next::Command(command) => match commands::run(self.db, command, self.out) {
                    Ok(true) => {
                        self.out.flush()?;
                        return Ok(Ended::Exit);
                    }
                    Ok(false) => continue,
                    Err(Failure::Output(error)) => return Err(error),
                    Err(Failure::Message(message)) => message,
                },
            };
            self.out.flush()?;
            if self.complain(first_line, &message) == Mode::Script {
                return Ok(Ended::Failed);
            }
        }
    }

    /// Reads one command, which may take several lines, and counts these in `line`.
    fn next(&mut self, line: &mut u64) -> io::Result<Next> {
        let mut text = Vec::new();
        let mut open = None;
        loop {
            // Whoever waits for an answer gets it before this waits for the next line; a script
            // that is already here need not pay a system call for each answer.
            if !self.input.buffer().contains(&b'\n') {
                self.out.flush()?;
            }
            let start = text.len();
            match self.input.read_until(b'\n', &mut text) {
                Ok(0) => match open {
                    None => return Ok(Next::End),
                    Some(quote) => {
                        let quote = char::from(quote);
                        return Ok(Next::Wrong(format!(
                            "the input ends before the closing quote {quote}"
                        )));
                    }
                },
                Ok(_) => *line += 1,
                Err(error) => return Ok(Next::Unreadable(error)),
            }
            // Only a line with that quote can close it. To parse after each line would take
            // quadratic time over a long value.
            let closes = open.is_none_or(|quote| text[start..].contains(&quote));
            if closes {
                match parse(&text) {
                    Ok(Some(command)) => return Ok(Next::Command(command)),
                    Ok(None) => return Ok(Next::Blank),
                    Err(ParseError::Wrong(message)) => return Ok(Next::Wrong(message)),
                    Err(ParseError::Unfinished { quote }) => open = Some(quote),
                }
            }
            self.prompt("     ...> ")?;
        }
    }

    fn prompt(&mut self, text: &str) -> io::Result<()> {
        if self.mode == Mode::Script {
            return Ok(());
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Prints what went wrong. If it cannot be printed, the exit status still tells.
    fn complain(&mut self, line: u64, message: &str) -> Mode {
        let _ = match self.mode {
            Mode::Terminal => writeln!(self.err, "error: {message}"),
            Mode::Script => writeln!(self.err, "error: {}, line {line}: {message}", self.name),
        };
        self.mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session of `mode` prints to its output and error streams, and how it ends.
    fn session(mode: Mode, input: &str) -> (String, String, Ended) {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path().join("db")).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = Session {
            db: &db,
            mode,
            name: "input".into(),
            input: BufReader::new(input.as_bytes()),
            out: &mut out,
            err: &mut err,
        }
        .run()
        .unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), ended)
    }

    #[test]
    fn a_terminal_shows_prompts_and_survives_errors() {
        let (out, err, ended) =
            session(Mode::Terminal, "store k 'a\nb'\n\nget\nfrob\nget k\nexit\nget k\n");
        assert_eq!(
            out,
            "alluvium>      ...> ok\nalluvium> alluvium> alluvium> alluvium> a\nb\nalluvium> "
        );
        assert!(err.starts_with("error: the key is missing"), "{err}");
        assert!(err.contains("\nerror: there is no command frob"), "{err}");
        assert_eq!(ended, Ended::Exit);
        let (out, err, ended) = session(Mode::Terminal, "get 'a");
        assert_eq!(out, "alluvium>      ...> alluvium> \n");
        assert_eq!(err, "error: the input ends before the closing quote '\n");
        assert_eq!(ended, Ended::Input);
    }

    #[test]
    fn a_script_stops_at_its_first_error() {
        let (out, err, ended) = session(Mode::Script, "store k 'a\nb'\nget k\nfrob\nget k\n");
        assert_eq!(out, "ok\na\nb\n");
        assert!(err.starts_with("error: input, line 4: there is no command frob"), "{err}");
        assert_eq!(ended, Ended::Failed);
    }

    #[test]
    fn a_quote_over_many_lines_is_one_value() {
        let lines = "one more \\\" line\n".repeat(2_000) + &"and another\n".repeat(100_000);
        let (out, _, ended) = session(Mode::Script, &format!("store k \"{lines}\"\nget k"));
        assert_eq!(out.len(), "ok\n\n".len() + lines.len() - 2_000);
        assert_eq!(ended, Ended::Input);
    }
}
