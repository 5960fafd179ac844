//! Commands typed at a terminal: line editing, history, completion, and the question at the end
//! of a page. The only file that names rustyline.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::{Candidate, Completer};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, Helper, KeyCode, Modifiers, RepeatCount,
};

use crate::print::output::{Ink, Look};
use crate::print::pager::{More, Page, question, screen};
use crate::session::source::{Got, Source, is_yes};
use crate::shell::Shell;
use crate::typed::complete::{Names, Offer, complete, hint};

const CONTINUED: &str = "     ...> ";
const HISTORY_LINES: usize = 10_000;

pub(crate) struct Terminal {
    editor: Editor<Assistant, DefaultHistory>,
    /// The question at the end of a page. The same editor reads the answer, because it keeps what
    /// was typed ahead.
    question: Arc<Question>,
    history: Option<PathBuf>,
    look: Look,
    /// Lines that were entered, by a paste perhaps, and have not been asked for yet.
    entered: Vec<u8>,
    /// The first letter of a command, which has ended the pages of the one before.
    begun: String,
}

impl Terminal {
    /// Takes the terminal; `history` is where commands are kept from one session to the next.
    pub(crate) fn new(look: Look, history: Option<PathBuf>) -> Result<Self, String> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(HISTORY_LINES)
            .map_err(|error| error.to_string())?
            .build();
        let mut editor = Editor::with_config(config).map_err(|error| error.to_string())?;
        editor.set_auto_add_history(false);
        editor.set_helper(Some(Assistant { names: None, look }));
        let question = Arc::new(Question::default());
        let any_key = AnyKey(Arc::clone(&question));
        editor.bind_sequence(Event::Any, EventHandler::Conditional(Box::new(any_key)));
        let history = history.filter(|file| file.parent().is_some_and(|dir| private(dir).is_ok()));
        if let Some(file) = &history {
            // In the first session there is none.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, question, history, look, entered: Vec::new(), begun: String::new() })
    }

    /// Takes one line of what was entered.
    fn take(&mut self, text: &mut Vec<u8>) {
        let end = self.entered.iter().position(|&byte| byte == b'\n');
        text.extend(self.entered.drain(..end.map_or(self.entered.len(), |end| end + 1)));
    }
}

impl Source for Terminal {
    fn line(
        &mut self,
        shell: Option<&Shell>,
        out: &mut dyn Write,
        text: &mut Vec<u8>,
    ) -> io::Result<Got> {
        if !self.entered.is_empty() {
            self.take(text);
            return Ok(Got::Line);
        }
        out.flush()?;
        let prompt = shell.map_or(CONTINUED.into(), Shell::prompt);
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.names = shell.map(|shell| Names {
                db: shell.db.clone(),
                keyspace: shell.keyspace.clone(),
                snapshots: shell.snapshots.keys().cloned().collect(),
                savepoints: shell.savepoints(),
            });
        }
        let begun = std::mem::take(&mut self.begun);
        Ok(match self.editor.readline_with_initial(&prompt, (&begun, "")) {
            Ok(line) => {
                self.entered.extend_from_slice(line.as_bytes());
                self.entered.push(b'\n');
                self.take(text);
                Got::Line
            }
            Err(ReadlineError::Interrupted) => Got::Interrupted,
            Err(ReadlineError::Eof) => Got::End,
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Got::Garbled
            }
            Err(error) => Got::Unreadable(io::Error::other(error)),
        })
    }

    fn remember(&mut self, command: &[u8]) {
        let Ok(command) = std::str::from_utf8(command.trim_ascii_end()) else { return };
        let added = self.editor.add_history_entry(command);
        // At once, so that neither a crash nor a second shell loses it. A history that cannot be
        // kept is no reason to stop.
        if let (Ok(true), Some(file)) = (added, &self.history) {
            let _ = self.editor.append_history(file);
        }
    }

    fn page(&mut self) -> Option<Page> {
        screen().or_else(|| {
            let (columns, rows) = self.editor.dimensions()?;
            Some(Page { columns: columns.into(), rows: rows.into() })
        })
    }

    fn more(&mut self, out: &mut dyn Write) -> io::Result<More> {
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.names = None;
        }
        let columns = self.page().map_or(80, |page| page.columns);
        self.question.open.store(true, Ordering::Relaxed);
        let key = self.editor.readline(question(columns, false));
        self.question.open.store(false, Ordering::Relaxed);
        if self.look.colour {
            // The question goes, and the next page joins the last one.
            out.write_all(b"\x1b[1A\r\x1b[2K")?;
        }
        match key {
            Ok(_) => {}
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(More::Enough),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(More::Enough);
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        let mut answer = self.question.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *answer) {
            Answer::More(more) => Ok(more),
            Answer::Begun(letter) => {
                self.begun.push(letter);
                Ok(More::Enough)
            }
        }
    }

    fn ask(&mut self, _out: &mut dyn Write, question: &str) -> io::Result<Option<bool>> {
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.names = None;
        }
        match self.editor.readline(&format!("{question} (y/n) ")) {
            Ok(answer) => Ok(Some(is_yes(&answer))),
            Err(ReadlineError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
                Err(error)
            }
            Err(_) => Ok(Some(false)),
        }
    }
}

