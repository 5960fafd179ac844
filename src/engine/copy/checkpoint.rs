//! A checkpoint: a directory that opens as a database, with all that was acknowledged before it was
//! begun.
//!
//! 1. Make a directory, and lock it (`target`).
//! 2. Freeze the database (`copy`); copy what counts of its logs, after which flushes hand on those
//!    that were kept for that; then sync the copies.
//! 3. Give each segment a second name in there, or copy it where there can be none.
//! 4. Make a database of it (`target`).

use std::path::Path;

use crate::engine::copy::target::Target;
use crate::engine::copy::{Frozen, check_copyable};
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::event::scope;
use crate::format::names::FileName;
use crate::ids::{FileNumber, Sequence};
use crate::io::{DiskFs, Fs, NamedFile, RetriedFs, copy_between};
use crate::runs::each_file;
use crate::sync::Arc;

/// What [`Db::checkpoint`](crate::Db::checkpoint) has made.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// # let dir = tempfile::tempdir()?;
/// db.put("k", "v")?;
/// let checkpoint = db.checkpoint(dir.path().join("copy"))?;
/// assert_eq!((checkpoint.sequence.0, checkpoint.segments), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Everything up to this sequence is in it; writes of the time in which it was begun may be,
    /// too, up to some sequence above.
    pub sequence: Sequence,
    /// Segment files, linked or copied.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bytes of logs, all of which were copied.
    pub log_bytes: u64,
}

/// Makes a checkpoint in a directory that does not exist, or is empty.
pub(crate) fn checkpoint(engine: &Engine, path: &Path) -> Result<Checkpoint> {
    check_copyable(engine)?;
    let _scope = scope!("checkpoint", path = %path.display());
    let core = &engine.core;
    // The database's file system, but for one in memory.
    let fs: Arc<dyn Fs> = match core.options.in_memory {
        true => Arc::new(RetriedFs::new(Arc::new(DiskFs))),
        false => Arc::clone(&core.outside),
    };
    let target = Target::new(fs, path, "make a checkpoint among the files in")?;
    let frozen = Frozen::new(engine)?;
    let state = frozen.state.clone();
    target.filled(&state, |target| fill(target, core, frozen))
}

fn fill(target: &mut Target, core: &Core, mut frozen: Frozen<'_>) -> Result<Checkpoint> {
    let copies = copy_logs(target, &frozen)?;
    let log_bytes = frozen.logs.iter().map(|log| frozen.log_bytes(log)).sum();
    let last = frozen.logs.last().map(|last| (last.header.number, frozen.end));
    frozen.logs_read();
    copies.iter().try_for_each(NamedFile::sync_data)?;
    let mut done =
        Checkpoint { sequence: frozen.sequence, segments: 0, segment_bytes: 0, log_bytes };
    for segment in each_file(&frozen.segments) {
        give_segment(target, core, segment.number())?;
        done.segments += 1;
        done.segment_bytes += segment.bytes();
    }
    target.finish(&frozen.state, last)?;
    Ok(done)
}

fn copy_logs(target: &mut Target, frozen: &Frozen<'_>) -> Result<Vec<NamedFile>> {
    let copies = frozen.logs.iter().map(|log| {
        let copy = target.create(FileName::LogSlot(log.slot))?;
        frozen.read_log(log, |piece, at| copy.write_all_at(piece, at))?;
        Ok(copy)
    });
    copies.collect()
}

fn give_segment(target: &mut Target, core: &Core, number: FileNumber) -> Result<()> {
    let name = FileName::Segment(number);
    let from = core.dir.join(name.name());
    let fs = Arc::clone(&target.fs);
    let given = target.give(name, |to| match core.options.in_memory {
        true => copy_between(core.fs.as_ref(), &from, fs.as_ref(), to),
        false => core.fs.hard_link(&from, to),
    });
    given.map_err(|error| Error::io("link or copy", &from, error))
}
