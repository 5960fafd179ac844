//! Damage: every byte of every file, flipped; every length, cut; files removed and exchanged.
//!
//! Whatever is damaged, an open and a full read give the right answer or an error that names a
//! file, never wrong data, and an open that fails changes nothing. In the log, what no later
//! record knew to be synced may be taken for a torn tail: then the answer is a prefix.
//!
//! `ALLUVIUM_DAMAGE_STRIDE` takes every so manieth byte of logs and segments (default 41).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Durability, Error};

use crate::oracle::{Demand, History};
use crate::power::{Act, put, run, workload};
use crate::world::{DEFAULT, DIR, Lie, World, observe};
use crate::{Check, env, seeds};

/// A medium to damage, and what was written to it.
struct Subject {
    name: &'static str,
    files: BTreeMap<String, Vec<u8>>,
    history: History,
}

/// What came of one damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Refused,
}

impl Subject {
    fn new(name: &'static str, fs: &SimFs, history: History) -> Self {
        let path = |file: &String| format!("{DIR}/{file}");
        let bytes = |file: String| (file.clone(), fs.read_file(path(&file)).unwrap());
        let files = fs.files(DIR).into_iter().filter(|file| file != "LOCK").map(bytes).collect();
        Self { name, files, history }
    }

    /// Closed in good order, with several runs.
    fn closed(seed: u64) -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        run(&mut world, workload(seed)).unwrap();
        world.barrier(Db::close).unwrap();
        world.abandon();
        Self::new("closed", &world.fs, world.history)
    }

    /// Closed right after a flush of synced data whose log file is gone: the manifest's last edit
    /// is all that leads to it.
    fn flushed() -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        world.step(put(DEFAULT, 1, 10, Durability::Sync)).unwrap();
        world.reopen().unwrap();
        world.step(put(DEFAULT, 2, 1_500, Durability::Sync)).unwrap();
        world.barrier(Db::close).unwrap();
        world.abandon();
        Self::new("flushed", &world.fs, world.history)
    }

    /// Killed with three logs that were not flushed, the second of which knows the first synced.
    fn crashed(seed: u64) -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        let mut acts = workload(seed);
        let flush = acts.iter().position(|act| matches!(act, Act::Flush)).unwrap();
        acts.truncate(flush + 4);
        run(&mut world, acts).unwrap();
        world.step(put(DEFAULT, 50, 40, Durability::Sync)).unwrap();
        let known = world.history.durable;
        for key in 51..60 {
            world.step(put(DEFAULT, key, 700, Durability::Buffered)).unwrap();
        }
        // From here on nothing in the log says that it was synced.
        world.history.durable = known;
        let image = world.fs.crash(CrashMode::PowerKeepAll, seed);
        world.abandon();
        Self::new("crashed", &image, world.history)
    }

    fn medium(&self) -> SimFs {
        let fs = SimFs::new();
        self.files.iter().for_each(|(name, bytes)| fs.write_file(format!("{DIR}/{name}"), bytes));
        fs
    }

    /// Opens and reads a damaged medium. `least` is what an answer without an error has to cover.
    fn read(&self, fs: &SimFs, read_only: bool, least: Demand) -> Check<Outcome> {
        let attempt = || self.try_read(fs, read_only, least);
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| Err("a panic".to_owned()))
    }

    fn try_read(&self, fs: &SimFs, read_only: bool, least: Demand) -> Check<Outcome> {
        let before = contents(fs);
        let builder = Db::builder(DIR).memtable_bytes(4 << 10).flush_bytes(8 << 10);
        let builder = builder.compaction_threads(0);
        let opened = builder.read_only(read_only).fs(Arc::new(fs.clone())).open();
        let db = match opened {
            Ok(db) => db,
            Err(error) => {
                if contents(fs) != before {
                    return Err(format!("an open that failed changed something: {error}"));
                }
                return match error {
                    Error::Corruption { .. } | Error::UnsupportedFormat { .. } => {
                        Ok(Outcome::Refused)
                    }
                    other => Err(format!("refused for another reason: {other}")),
                };
            }
        };
        let found = observe(&db);
        let found = match found {
            Err(what) if what.contains(" is damaged: ") => return Ok(Outcome::Refused),
            found => found?,
        };
        self.history.explain(&found, least)?;
        Ok(Outcome::Right)
    }

    /// The bytes of a file to try: many of small files, some of large ones, few of long zeros.
    fn offsets(&self, file: &str, seed: u64) -> Vec<usize> {
        let bytes = &self.files[file];
        let stride = env("ALLUVIUM_DAMAGE_STRIDE", 41) as usize;
        let small = file.starts_with("CURRENT") || file.starts_with("MANIFEST");
        let stride = if small { stride.min(3) } else { stride };
        let data = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 16);
        let wanted = |&at: &usize| {
            let turn = at + seed as usize;
            if at >= data { turn.is_multiple_of(997) } else { turn.is_multiple_of(stride) }
        };
        (0..bytes.len()).filter(wanted).collect()
    }

    /// What damage to a file may cost without an error.
    fn least(&self, file: &str) -> Demand {
        if file.ends_with(".log") { Demand::Durable } else { Demand::Acknowledged }
    }
}

