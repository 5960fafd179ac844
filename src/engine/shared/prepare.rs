//! Spares: memtables and log files that are prepared before a rotation needs them.
//!
//! Made and kept by the log thread, but for the first log, which the open makes; taken inside the
//! commit section. A log is as long as what has been written since the open gives reason for: 64
//! KiB at first, and a memtable's worth once about a quarter of that has been written. Two of each
//! kind are kept; each rotation that finds none has one more kept, up to six, until nothing is
//! written.
//!
//! Dead logs are used again before a file is made, and what waits to be used again or removed is
//! bounded (I34): beyond that, the thread that sets a log free removes it. A flush does so before
//! it gives back the memory, which slows the writers: a disk that cannot follow fills with no more
//! than the memtables' worth and a constant.
//!
//! Another memtable size takes the spares of the old one away, but for one log, which goes when
//! there is one of the new size: a write must not wait until then. The thread that makes a spare
//! compares the size again under the spares' lock, so none of the old size is left afterwards.

use std::path::{Path, PathBuf};

use crate::engine::shared::messages::LogJob;
use crate::engine::shared::spares::SPARES;
use crate::engine::{Core, Upkeep};
use crate::error::Result;
use crate::event::event;
use crate::format::names::FileName;
use crate::log::{LOG_DATA_START, SpareLog};
use crate::memtable::Memtable;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// The most, after rotations that found none: what a writer fills while the log thread waits for a
/// slow sync.
const SPARES_MAX: usize = 6;

/// How many dead logs may wait to be used again or removed. What one flush sets free, and the next
/// while the log thread waits for a slow sync.
pub(crate) const DEAD_MAX: usize = 32;

/// Bytes of the first log after an open, header included, where a memtable is not smaller.
const FIRST_BYTES: u64 = 64 << 10;

/// How many times longer logs become at a time.
const GROWTH: u64 = 4;

/// What has become of a dead log.
#[derive(Debug)]
pub(crate) enum Recycled {
    /// It is a spare, in the place of others that have become too small.
    Kept { outgrown: Vec<PathBuf> },
    /// It is to be removed.
    Useless(PathBuf),
}

impl Core {
    /// Bytes of a log that takes a memtable's worth of records with their headers.
    pub(crate) fn log_capacity_full(&self) -> u64 {
        let bytes = self.memtable_bytes() as u64;
        // A record's header takes less than a memtable adds to an entry, so the sixteenth is for
        // odd mixtures; anything more would only be read at every recovery.
        LOG_DATA_START + bytes + bytes / 16
    }

    /// Bytes of the first log after an open.
    pub(crate) fn log_capacity_first(&self) -> u64 {
        FIRST_BYTES.min(self.log_capacity_full())
    }

    /// Bytes that a log file is prepared for now.
    pub(crate) fn log_capacity(&self) -> u64 {
        let full = self.log_capacity_full();
        let written = self.logs.written();
        let mut bytes = FIRST_BYTES;
        while bytes < full && bytes < written {
            bytes *= GROWTH;
        }
        // A last step of little use is left out.
        let bytes = if bytes > full / 2 { full } else { bytes };
        bytes.min(self.log_bytes_max().max(FIRST_BYTES))
    }

    /// Whether logs are shorter than a memtable, still or because the disk has little room: then
    /// they are rotated without it.
    pub(crate) fn logs_are_short(&self) -> bool {
        self.log_capacity() < self.log_capacity_full()
    }

    /// Asks the log thread for spares, once until it looks.
    pub(crate) fn want_spare(&self) {
        if !self.spares.asked.swap(true, Ordering::Relaxed) {
            self.send_log(LogJob::Spare { reply: None });
        }
    }

    /// Has one more of each kept ready, up to a bound. Called by a rotation that found none.
    pub(crate) fn want_more_spares(&self) {
        // The beginning of a burst says nothing of what comes after it.
        if self.logs_are_short() {
            return;
        }
        // Relaxed, and not one step: the commit section raises it, and the log thread takes it back
        // only while nothing is written.
        let wanted = self.spares.kept.load(Ordering::Relaxed);
        self.spares.kept.store((wanted + 1).min(SPARES_MAX), Ordering::Relaxed);
    }

    fn spares_kept(&self) -> usize {
        self.spares.kept.load(Ordering::Relaxed)
    }

    /// How many logs and memtables are kept ready. A program that writes little needs one short
    /// log, and no other memtable than the one that it has.
    fn kept(&self) -> (usize, usize) {
        if self.logs_are_short() { (1, 0) } else { (self.spares_kept(), self.spares_kept()) }
    }

    /// Whether there are fewer spare logs than are kept ready.
    pub(crate) fn wants_log(&self) -> bool {
        lock(&self.spares.logs).len() < self.kept().0 + self.held_back()
    }

    /// The same of memtables.
    pub(crate) fn wants_memtable(&self) -> bool {
        lock(&self.spares.memtables).len() < self.kept().1
    }

