//! `export`: the keyspace in use, or what a snapshot sees of it, into a file that `import` reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alluvium::Skipped;
use serde_json::{Value, json};

use super::formats::{format_option, untold};
use super::spec::{Given, Read, done};
use crate::files::descriptor;
use crate::files::interrupt::is_interrupt;
use crate::files::target::Target;
use crate::print::output::{self, Output};
use crate::print::pager::is_stop;
use crate::print::progress::{self, Progress, Style, rate};
use crate::rows::{Format, ROW_BYTES_MAX, write};
use crate::shell::{Extent, Failure, Pairs, Shell};
use crate::text::escape::escaped;
use crate::text::size::{counted, grouped};

/// How many damaged blocks are listed one by one; the others are counted.
const SKIPPED_SHOWN: usize = 100;

/// Rows between two looks at the clock.
const SHOW_ROWS: u64 = 1_000;

/// Why an export ended early.
enum Stopped {
    Failure(Failure),
    /// A row could not be written.
    Write(io::Error),
    Interrupted,
}

/// What `export` was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportRequest {
    /// The file to write.
    pub(crate) file: PathBuf,
    /// `None` goes by the extension of the file.
    pub(crate) format: Option<Format>,
    /// The snapshot to read at.
    pub(crate) at: Option<String>,
    /// Whether to read on over damaged blocks.
    pub(crate) skip_damaged: bool,
}

pub(super) fn export(given: &mut Given) -> Read {
    let request = ExportRequest::read(given)?;
    done(move |shell, out| run(shell, &request, out))
}

impl ExportRequest {
    pub(crate) fn read(given: &mut Given) -> Result<Self, String> {
        Ok(Self {
            file: given.file()?,
            format: format_option(given)?,
            at: given.text("--at")?,
            skip_damaged: given.flag("--skip-damaged"),
        })
    }
}

/// Exports to a file and says what was done: on standard error if the rows go to standard output.
fn run(shell: &Shell, request: &ExportRequest, out: &mut Output<'_>) -> Result<(), Failure> {
    let name = request.file.display().to_string();
    let standard = request.file.as_os_str() == "-" || descriptor::named(&request.file) == Some(1);
    let default = standard.then_some(if out.look.json { Format::JsonLines } else { Format::Tsv });
    let format = request.format.or_else(|| Format::of(&request.file)).or(default);
    let format = format.ok_or_else(|| untold(&name))?;
    if is_own(&request.file, shell.db.path()) {
        return Err(format!("{name} is in the database's own directory: name another").into());
    }
    // A wrong snapshot leaves no file.
    let all = Extent::Between { from: None, to: None };
    let mut range = shell.range(&all, request.at.as_deref())?;
    if request.skip_damaged {
        range = range.skip_damaged()?;
    }
    let style = if standard { Style::Silent } else { Style::at_terminal(out.look) };
    let mut export = Export {
        shell,
        format,
        rows: 0,
        bytes: 0,
        suspect: 0,
        skip_damaged: request.skip_damaged,
        // Too many, if anything: superseded versions count as well.
        progress: Progress::new(style, shell.keyspace.approximate_len().ok()),
    };
    let mut target =
        Target::create(&request.file, &shell.interrupt).map_err(|error| {
            match shell.interrupt.is_asked() {
                true => Failure::Interrupted(format!("nothing was written to {name}")),
                false => format!("cannot make {name}: {error}").into(),
            }
        })?;
    let done = export.all(&mut range, target.writer(out.to)).and_then(|()| {
        export.progress.fill(|elapsed| progress::rows(export.rows, export.bytes, elapsed));
        target.complete().map_err(Stopped::Write)
    });
    let elapsed = export.progress.elapsed();
    let rows = export.rows;
    let bytes = export.bytes;
    let suspect = export.suspect;
    drop(export);
    match done {
        Ok(()) => {}
        // The reader of the answers has gone, or has seen enough.
        Err(Stopped::Write(error)) if standard && !is_interrupt(&error) => return Err(error.into()),
        Err(stopped) => return Err(failed(stopped, target, rows, &name)),
    }
    Report { rows, bytes, suspect, elapsed, skipped: range.skipped() }.tell(&name, standard, out)
}

/// What an export came to.
struct Report {
    rows: u64,
    bytes: u64,
    suspect: u64,
    elapsed: Duration,
    skipped: Vec<Skipped>,
}

