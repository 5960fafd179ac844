//! The loop from input to commands: a terminal, a script on standard input, or the text of `-e`.
//!
//! A script ends at its first error, which names its line; at a terminal an error is printed and
//! the next command read. A command whose quote is open goes on with the next line.

use std::io::{self, Write};

use serde_json::json;

use crate::commands::{self, Failure};
use crate::output::{Ink, Look, Output};
use crate::pager::{Paged, is_stop};
use crate::parse::{Command, parse};
use crate::shell::Shell;
use crate::source::{Got, Source};
use crate::words::WordError;

/// Who types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A person, who may try again after an error.
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
pub(crate) struct Session<'a> {
    pub(crate) shell: &'a mut Shell,
    pub(crate) mode: Mode,
    /// The input, for messages.
    pub(crate) name: String,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) look: Look,
    /// How complaints look, which may go elsewhere.
    pub(crate) err_look: Look,
    pub(crate) out: &'a mut dyn Write,
    pub(crate) err: &'a mut dyn Write,
}

/// What the input holds next.
enum Next {
    Command(Command),
    Blank,
    Wrong(String),
    Unreadable(io::Error),
    End,
}

impl Session<'_> {
    /// Runs every command. An error is one of the output: nobody is left to talk to.
    pub(crate) fn run(mut self) -> io::Result<Ended> {
        let mut line = 0;
        loop {
            let first_line = line + 1;
            let message = match self.next(&mut line)? {
                Next::End => {
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
                Next::Command(command) => match self.execute(command) {
                    Ok(true) => {
                        self.out.flush()?;
                        return Ok(Ended::Exit);
                    }
                    Ok(false) => continue,
                    Err(Failure::Output(error)) if is_stop(&error) => continue,
                    Err(Failure::Output(error)) => return Err(error),
                    Err(Failure::Message(message)) => message,
                },
            };
            self.out.flush()?;
            self.complain(first_line, &message);
            if self.mode == Mode::Script {
                return Ok(Ended::Failed);
            }
        }
    }

    fn execute(&mut self, command: Command) -> Result<bool, Failure> {
        let look = self.look;
        let Some(page) = self.source.page().filter(|_| !look.json) else {
            return commands::run(self.shell, command, &mut Output { to: self.out, look });
        };
        let source = &mut *self.source;
        let mut ask = |out: &mut dyn Write| source.more(out);
        let mut paged = Paged::new(self.out, page, &mut ask);
        commands::run(self.shell, command, &mut Output { to: &mut paged, look })
    }

    /// Reads one command, which may take several lines, and counts these in `line`.
    fn next(&mut self, line: &mut u64) -> io::Result<Next> {
        let mut text = Vec::new();
        let mut open: Option<u8> = None;
        loop {
            let start = text.len();
            let shell = Some(&*self.shell).filter(|_| open.is_none());
            match self.source.line(shell, self.out, &mut text)? {
                Got::Line => *line += 1,
                Got::Interrupted => return Ok(Next::Blank),
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
                Ok(Some(command)) => Next::Command(command),
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
        let name = &self.name;
        let _ = if self.err_look.json {
            writeln!(self.err, "{}", json!({"error": message, "input": name, "line": line}))
        } else {
            let error = self.err_look.paint(Ink::Error, "error:");
            match self.mode {
                Mode::Terminal => writeln!(self.err, "{error} {message}"),
                Mode::Script => writeln!(self.err, "{error} {name}, line {line}: {message}"),
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pager::Page;
    use crate::source::Lines;

    /// Lines with a prompt and with pages of 2 lines, as a terminal has them.
    struct Typed<'a>(Lines<&'a [u8]>);

    impl Source for Typed<'_> {
        fn line(
            &mut self,
            shell: Option<&Shell>,
            out: &mut dyn Write,
            text: &mut Vec<u8>,
        ) -> io::Result<Got> {
            let prompt = shell.map_or("...> ".into(), Shell::prompt);
            write!(out, "{prompt}")?;
            self.0.line(shell, out, text)
        }

        fn page(&mut self) -> Option<Page> {
            Some(Page { columns: 80, rows: 3 })
        }

        fn more(&mut self, out: &mut dyn Write) -> io::Result<bool> {
            write!(out, "(enough)")?;
            Ok(false)
        }
    }

    /// What a session prints to its output and error streams, and how it ends.
    fn session(mode: Mode, input: &str) -> (String, String, Ended) {
        let mut shell = Shell::new(alluvium::Db::in_memory().unwrap()).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut lines = Lines::new(input.as_bytes());
        let mut typed = Typed(Lines::new(input.as_bytes()));
        let ended = Session {
            shell: &mut shell,
            mode,
            name: "input".into(),
            source: if mode == Mode::Script { &mut lines } else { &mut typed },
            look: Look::default(),
            err_look: Look::default(),
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
            "alluvium> ...> ok\nalluvium> alluvium> alluvium> alluvium> a\nb\nalluvium> "
        );
        assert!(err.starts_with("error: the key is missing"), "{err}");
        assert!(err.contains("\nerror: there is no command frob"), "{err}");
        assert_eq!(ended, Ended::Exit);
        let (out, err, ended) = session(Mode::Terminal, "get 'a");
        assert_eq!(out, "alluvium> ...> alluvium> ");
        assert_eq!(err, "error: the input ends before the closing quote '\n");
        assert_eq!(ended, Ended::Input);
    }

    #[test]
    fn a_prompt_tells_the_keyspace_and_the_batch() {
        let (out, err, _) =
            session(Mode::Terminal, "use users\nbatch\nstore a 1\nabort\nuse default\n");
        assert_eq!(err, "");
        for prompt in ["> alluvium", "\nalluvium/users> ", "/users +0> ", "/users +1> "] {
            assert!(out.contains(prompt.trim_start_matches("> ")), "{prompt}: {out}");
        }
        assert!(out.ends_with("now in default\nalluvium> "), "{out}");
    }

    #[test]
    fn a_reader_who_has_seen_enough_goes_on_with_the_next_command() {
        let (out, err, ended) =
            session(Mode::Terminal, "store a 1\nstore b 2\nstore c 3\nscan\nget a\n");
        assert!(out.ends_with("alluvium> a\t1\nb\t2\n(enough)alluvium> 1\nalluvium> "), "{out}");
        assert_eq!((err.as_str(), ended), ("", Ended::Input));
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
