//! Copies of the database.

use std::io::Write;
use std::sync::Mutex;

use alluvium::{BackupInfo, BackupOptions, Backups, Checkpoint, DirStore};
use serde_json::{Value, json};

use super::engine::waited;
use super::spec::{Given, Read, done};
use crate::print::output::{Look, harmless};
use crate::print::progress::{Progress, Style, megabytes_rate};
use crate::text::escape::escaped;
use crate::text::size::{self, bytes, counted};

pub(super) fn checkpoint(given: &mut Given) -> Read {
    let dir = given.file()?;
    done(move |shell, out| {
        let place = dir.clone();
        let made = waited(shell, "the checkpoint", move |db| db.checkpoint(place))??;
        let Checkpoint { sequence, segments, segment_bytes, log_bytes, .. } = made;
        let text = format!(
            "{} is a database with everything so far: {} of {}, and {} of logs",
            harmless(&dir.display().to_string()),
            counted(segments, "segment"),
            bytes(segment_bytes),
            bytes(log_bytes),
        );
        out.say(&text, || {
            json!({
                "checkpoint": "made", "sequence": sequence.0, "segments": segments,
                "segment_bytes": segment_bytes, "log_bytes": log_bytes,
            })
        })?;
        Ok(())
    })
}

pub(super) fn backup(given: &mut Given) -> Read {
    let dir = given.file()?;
    let keep = given.option("--keep").map(|word| number(&word)).transpose()?;
    let label = given.text("--label")?.unwrap_or_default();
    done(move |shell, out| {
        let backups = shown(&dir, out.look);
        let made = waited(shell, "the backup", move |db| {
            let made = backups.create(db, &BackupOptions::new().label(label))?;
            let keep = keep.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
            let deleted = keep.map(|count| backups.keep(count)).transpose()?.unwrap_or_default();
            Ok::<_, alluvium::Error>((made, deleted))
        })?;
        let (made, deleted) = made?;
        let mut text = format!(
            "backup {}: {} of {}, {} of them new",
            made.id,
            counted(made.segments, "segment"),
            bytes(made.bytes),
            bytes(made.new_bytes),
        );
        if deleted.backups > 0 {
            let older = counted(deleted.backups, "older backup");
            text.push_str(&format!("; {older} deleted, {}", bytes(deleted.bytes)));
        }
        out.say(&text, || {
            let mut answer = as_json(&made);
            answer["deleted"] = deleted.backups.into();
            answer
        })?;
        Ok(())
    })
}

pub(super) fn backups(given: &mut Given) -> Read {
    let dir = given.file()?;
    done(move |_, out| {
        let backups = Backups::new(DirStore::new(&dir));
        let mut damaged = Ok(());
        for id in backups.ids()? {
            let info = match backups.info(id) {
                Ok(info) => info,
                Err(error) => {
                    damaged = Err(error.into());
                    continue;
                }
            };
            if out.look.json {
                writeln!(out, "{}", as_json(&info))?;
                continue;
            }
            let size = bytes(info.bytes);
            let new = bytes(info.new_bytes);
            let label = harmless(&info.label);
            writeln!(out, "{id:>6}  {size:>10}, new {new:>10}  {label}")?;
        }
        damaged
    })
}

pub(super) fn restore(given: &mut Given) -> Read {
    let dir = given.file()?;
    let target = given.file()?;
    let id = given.option("--backup").map(|word| number(&word)).transpose()?;
    done(move |shell, out| {
        let backups = shown(&dir, out.look);
        let place = target.clone();
        let made = waited(shell, "the restore", move |_| backups.restore(id, place))??;
        let text = format!(
            "{} is a database with what backup {} has: {} of {}",
            harmless(&target.display().to_string()),
            made.id,
            counted(made.segments, "segment"),
            bytes(made.bytes),
        );
        out.say(&text, || as_json(&made))?;
        Ok(())
    })
}

/// Those in a directory, with a bar.
fn shown(dir: &std::path::Path, look: Look) -> Backups {
    let progress = Mutex::new(Progress::new(Style::at_terminal(look), None));
    Backups::new(DirStore::new(dir)).progress(move |done, total| {
        let Ok(mut progress) = progress.lock() else { return };
        progress.set_total(total);
        progress.show(done, |elapsed| {
            format!("{} done, {}", bytes(done), megabytes_rate(done, elapsed))
        });
    })
}

fn as_json(info: &BackupInfo) -> Value {
    json!({
        "backup": info.id, "time_ms": info.time_ms, "sequence": info.sequence.0,
        "segments": info.segments, "bytes": info.bytes, "new_bytes": info.new_bytes,
        "label": info.label,
    })
}

fn number(word: &[u8]) -> Result<u64, String> {
    size::count(word).ok_or_else(|| format!("{:?} is no number", escaped(word)))
}