/// The question at the end of a page. Asked and answered on one thread.
#[derive(Default)]
struct Question {
    /// Whether the next key is the answer.
    open: AtomicBool,
    answer: Mutex<Answer>,
}

/// What the key at the end of a page said.
enum Answer {
    More(More),
    /// Enough, and the next command begins with this.
    Begun(char),
}

impl Default for Answer {
    fn default() -> Self {
        Self::More(More::Enough)
    }
}

/// Ends the question with a key that answers it, and leaves all other keys alone.
struct AnyKey(Arc<Question>);

impl ConditionalEventHandler for AnyKey {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        let key = event.get(0).filter(|_| self.0.open.load(Ordering::Relaxed))?;
        let plain = !key.1.intersects(Modifiers::CTRL | Modifiers::ALT);
        let said = match key.0 {
            KeyCode::Char(' ') | KeyCode::PageDown => Answer::More(More::Page),
            KeyCode::Enter | KeyCode::Down => Answer::More(More::Line),
            KeyCode::Char('q' | 'Q') | KeyCode::Esc | KeyCode::BracketedPasteStart => {
                Answer::More(More::Enough)
            }
            KeyCode::Char('j' | 'J' | 'm' | 'M') if !plain => Answer::More(More::Line),
            KeyCode::Char('c' | 'C' | 'd' | 'D') if !plain => Answer::More(More::Enough),
            KeyCode::Char(letter) if plain => Answer::Begun(letter),
            _ => return Some(Cmd::Noop),
        };
        *self.0.answer.lock().unwrap_or_else(PoisonError::into_inner) = said;
        // Not an interrupt, after which the editor forgets what was typed ahead.
        Some(Cmd::AcceptLine)
    }
}

/// What helps while a line is being typed.
struct Assistant {
    /// `None` while a quote is open: what is typed then is no word of a command.
    names: Option<Names>,
    look: Look,
}

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Completer for Assistant {
    type Candidate = Offer;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Offer>)> {
        Ok(match &self.names {
            Some(names) => complete(&line[..at], names),
            None => (at, Vec::new()),
        })
    }
}

impl Candidate for Offer {
    fn display(&self) -> &str {
        &self.shown
    }

    fn replacement(&self) -> &str {
        &self.text
    }
}

/// Shown, and never taken over into the line.
struct Usage(String);

impl Hint for Usage {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Usage;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<Usage> {
        (self.names.is_some() && at == line.len()).then(|| hint(line)).flatten().map(Usage)
    }
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        self.look.paint(Ink::Title, prompt).into()
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        self.look.paint(Ink::Faint, hint).into()
    }
}

/// Where the history of commands is kept: in the user's directory for state, as the XDG base
/// directories have it, or in the one for local data on Windows.
pub(crate) fn history_file(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path there is to be ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .or_else(|| absolute("LOCALAPPDATA"))?;
    Some(state.join("alluvium").join("history"))
}

/// Makes a directory that only its owner can look into: values are typed here.
fn private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_kept_where_state_is() {
        #[track_caller]
        fn check(variables: &[(&str, &str)], want: Option<&str>) {
            let variable = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(history_file(variable), want.map(PathBuf::from));
        }
        let home = ("HOME", "/home/ann");
        check(&[home], Some("/home/ann/.local/state/alluvium/history"));
        check(&[home, ("XDG_STATE_HOME", "/state")], Some("/state/alluvium/history"));
        check(
            &[home, ("XDG_STATE_HOME", "state")],
            Some("/home/ann/.local/state/alluvium/history"),
        );
        check(&[home, ("XDG_STATE_HOME", "")], Some("/home/ann/.local/state/alluvium/history"));
        check(&[("LOCALAPPDATA", "/local")], Some("/local/alluvium/history"));
        check(&[], None);
    }
}