    /// How many spares nobody may take: one, the flush's reserve, while there is no room for
    /// another.
    fn held_back(&self) -> usize {
        usize::from(self.is_short())
    }

    /// Whether there is a spare to be taken.
    pub(crate) fn has_spare_log(&self) -> bool {
        lock(&self.spares.logs).len() > self.held_back()
    }

    pub(crate) fn take_spare_log(&self) -> Option<SpareLog> {
        let mut spares = lock(&self.spares.logs);
        if spares.len() > self.held_back() {
            return spares.pop();
        }
        drop(spares);
        // The reserve of a flush that has none takes its place.
        if self.is_short() { None } else { self.take_last_resort() }
    }

    /// Takes away the spare logs but for one, which is kept for a write that finds no other.
    pub(crate) fn take_spare_logs_but_one(&self) -> Vec<SpareLog> {
        let mut spares = lock(&self.spares.logs);
        let mut taken = std::mem::take(&mut *spares);
        if let Some(last) = taken.pop() {
            taken.extend(lock(&self.spares.last_resort).replace(last));
        }
        taken
    }

    /// Takes it away again.
    pub(crate) fn take_last_resort(&self) -> Option<SpareLog> {
        lock(&self.spares.last_resort).take()
    }

    /// What the file system would give back for the spares.
    pub(crate) fn spare_log_bytes(&self) -> u64 {
        lock(&self.spares.logs).iter().map(SpareLog::capacity).sum()
    }

    /// Removes all spare logs, for a flush that finds the disk full.
    pub(crate) fn give_up_spare_logs(&self) {
        self.take_spare_logs().iter().for_each(|spare| self.remove_file(spare.path()));
    }

    /// Takes those away that are too many for the room that there is. Returns their files, to be
    /// removed, which count as handed to the log thread.
    pub(crate) fn take_excess_spares(&self) -> Vec<PathBuf> {
        if !self.is_room_short() {
            return Vec::new();
        }
        let mut spares = lock(&self.spares.logs);
        let kept = spares.len().min(self.kept().0 + self.held_back());
        let excess = spares.split_off(kept);
        drop(spares);
        self.spares.dead.fetch_add(excess.len(), Ordering::Relaxed);
        excess.iter().map(|spare| spare.path().to_path_buf()).collect()
    }

    /// Prepares a memtable if one is wanted.
    pub(crate) fn make_memtable(&self) {
        if !self.wants_memtable() {
            return;
        }
        let bytes = self.memtable_bytes();
        let mut spare = Memtable::active(bytes);
        spare.0.touch();
        let mut spares = lock(&self.spares.memtables);
        // The size may have changed meanwhile; `set_memtable_bytes` empties the list after it has
        // stored the new one.
        if bytes == self.memtable_bytes() {
            spares.push(spare);
        }
    }

    /// Makes a log file. Returns the files that it takes the place of, to be removed.
    pub(crate) fn make_log(&self) -> Result<Vec<PathBuf>> {
        let made = SpareLog::create(self.log_slots(), self.log_capacity());
        self.note_room(&made);
        self.spares.dead.fetch_add(usize::from(made.is_ok()), Ordering::Relaxed);
        let recycled = made.map(|spare| self.recycle(spare));
        self.measure_space();
        Ok(match recycled? {
            Recycled::Kept { outgrown } => outgrown,
            // The size has changed meanwhile.
            Recycled::Useless(path) => vec![path],
        })
    }

    /// Makes a log file if there is none. On the log thread, which cannot wait for itself.
    pub(crate) fn make_log_here(&self) -> Result<()> {
        if !self.has_spare_log() {
            self.make_log()?.iter().for_each(|path| self.remove_dead(path));
        }
        Ok(())
    }

    /// Keeps a log's file as a spare if it is of use as one. What is to be removed counts as handed
    /// to the log thread.
    pub(crate) fn recycle(&self, mut spare: SpareLog) -> Recycled {
        if self.is_useful(&spare, &lock(&self.spares.logs)) {
            // Not under the lock, which the commit section takes, and for no file that goes.
            spare.prepare(self.options.log_mapping);
            let mut spares = lock(&self.spares.logs);
            // Again: the size may have changed meanwhile.
            if self.is_useful(&spare, &spares) {
                let least = self.capacity_min();
                let outgrown = spares.extract_if(.., |spare| spare.capacity() < least);
                let outgrown: Vec<_> = outgrown.collect();
                spares.push(spare);
                drop(spares);
                self.spares.dead.fetch_add(outgrown.len(), Ordering::Relaxed);
                self.spares.dead.fetch_sub(1, Ordering::Relaxed);
                let paths = outgrown.iter().map(|spare| spare.path().to_path_buf());
                return Recycled::Kept { outgrown: paths.collect() };
            }
        }
        Recycled::Useless(spare.path().to_path_buf())
    }

    /// Bytes that a spare has at least.
    fn capacity_min(&self) -> u64 {
        if self.logs_are_short() { self.log_capacity_first() } else { self.log_capacity_full() }
    }

