//! The index of all segments: built again, saved and loaded.

use std::path::{Path, PathBuf};

use alluvium::IndexReport;
use serde_json::json;

use super::engine::waited;
use super::spec::{Given, Read, done};
use crate::files::descriptor;
use crate::print::output::{Output, harmless};
use crate::shell::{Failure, Shell};
use crate::text::size::{bytes, counted, grouped};

pub(super) fn load(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let report = waited(shell, "the rebuilding", |db| db.rebuild_index())??;
    tell("rebuilt", "from their data blocks", &report, out)
}

pub(super) fn save(given: &mut Given) -> Read {
    let file = given.file()?;
    done(move |shell, out| save_to(shell, &file, out))
}

pub(super) fn restore(given: &mut Given) -> Read {
    let file = given.file()?;
    done(move |shell, out| restore_from(shell, &file, out))
}

fn save_to(shell: &Shell, file: &Path, out: &mut Output<'_>) -> Result<(), Failure> {
    let place = plain(file)?;
    let report = waited(shell, "the saving", move |db| db.save_index_snapshot(place))??;
    tell("saved", &format!("to {}", file.display()), &report, out)
}

/// The file, links followed. It is written beside and renamed, which would replace a device or a
/// pipe by a file.
fn plain(file: &Path) -> Result<PathBuf, Failure> {
    match std::fs::metadata(file) {
        // The descriptor would still lead to the old file.
        Ok(_) if descriptor::named(file).is_some() => {
            Err(format!("{} is a descriptor: name a file", file.display()).into())
        }
        Ok(data) if data.is_file() => Ok(std::fs::canonicalize(file).unwrap_or(file.into())),
        Ok(_) => Err(format!("{} is no plain file: name another", file.display()).into()),
        Err(_) => Ok(file.into()),
    }
}

fn restore_from(shell: &Shell, file: &Path, out: &mut Output<'_>) -> Result<(), Failure> {
    let place = match std::fs::metadata(file) {
        Ok(data) if !data.is_file() => {
            return Err(format!("{} is no plain file: name another", file.display()).into());
        }
        // If nothing is there, the engine says so.
        _ => file.to_path_buf(),
    };
    let report = waited(shell, "the loading", move |db| db.load_index_snapshot(place))??;
    tell("loaded", &format!("from {}", file.display()), &report, out)
}

fn tell(done: &str, how: &str, report: &IndexReport, out: &mut Output<'_>) -> Result<(), Failure> {
    let IndexReport { segments, blocks, entries, keys, bytes: size, missing, ignored, .. } =
        *report;
    let how = harmless(how);
    let mut text = format!(
        "{done} the index of {} {how}: {}, {}, {}",
        counted(segments, "segment"),
        counted(blocks, "block"),
        counted(entries, "version"),
        bytes(size)
    );
    if missing > 0 {
        let (are, keep) =
            if missing == 1 { ("is", "keeps its own") } else { ("are", "keep theirs") };
        let segments = counted(missing, "segment");
        text.push_str(&format!("; {segments} {are} not in the file and {keep}"));
    }
    if ignored > 0 {
        let (entries, have) = match ignored {
            1 => ("entry", "has"),
            _ => ("entries", "have"),
        };
        let ignored = grouped(ignored);
        text.push_str(&format!("; {ignored} {entries} of the file {have} no segment any more"));
    }
    out.say(&text, || {
        json!({
            "index": done, "segments": segments, "blocks": blocks, "entries": entries,
            "keys": keys, "bytes": size, "missing": missing, "ignored": ignored,
        })
    })?;
    Ok(())
}