impl Report {
    fn tell(self, name: &str, standard: bool, out: &mut Output<'_>) -> Result<(), Failure> {
        let Self { rows, bytes, suspect, elapsed, skipped } = self;
        let rate = grouped(rate(rows, elapsed) as u64);
        let seconds = elapsed.as_secs_f64();
        let count = counted(rows, "row");
        let size = counted(bytes, "byte");
        let text = format!(
            "exported {count}, {size} in {seconds:.3} s, {rate} rows/s{}",
            told(&skipped, suspect)
        );
        let json = || {
            let mut answer = json!({"exported": rows, "bytes": bytes, "seconds": seconds});
            if !skipped.is_empty() {
                answer["suspect"] = suspect.into();
                answer["skipped"] = skipped.iter().map(as_json).collect();
            }
            answer
        };
        if standard {
            io::Write::flush(out.to)?;
            out.note(&text, json);
        } else {
            out.say(&text, json)?;
        }
        if skipped.is_empty() {
            return Ok(());
        }
        let count = counted(skipped.len() as u64, "damaged block");
        Err(format!("{count} could not be read: {name} holds what is left").into())
    }
}

/// The lines behind the summary: which blocks were passed over.
fn told(skipped: &[Skipped], suspect: u64) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{} of these may be out of date or deleted; keys that are in no other block are missing:",
        counted(suspect, "row")
    );
    for one in skipped.iter().take(SKIPPED_SHOWN) {
        let from = escaped(&one.from);
        let to = escaped(&one.to);
        text.push_str(&format!("\n    from {from} to {to}: {}", one.error));
    }
    if let Some(more) = skipped.len().checked_sub(SKIPPED_SHOWN).filter(|&more| more > 0) {
        text.push_str(&format!("\n    and {} more", grouped(more as u64)));
    }
    text
}

fn as_json(skipped: &Skipped) -> Value {
    json!({
        "from": output::bytes(&skipped.from),
        "to": output::bytes(&skipped.to),
        "error": skipped.error.to_string(),
    })
}

/// The message of an export that ended early, with what it leaves behind.
fn failed(stopped: Stopped, target: Target, rows: u64, name: &str) -> Failure {
    let left = target.discard(&counted(rows, "row"), name);
    match stopped {
        Stopped::Failure(Failure::Message(message)) => format!("{message}; {left}").into(),
        Stopped::Failure(failure) => failure,
        Stopped::Write(error) if is_stop(&error) => Failure::Output(error),
        Stopped::Write(error) if is_interrupt(&error) => Failure::Interrupted(left),
        Stopped::Write(error) => format!("cannot write {name}: {error}; {left}").into(),
        Stopped::Interrupted => {
            let count = counted(rows, "row");
            Failure::Interrupted(format!("{count} exported; {left}"))
        }
    }
}

/// Whether a file is one of the database's own or would lie among them, links followed.
fn is_own(file: &Path, directory: &Path) -> bool {
    let Ok(own) = fs::canonicalize(directory) else { return false };
    let lies_there = |file: &Path| {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::canonicalize(parent.unwrap_or(Path::new("."))).is_ok_and(|parent| parent == own)
    };
    if lies_there(file) || fs::canonicalize(file).is_ok_and(|file| lies_there(&file)) {
        return true;
    }
    is_linked(file, &own)
}

/// Whether a file has a second name in the directory.
#[cfg(unix)]
fn is_linked(file: &Path, directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = fs::metadata(file) else { return false };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let same = |other: fs::Metadata| (other.dev(), other.ino()) == (data.dev(), data.ino());
    data.nlink() > 1 && entries.filter_map(|entry| entry.metadata().ok()).any(same)
}

#[cfg(not(unix))]
fn is_linked(_file: &Path, _directory: &Path) -> bool {
    false
}

/// An export under way.
struct Export<'a> {
    shell: &'a Shell,
    format: Format,
    rows: u64,
    bytes: u64,
    /// Rows that may be out of date, or of keys that are gone.
    suspect: u64,
    skip_damaged: bool,
    progress: Progress,
}

impl Export<'_> {
    fn all(&mut self, range: &mut Pairs<'_>, to: &mut dyn io::Write) -> Result<(), Stopped> {
        let mut row = Vec::new();
        while let Some(pair) = range.next() {
            let (key, value) = pair.map_err(|error| Stopped::Failure(error.into()))?;
            let may_hold = |skipped: &Skipped| skipped.may_hold(&key);
            if self.skip_damaged && range.skipped().iter().any(may_hold) {
                self.suspect += 1;
            }
            row.clear();
            write(self.format, &key, &value, &mut row);
            if row.len() > ROW_BYTES_MAX {
                let number = grouped(self.rows + 1);
                let got = grouped(row.len() as u64);
                let max = grouped(ROW_BYTES_MAX as u64);
                let message = format!(
                    "row {number} has {got} bytes in this format, and import takes {max}: try csv"
                );
                return Err(Stopped::Failure(message.into()));
            }
            to.write_all(&row).map_err(Stopped::Write)?;
            self.rows += 1;
            self.bytes += row.len() as u64;
            if self.rows.is_multiple_of(SHOW_ROWS) {
                let rows = self.rows;
                let bytes = self.bytes;
                self.progress.show(rows, |elapsed| progress::rows(rows, bytes, elapsed));
            }
            if self.shell.interrupt.is_asked() {
                return Err(Stopped::Interrupted);
            }
        }
        Ok(())
    }
}
