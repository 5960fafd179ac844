//! Reads the manifest, the witness, the logs and every segment back, and says what is damaged.
//!
//! Segments and logs are read on the caller's thread, which holds the view; the manifest on the
//! flush thread, under its mutex, so that no edit is half written at that moment. The open log is
//! read up to where it was appended by the time that it is looked at.

use std::fmt;

use crate::engine::read::get::check_open;
use crate::engine::shared::figures::counted;
use crate::engine::shared::messages::FlushJob;
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::event::{event, scope};
use crate::log::verify_log;
use crate::mvcc::ending::ask;
use crate::runs::SegmentSet;
use crate::runs::each_file;
use crate::runs::manifest::Manifest;
use crate::segment::Segment;
use crate::sync::{Arc, Poisoned, lock_sound};
use crate::witness::Claims;

/// How many errors a report lists; the others are counted.
const ERRORS_MAX: usize = 100;

/// What [`Db::verify`](crate::Db::verify) found. `Display` says it in a few lines.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// for damage in &db.verify()?.errors {
///     println!("{damage}");
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Segments that were read.
    pub segments: u64,
    /// Data blocks that are sound.
    pub blocks: u64,
    /// Versions in them, tombstones included.
    pub entries: u64,
    /// User keys in them, a key once for each segment.
    pub keys: u64,
    /// Bytes of the segment files.
    pub bytes: u64,
    /// Logs that a recovery would need, and that were read.
    pub logs: u64,
    /// Records in them that are sound.
    pub log_records: u64,
    /// How much is damaged, or could not be read: blocks, files, tables.
    pub damages: u64,
    /// Each damage with its file and offset, the first hundred of them.
    pub errors: Vec<Error>,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.verify()?.is_sound());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages == 0
    }

    fn add(&mut self, error: Error) {
        event!(error, %error, "damage found");
        self.damages += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [segments, blocks, entries, bytes] = [
            counted(self.segments, "segment"),
            counted(self.blocks, "block"),
            counted(self.entries, "version"),
            counted(self.bytes, "byte"),
        ];
        let [logs, records] = [counted(self.logs, "log"), counted(self.log_records, "record")];
        write!(f, "read {segments}: {blocks}, {entries}, {bytes}; {logs}: {records}; ")?;
        if self.is_sound() {
            return f.write_str("nothing is damaged");
        }
        write!(f, "{} damaged", counted(self.damages, "place"))?;
        for error in &self.errors {
            write!(f, "\n{error}")?;
        }
        match self.damages.saturating_sub(self.errors.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// Reads everything back.
pub(crate) fn verify(engine: &Engine) -> Result<VerifyReport> {
    engine.core.refuse_on_own_thread()?;
    let _scope = scope!("verify");
    let mut report = VerifyReport::default();
    let manifest = ask(&engine.core.flush_jobs, |reply| FlushJob::CheckManifest { reply });
    if let Err(error) = manifest.ok_or_else(|| engine.core.unanswered())? {
        report.add(error);
    }
    verify_witness(engine, &mut report);
    verify_logs(engine, &mut report);
    let view = engine.core.view.load_full();
    for segment in each_file(&view.segments) {
        check_open(engine)?;
        let damages = report.damages;
        let verified = segment.verify(engine.core.database, &mut |error| report.add(error));
        report.segments += 1;
        report.bytes += segment.bytes();
        report.blocks += verified.blocks;
        report.entries += verified.entries;
        report.keys += verified.keys;
        if let Some(error) = misplaced(&view.segments, segment) {
            report.add(error);
        }
        if report.damages == damages {
            engine.core.merges.found_sound(segment.number());
        }
    }
    Ok(report)
}

fn verify_witness(engine: &Engine, report: &mut VerifyReport) {
    let core = &engine.core;
    match Claims::read(core.fs.as_ref(), &core.dir, core.database) {
        Ok(claims) if core.witness.is_kept() && claims.manifest().is_none() => {
            let file = claims.path().to_path_buf();
            let expected = "a claim".to_owned();
            let what = "witness";
            let got = "none".to_owned();
            report.add(Error::Corruption { file, offset: 0, what, expected, got });
        }
        Ok(_) => {}
        Err(error) => report.add(error),
    }
}

fn verify_logs(engine: &Engine, report: &mut VerifyReport) {
    let logs = &engine.core.logs;
    // The position before the list, so that it reaches into none that is not in the list.
    let appended = logs.appended();
    for log in logs.list().iter().filter(|log| log.header.base < appended) {
        let open = appended.0.saturating_sub(log.header.base.0);
        let end = log.end().unwrap_or(open);
        match verify_log(&log.file, &log.header, end) {
            Ok(records) => {
                report.logs += 1;
                report.log_records += records;
            }
            // Flushed meanwhile, its file may be another log's by now.
            Err(_) if !logs.list().iter().any(|other| Arc::ptr_eq(other, log)) => {}
            Err(error) => report.add(error),
        }
    }
}

/// Whether a segment ends elsewhere than where the set says.
fn misplaced(set: &SegmentSet, segment: &Segment) -> Option<Error> {
    let parts = set.runs.iter().flat_map(|run| &run.segments);
    let last = &segment.properties().last;
    let keyspace = last.0;
    let key = &last.1;
    let wrong = parts
        .filter(|part| part.segment.number() == segment.number())
        .find(|part| part.last.keyspace != keyspace || part.last.key != *key)?;
    let show = |key: &[u8]| format!("{} as its last key", key.escape_ascii());
    let want = show(&wrong.last.key);
    let got = show(key);
    Some(segment.file().corruption("segment", want, got))
}

/// Reads the manifest back. On the flush thread.
pub(crate) fn check_manifest(core: &Core) -> Result<()> {
    let manifest = lock_sound(&core.manifest);
    let manifest = manifest.map_err(|Poisoned| core.stop_after_panic("background work"))?;
    match manifest.as_ref() {
        Some(manifest) => manifest.verify(),
        None => Manifest::read(core.fs.as_ref(), &core.dir).map(drop),
    }
}
