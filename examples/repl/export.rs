//! `export`: the keyspace in use, or what a snapshot sees of it, into a file that `import` reads.
//!
//! The file is written under a name beside its own, synced, and renamed: whoever looks sees no half
//! of an export, and a failed one leaves the old file. What is no plain file, such as a pipe, is
//! written to as it is.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::commands::Failure;
use crate::output::Output;
use crate::parse::{ExportRequest, Extent};
use crate::progress::{self, Progress, Style, rate};
use crate::rows::{Format, ROW_BYTES_MAX, write};
use crate::shell::Shell;

/// Bytes written to the file at once.
const WRITE_BYTES: usize = 256 << 10;

/// Rows between two looks at the clock.
const SHOW_ROWS: u64 = 1_000;

/// Exports to a file and prints what was done.
pub(crate) fn run(
    shell: &Shell,
    request: &ExportRequest,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let name = request.file.display();
    let format = request.format.or_else(|| Format::of(&request.file)).ok_or_else(|| {
        format!("cannot tell the format of {name} by its extension: add --format tsv, csv or jsonl")
    })?;
    if is_inside(&request.file, shell.db.path()) {
        return Err(format!("{name} is in the database's own directory: name another").into());
    }
    let progress = Progress::new(Style::at_terminal(out.look), None);
    let (target, file) = Target::create(&request.file)
        .map_err(|error| Failure::from(format!("cannot make {name}: {error}")))?;
    let done = rows(shell, request, format, file, progress).and_then(|report| {
        target.complete().map_err(|error| format!("cannot rename to {name}: {error}"))?;
        Ok(report)
    });
    let report = done.inspect_err(|_| target.discard())?;
    let Report { rows, bytes, seconds, rate } = report;
    let text = format!("exported {rows} rows, {bytes} bytes in {seconds:.3} s, {rate:.0} rows/s");
    out.say(&text, || json!({"exported": rows, "bytes": bytes, "seconds": seconds}))?;
    Ok(())
}

/// Whether a file, there or not, lies directly in `directory`, whatever links lead to either.
fn is_inside(file: &Path, directory: &Path) -> bool {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")));
    parent.is_ok_and(|parent| fs::canonicalize(directory).is_ok_and(|own| own == parent))
}

struct Report {
    rows: u64,
    bytes: u64,
    seconds: f64,
    rate: f64,
}

fn rows(
    shell: &Shell,
    request: &ExportRequest,
    format: Format,
    file: File,
    mut progress: Progress,
) -> Result<Report, Failure> {
    let cannot = |error: io::Error| format!("cannot write {}: {error}", request.file.display());
    let plain = file.metadata().is_ok_and(|data| data.is_file());
    let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
    let (mut rows, mut bytes, mut row) = (0, 0, Vec::new());
    let all = Extent::Between { from: None, to: None };
    for pair in shell.range(&all, request.at.as_deref())? {
        let (key, value) = pair?;
        row.clear();
        write(format, &key, &value, &mut row);
        if row.len() > ROW_BYTES_MAX {
            return Err(format!(
                "row {} has {} bytes in this format, and import takes {ROW_BYTES_MAX}: try csv",
                rows + 1,
                row.len()
            )
            .into());
        }
        file.write_all(&row).map_err(cannot)?;
        rows += 1;
        bytes += row.len() as u64;
        if rows % SHOW_ROWS == 0 {
            progress.show(bytes, |elapsed| progress::rows(rows, bytes, elapsed));
        }
    }
    let file = file.into_inner().map_err(|error| cannot(error.into_error()))?;
    if plain {
        file.sync_all().map_err(cannot)?;
    }
    let elapsed = progress.elapsed();
    Ok(Report { rows, bytes, seconds: elapsed.as_secs_f64(), rate: rate(rows, elapsed) })
}

/// The file that an export writes, and the one that it becomes.
struct Target<'a> {
    file: PathBuf,
    named: Option<&'a Path>,
}

impl<'a> Target<'a> {
    fn create(path: &'a Path) -> io::Result<(Self, File)> {
        // Through a link, the file that it leads to keeps its place.
        let plain = fs::symlink_metadata(path)
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |data| data.is_file());
        let Some(name) = path.file_name().filter(|_| plain) else {
            return Ok((Self { file: path.into(), named: None }, File::create(path)?));
        };
        // What is there already is a user's, or that of an export in another process.
        for number in 0_u64.. {
            let mut beside = name.to_os_string();
            beside.push(if number == 0 { ".part".into() } else { format!(".part{number}") });
            let file = path.with_file_name(beside);
            match File::create_new(&file) {
                Ok(made) => return Ok((Self { file, named: Some(path) }, made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("no directory holds that many files")
    }

    fn complete(&self) -> io::Result<()> {
        self.named.map_or(Ok(()), |path| fs::rename(&self.file, path))
    }

    /// What is left of a failed export is of no use; that it may stay is no second failure.
    fn discard(&self) {
        if self.named.is_some() {
            let _ = fs::remove_file(&self.file);
        }
    }
}