    fn is_useful(&self, spare: &SpareLog, spares: &[SpareLog]) -> bool {
        let most = match self.is_room_short() {
            true => self.log_capacity(),
            false => self.log_capacity_full(),
        };
        let sizes = self.capacity_min()..=2 * most;
        sizes.contains(&spare.capacity()) && spares.len() < self.spares_max()
    }

    /// The most logs that are prepared: those that are kept ready, and what a flush sets free.
    pub(crate) fn spares_max(&self) -> usize {
        if self.is_room_short() {
            return self.kept().0 + self.held_back();
        }
        if self.is_short() {
            // What a flush gives back is for the next one.
            return 1 + self.held_back();
        }
        let freed = self.options.flush_bytes / self.memtable_bytes();
        self.spares_kept() + freed.min(crate::engine::shared::view::SEALED_MAX)
    }
}

impl Core {
    /// Hands a file that no recovery needs to the log thread. Called where nothing may wait.
    pub(crate) fn send_dead(&self, job: LogJob) {
        self.spares.dead.fetch_add(1, Ordering::Relaxed);
        self.send_log(job);
    }

    /// The same, or removes the file right here while the log thread has enough of them waiting.
    /// Called by who may wait; by the flush thread before it frees the memory: so a disk that is
    /// slow to remove files slows the writers down, and does not fill (I34).
    pub(crate) fn give_back(&self, job: LogJob) {
        if self.dead_files() < DEAD_MAX {
            return self.send_dead(job);
        }
        match job {
            LogJob::Recycle(spare) => self.remove_file(spare.path()),
            LogJob::Remove(path) => self.remove_file(&path),
            other => self.send_log(other),
        }
    }

    /// Files that wait to be used again or removed.
    pub(crate) fn dead_files(&self) -> usize {
        self.spares.dead.load(Ordering::Relaxed)
    }

    /// Removes a file that was handed over. On the log thread.
    pub(crate) fn remove_dead(&self, path: &Path) {
        self.remove_file(path);
        self.spares.dead.fetch_sub(1, Ordering::Relaxed);
    }

    fn remove_file(&self, path: &Path) {
        if let Err(error) = self.fs.remove(path) {
            event!(debug, %error, path = %path.display(), "a dead log was left behind");
        }
    }

    /// Has a log ready before the first write comes: one of the dead ones that the open found, or a
    /// short new one. Of the others two at most are kept, the rest go in the background. Called by
    /// the open, before the threads start.
    pub(crate) fn prepare_first_log(&self, dead: &[u64], dead_old: &[u64]) {
        if self.options.read_only {
            return;
        }
        self.measure_space();
        for &slot in dead_old {
            let path = self.dir.join(FileName::OldLogSlot(slot).name());
            self.send_dead(LogJob::Remove(path));
        }
        let mut found = Vec::new();
        for &slot in dead {
            match SpareLog::reopen(&self.fs, &self.dir, slot) {
                Ok(spare) => found.push(spare),
                // Of no use as one. That it cannot be removed either would be told then.
                Err(_) => {
                    let path = self.dir.join(FileName::LogSlot(slot).name());
                    self.send_dead(LogJob::Remove(path));
                }
            }
        }
        // The shortest of use: the program may not write much.
        found.sort_by_key(SpareLog::capacity);
        let mut kept = 0;
        for spare in found {
            let path = spare.path().to_path_buf();
            let of_use = kept < SPARES && self.is_useful(&spare, &[]);
            kept += usize::from(of_use);
            if of_use && !self.has_spare_log() {
                self.spares.dead.fetch_add(1, Ordering::Relaxed);
                self.recycle(spare);
            } else if of_use {
                self.send_dead(LogJob::Recycle(spare));
            } else {
                self.send_dead(LogJob::Remove(path));
            }
        }
        if !self.has_spare_log() {
            // A database that can only be read is of use too; the first write tries again.
            let made = self.make_log();
            self.note(Upkeep::Spares, &made);
        }
    }

    /// Takes all spare logs away.
    pub(crate) fn take_spare_logs(&self) -> Vec<SpareLog> {
        let mut spares = std::mem::take(&mut *lock(&self.spares.logs));
        spares.extend(self.take_last_resort());
        spares
    }

    /// Removes one log file and one memtable beyond those that are kept ready. Called now and then
    /// while nothing is written: a burst leaves as many behind as a flush sets free at once.
    pub(crate) fn trim_spares(&self) {
        self.spares.kept.store(SPARES, Ordering::Relaxed);
        let memtable = {
            let mut spares = lock(&self.spares.memtables);
            if spares.len() > SPARES { spares.pop() } else { None }
        };
        drop(memtable);
        let spare = {
            let mut spares = lock(&self.spares.logs);
            if spares.len() > SPARES { spares.pop() } else { None }
        };
        // Only now: nobody else knows the file.
        if let Some(spare) = spare {
            self.remove_file(spare.path());
        }
    }
}
