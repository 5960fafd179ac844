//! What each command does, and what it prints.
//!
//! | printed by | value |
//! |---|---|
//! | `get` | as it is, if it is text; otherwise escaped |
//! | `scan`, `prefix` | `key<TAB>value`, both escaped, a line for each key |
//! | all, with `--json` | one JSON object in a line; see [`crate::print::output`] |
//!
//! Text is UTF-8 without control characters other than newline and tab. What `scan` prints can be
//! read back with `import --format tsv`. A missing key is an answer, `(not found)`, and no error,
//! unless the command is one of `-e`.

mod compact;
mod data;
mod engine;
mod explain;
mod export;
mod help;
mod import;
mod index;
mod layers;
mod scan;
mod session;
pub(crate) mod spec;

use crate::print::output::Output;
use crate::shell::{Failure, Shell};
use crate::typed::parse::{About, Command};

/// What came of a command that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// A key is not there: what is left to say in a dialogue, and as a complaint.
    Absent {
        answer: Option<&'static str>,
        complaint: Option<String>,
    },
    /// The session is to end.
    Exit,
}

/// Runs one command. `source` and `timer` are the session's own.
pub(crate) fn run(
    shell: &mut Shell,
    command: Command,
    out: &mut Output<'_>,
) -> Result<Outcome, Failure> {
    match command {
        Command::Get { key, at, raw } => return data::get(shell, &key, at.as_deref(), raw, out),
        Command::Exists { key, at } => return data::exists(shell, &key, at.as_deref(), out),
        Command::MultiGet { keys, at } => return data::multi_get(shell, &keys, at.as_deref(), out),
        Command::Exit => return Ok(Outcome::Exit),
        Command::Store { key, value } => data::write(shell, key, Some(value), out)?,
        Command::StoreFile { key, file } => data::store_file(shell, key, &file, out)?,
        Command::Delete { key } => data::write(shell, key, None, out)?,
        Command::Scan(request) => scan::scan(shell, &request, out)?,
        Command::Count { extent, at } => scan::count(shell, &extent, at.as_deref(), out)?,
        Command::Size { extent } => scan::size(shell, &extent, out)?,
        Command::Import(request) => import::run(shell, &request, out)?,
        Command::Export(request) => export::run(shell, &request, out)?,
        Command::Help { about: None } => help::all(out)?,
        Command::Help { about: Some(About::Command(spec)) } => help::one(spec, out)?,
        Command::Help { about: Some(About::Topic(topic)) } => help::topic(topic, out)?,
        Command::Source { .. } | Command::Timer { .. } => {
            unreachable!("the session takes these itself")
        }
        command => maintain(shell, command, out)?,
    }
    Ok(Outcome::Done)
}

/// The commands about keyspaces, snapshots, batches and the engine.
fn maintain(shell: &mut Shell, command: Command, out: &mut Output<'_>) -> Result<(), Failure> {
    match command {
        Command::Keyspaces => session::keyspaces(shell, out),
        Command::Use { name, create } => session::enter(shell, &name, create, out),
        Command::Drop { name } => session::drop_keyspace(shell, &name, out),
        Command::Snapshot { name } => session::snapshot(shell, name, out),
        Command::Snapshots => session::snapshots(shell, out),
        Command::Release { name } => session::release(shell, &name, out),
        Command::Batch => session::batch(shell, out),
        Command::Commit => session::commit(shell, out),
        Command::Abort => session::abort(shell, out),
        Command::Sync => engine::sync(shell, out),
        Command::Flush => engine::flush(shell, out),
        Command::Segments { all } => engine::segments(shell, all, out),
        Command::LoadIndex => index::load(shell, out),
        Command::SaveIndexSnapshot { file } => index::save(shell, &file, out),
        Command::LoadIndexSnapshot { file } => index::restore(shell, &file, out),
        Command::SetThreshold { bytes } => engine::set_threshold(shell, bytes, out),
        Command::Explain { key, at } => explain::run(shell, &key, at.as_deref(), out),
        Command::Verify => engine::verify(shell, out),
        Command::Compact { extent } => compact::run(shell, extent.as_ref(), out),
        Command::PauseCompaction => compact::pause(shell, true, out),
        Command::ResumeCompaction => compact::pause(shell, false, out),
        Command::Stats => engine::stats(shell, out),
        other => unreachable!("{other:?} is run elsewhere"),
    }
}
