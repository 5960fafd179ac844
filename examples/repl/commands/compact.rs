//! `compact`, with its progress, and `pause_compaction`, `resume_compaction`.

use std::time::Duration;

use serde_json::json;

use super::spec::{Given, Read, done};
use crate::print::output::Output;
use crate::print::progress::{Progress, Style, megabytes_rate};
use crate::shell::{Extent, Failure, Shell};
use crate::text::size::{bytes, counted};

/// How long to wait between two looks, in milliseconds. Short at first: a small merge is soon over.
const LOOK_MS: std::ops::RangeInclusive<u64> = 1..=64;

pub(super) fn compact(given: &mut Given) -> Read {
    let from = given.next();
    let extent = from.map(|from| Extent::Between { from: Some(from), to: given.next() });
    done(move |shell, out| merge(shell, extent.as_ref(), out))
}

/// Merges all runs, or what they hold in an extent of the keyspace in use, and waits for it.
fn merge(shell: &Shell, extent: Option<&Extent>, out: &mut Output<'_>) -> Result<(), Failure> {
    if shell.paused {
        // It would wait for `resume_compaction`, which cannot be typed while this waits.
        return Err("merging is paused: resume_compaction first".into());
    }
    let compaction = match extent {
        None => shell.db.start_compaction_of_all()?,
        Some(extent) => shell.keyspace.start_compaction(extent.bounds())?,
    };
    let mut progress = Progress::new(Style::at_terminal(out.look), Some(compaction.progress().1));
    let mut look_ms = *LOOK_MS.start();
    while !compaction.is_over() {
        shell.interrupt.sleep(Duration::from_millis(look_ms));
        if shell.interrupt.is_asked() {
            compaction.cancel();
            break;
        }
        look_ms = (look_ms * 2).min(*LOOK_MS.end());
        let (done, total) = compaction.progress();
        progress.set_total(total);
        progress.show(done, |elapsed| {
            format!("{} read, {}", bytes(done), megabytes_rate(done, elapsed))
        });
    }
    let read = compaction.progress().0;
    let elapsed = progress.elapsed().as_secs_f64();
    drop(progress);
    compaction.wait()?;
    if shell.interrupt.is_asked() {
        let text = format!("{} read; what is merged stays merged", bytes(read));
        return Err(Failure::Interrupted(text));
    }
    let stats = shell.db.stats();
    let text = format!(
        "read {} in {elapsed:.3} s; now {}, {}, {}",
        bytes(read),
        counted(stats.runs, "run"),
        counted(stats.segments, "segment"),
        bytes(stats.segment_bytes)
    );
    out.say(&text, || {
        json!({
            "read": read, "seconds": elapsed, "runs": stats.runs, "segments": stats.segments,
            "bytes": stats.segment_bytes,
        })
    })?;
    Ok(())
}

pub(super) fn pause(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    shell.db.pause_compaction();
    shell.paused = true;
    out.ok()?;
    Ok(())
}

pub(super) fn resume(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    shell.db.resume_compaction();
    shell.paused = false;
    out.ok()?;
    Ok(())
}