fn contents(fs: &SimFs) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut files = fs.files(DIR);
    files.retain(|file| file != "LOCK");
    files.into_iter().map(|file| (file.clone(), fs.read_file(format!("{DIR}/{file}")))).collect()
}

/// Counts what came of the damages, and stops at the first that is wrong.
#[derive(Default)]
struct Tally {
    right: u64,
    refused: u64,
}

impl Tally {
    fn note(&mut self, outcome: Check<Outcome>, what: impl FnOnce() -> String) {
        match outcome {
            Ok(Outcome::Right) => self.right += 1,
            Ok(Outcome::Refused) => self.refused += 1,
            Err(error) => panic!("{}: {error}", what()),
        }
    }

    fn print(&self, subject: &Subject, damage: &str) {
        let Self { right, refused } = self;
        println!("{} database, {damage}: {right} right, {refused} refused", subject.name);
    }
}

fn subjects(seed: u64) -> [Subject; 3] {
    println!("seed {seed}");
    [Subject::closed(seed), Subject::flushed(), Subject::crashed(seed)]
}

#[test]
fn a_flipped_byte_is_harmless_or_an_error() {
    for seed in seeds() {
        for subject in subjects(seed) {
            let mut tally = Tally::default();
            for file in subject.files.keys() {
                for at in subject.offsets(file, seed) {
                    let mask = [0x01, 0xff, 0x80][(at + seed as usize) % 3];
                    let fs = subject.medium();
                    assert!(fs.flip(format!("{DIR}/{file}"), at as u64, mask));
                    let read_only = !at.is_multiple_of(7);
                    let outcome = subject.read(&fs, read_only, subject.least(file));
                    tally.note(outcome, || {
                        format!("seed {seed}, {}, {file} byte {at} ^ {mask:#x}", subject.name)
                    });
                }
            }
            tally.print(&subject, "flips");
            assert!(tally.right > 0 && tally.refused > 50);
        }
    }
}

#[test]
fn a_file_cut_short_is_harmless_or_an_error() {
    for seed in seeds() {
        for subject in subjects(seed) {
            let mut tally = Tally::default();
            for (file, bytes) in &subject.files {
                for len in subject.offsets(file, seed) {
                    let fs = subject.medium();
                    fs.write_file(format!("{DIR}/{file}"), &bytes[..len]);
                    // What knew the lost bytes synced may be lost with them, in logs and manifests.
                    let mut subject = Subject {
                        name: subject.name,
                        files: BTreeMap::new(),
                        history: subject.history.clone(),
                    };
                    subject.history.durable = 0;
                    let marked = file.ends_with(".log") || file.starts_with("MANIFEST");
                    let least = if marked { Demand::Durable } else { Demand::Acknowledged };
                    let outcome = subject.read(&fs, len % 7 != 0, least);
                    tally.note(outcome, || {
                        format!("seed {seed}, {}, {file} cut at {len}", subject.name)
                    });
                }
            }
            tally.print(&subject, "cuts");
        }
    }
}

#[test]
fn files_removed_or_exchanged_are_an_error() {
    for seed in seeds() {
        for subject in subjects(seed) {
            let mut tally = Tally::default();
            let names: Vec<_> = subject.files.keys().collect();
            for (index, file) in names.iter().enumerate() {
                let fs = subject.medium();
                fs.remove_file(format!("{DIR}/{file}"));
                let outcome = subject.read(&fs, false, subject.least(file));
                tally.note(outcome, || format!("seed {seed}, {}, {file} removed", subject.name));
                for other in &names[index + 1..] {
                    let fs = subject.medium();
                    fs.write_file(format!("{DIR}/{file}"), &subject.files[*other]);
                    fs.write_file(format!("{DIR}/{other}"), &subject.files[*file]);
                    let outcome = subject.read(&fs, false, Demand::Durable);
                    tally.note(outcome, || {
                        format!("seed {seed}, {}, {file} and {other} exchanged", subject.name)
                    });
                }
            }
            tally.print(&subject, "removals and exchanges");
        }
    }
}

/// The sweep finds what is planted: a value that differs from what was written.
#[test]
fn wrong_data_is_caught() {
    let mut subject = Subject::closed(1);
    let fs = subject.medium();
    assert_eq!(subject.read(&fs, true, Demand::Acknowledged), Ok(Outcome::Right));
    let first = subject.history.base.rows.keys().next().cloned();
    let steps = subject.history.steps.len();
    subject.history.steps.remove(steps - 1);
    assert!(first.is_some() || steps > 0);
    assert!(subject.read(&fs, true, Demand::Acknowledged).is_err());
}
