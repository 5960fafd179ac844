//! What each command does, and what it prints.
//!
//! | printed by | value |
//! |---|---|
//! | `get` | as it is, if it is text; otherwise escaped |
//! | `scan`, `prefix` | `key<TAB>value`, both escaped, a line for each key |
//! | all, with `--json` | one JSON object in a line; see [`crate::output`] |
//!
//! Text is UTF-8 without control characters other than newline and tab. What `scan` prints can be
//! read back with `import --format tsv`. A missing key is an answer, `(not found)`, and no error.

mod compact;
mod data;
mod engine;
mod explain;
mod help;
mod session;

use std::io;

use crate::output::Output;
use crate::parse::Command;
use crate::shell::Shell;
use crate::{export, import};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What it prints could not be written.
    Output(io::Error),
    /// Anything else, as a sentence.
    Message(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<alluvium::Error> for Failure {
    fn from(error: alluvium::Error) -> Self {
        Self::Message(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.into())
    }
}

/// Runs one command; true if the session is to end.
pub(crate) fn run(
    shell: &mut Shell,
    command: Command,
    out: &mut Output<'_>,
) -> Result<bool, Failure> {
    match command {
        Command::Store { key, value } => data::write(shell, key, Some(value), out)?,
        Command::Delete { key } => data::write(shell, key, None, out)?,
        Command::Get { key, at } => data::get(shell, &key, at.as_deref(), out)?,
        Command::Scan(request) => data::scan(shell, &request, out)?,
        Command::Keyspaces => session::keyspaces(shell, out)?,
        Command::Use { name } => session::enter(shell, &name, out)?,
        Command::Drop { name } => session::drop_keyspace(shell, &name, out)?,
        Command::Snapshot { name } => session::snapshot(shell, name, out)?,
        Command::Snapshots => session::snapshots(shell, out)?,
        Command::Release { name } => session::release(shell, &name, out)?,
        Command::Batch => session::batch(shell, out)?,
        Command::Commit => session::commit(shell, out)?,
        Command::Abort => session::abort(shell, out)?,
        Command::Import(request) => import::run(shell, &request, out)?,
        Command::Export(request) => export::run(shell, &request, out)?,
        Command::Sync => {
            shell.db.sync()?;
            out.ok()?;
        }
        Command::Flush => {
            shell.db.flush()?;
            out.ok()?;
        }
        Command::Segments { all } => engine::segments(shell, all, out)?,
        Command::LoadIndex => engine::load_index(shell, out)?,
        Command::SaveIndexSnapshot { file } => engine::save_index(shell, &file, out)?,
        Command::LoadIndexSnapshot { file } => engine::restore_index(shell, &file, out)?,
        Command::SetThreshold { bytes } => engine::set_threshold(shell, bytes, out)?,
        Command::Explain { key, at } => explain::run(shell, &key, at.as_deref(), out)?,
        Command::Verify => engine::verify(shell, out)?,
        Command::Compact { extent } => compact::run(shell, extent.as_ref(), out)?,
        Command::PauseCompaction => compact::pause(shell, true, out)?,
        Command::ResumeCompaction => compact::pause(shell, false, out)?,
        Command::Stats => engine::stats(shell, out)?,
        Command::Help { command: None } => help::all(out)?,
        Command::Help { command: Some(spec) } => help::one(spec, out)?,
        Command::Exit => return Ok(true),
    }
    Ok(false)
}
