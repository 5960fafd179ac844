//! Damage: every byte of every file, flipped; every length, cut; files removed, emptied, exchanged,
//! and replaced by what they were at an earlier moment.
//!
//! Whatever is damaged, an open and a full read give the right answer or an error that names a
//! file, never wrong data, and an open that fails changes nothing. In the log, what was not known
//! to be synced may be taken for a torn tail: then the answer is a prefix that holds all that was.
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
    files: Files,
    /// What stood there at an earlier moment.
    older: Files,
    history: History,
}

type Files = BTreeMap<String, Vec<u8>>;

/// What came of one damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Refused,
}

/// Everything that a damage may meet. The database may be open, and remove a file meanwhile.
fn files(fs: &SimFs) -> Files {
    let path = |file: &String| format!("{DIR}/{file}");
    let bytes = |file: String| fs.read_file(path(&file)).map(|bytes| (file, bytes));
    fs.files(DIR).into_iter().filter(|file| file != "LOCK").filter_map(bytes).collect()
}

impl Subject {
    fn new(name: &'static str, fs: &SimFs, older: Files, history: History) -> Self {
        Self { name, files: files(fs), older, history }
    }

    /// Closed in good order, with several runs.
    fn closed(seed: u64) -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        let mut acts = workload(seed);
        let rest = acts.split_off(acts.len() / 2);
        run(&mut world, acts).unwrap();
        let older = files(&world.fs);
        run(&mut world, rest).unwrap();
        world.barrier(Db::close).unwrap();
        world.abandon();
        Self::new("closed", &world.fs, older, world.history)
    }

    /// Closed right after a flush of synced data whose log file is gone: the manifest's last edit
    /// is all that leads to it.
    fn flushed() -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        world.step(put(DEFAULT, 1, 10, Durability::Sync)).unwrap();
        let older = files(&world.fs);
        world.reopen().unwrap();
        world.step(put(DEFAULT, 2, 1_500, Durability::Sync)).unwrap();
        world.barrier(Db::close).unwrap();
        world.abandon();
        Self::new("flushed", &world.fs, older, world.history)
    }

    /// Closed after many flushes, whose logs have been used again since: the manifest is all that
    /// leads to their segments.
    fn flushed_often() -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        let mut older = Files::new();
        for key in 0..12 {
            world.step(put(DEFAULT, key, 100, Durability::Buffered)).unwrap();
            world.barrier(Db::flush).unwrap();
            if key == 6 {
                older = files(&world.fs);
            }
        }
        world.barrier(Db::close).unwrap();
        world.abandon();
        Self::new("flushed often", &world.fs, older, world.history)
    }

    /// Killed with three logs that were not flushed, the second of which knows the first synced,
    /// and records behind that nobody has synced.
    fn crashed(seed: u64) -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        let mut acts = workload(seed);
        let flush = acts.iter().position(|act| matches!(act, Act::Flush)).unwrap();
        acts.truncate(flush + 4);
        run(&mut world, acts).unwrap();
        let older = files(&world.fs);
        world.step(put(DEFAULT, 50, 40, Durability::Sync)).unwrap();
        for key in 51..60 {
            world.step(put(DEFAULT, key, 700, Durability::Buffered)).unwrap();
        }
        let image = world.fs.crash(CrashMode::PowerKeepAll, seed);
        world.abandon();
        Self::new("crashed", &image, older, world.history)
    }

    /// Killed when all was synced by `last` and nothing was written after it: no record can know.
    fn synced(name: &'static str, last: impl Fn(&mut World)) -> Self {
        let mut world = World::new(SimFs::new(), Lie::None);
        world.open().unwrap();
        for key in 0..3 {
            world.step(put(DEFAULT, key, 300, Durability::Buffered)).unwrap();
        }
        let older = files(&world.fs);
        for key in 2..6 {
            world.step(put(DEFAULT, key, 200, Durability::Buffered)).unwrap();
        }
        last(&mut world);
        assert_eq!(world.history.durable, world.history.steps.len());
        let image = world.fs.crash(CrashMode::Process, 1);
        world.abandon();
        Self::new(name, &image, older, world.history)
    }

    /// The ways in which a write becomes durable without a record behind it.
    fn all_synced() -> [Self; 5] {
        let sync = |world: &mut World| assert!(world.barrier(Db::sync).unwrap());
        [
            Self::synced("synced", sync),
            Self::synced("synced by its last put", |world| {
                world.step(put(DEFAULT, 9, 100, Durability::Sync)).unwrap();
            }),
            Self::synced("synced by its last, big batch", |world| {
                world.step(put(DEFAULT, 9, 1_500, Durability::Sync)).unwrap();
            }),
            Self::synced("waited for", |world| {
                let wait = |db: &Db| db.wait_durable(db.snapshot().sequence());
                assert!(world.barrier(wait).unwrap());
            }),
            Self::synced("synced after a restart", |world| {
                let image = world.fs.crash(CrashMode::Process, 2);
                let mut after = world.after(image);
                after.recover(Demand::Acknowledged).unwrap();
                sync(&mut after);
                world.abandon();
                *world = after;
            }),
        ]
    }

    /// The same, less its witness: what its part in finding damage is.
    fn without_witness(&self) -> Self {
        let mut files = self.files.clone();
        let older = self.older.clone();
        assert!(files.remove("WITNESS").is_some());
        Self { name: self.name, files, older, history: self.history.clone() }
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
        if is_log(file) { Demand::Durable } else { Demand::Acknowledged }
    }
}

fn is_log(file: &str) -> bool {
    file.ends_with(".wal")
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
    /// Only where losses are looked for.
    lost: u64,
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
        let Self { right, refused, lost } = self;
        let name = subject.name;
        println!("database {name}, {damage}: {right} right, {refused} refused, {lost} lost");
    }
}

fn subjects(seed: u64) -> Vec<Subject> {
    println!("seed {seed}");
    let mut subjects = vec![Subject::closed(seed), Subject::flushed(), Subject::flushed_often()];
    subjects.push(Subject::crashed(seed));
    subjects.extend(Subject::all_synced());
    subjects
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
            assert!(tally.right > 0 && tally.refused > 10);
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
                    let least = subject.least(file);
                    let outcome = subject.read(&fs, len % 7 != 0, least);
                    tally.note(outcome, || {
                        format!("seed {seed}, {}, {file} cut at {len}", subject.name)
                    });
                }
            }
            assert!(tally.right > 0 && tally.refused > 10);
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
                let fs = subject.medium();
                fs.write_file(format!("{DIR}/{file}"), &[]);
                let outcome = subject.read(&fs, false, subject.least(file));
                tally.note(outcome, || format!("seed {seed}, {}, {file} emptied", subject.name));
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

/// Every file alone, and all of one kind together.
fn older_copies(subject: &Subject) -> Vec<Vec<&String>> {
    let changed = |(file, bytes): &(&String, &Vec<u8>)| subject.files.get(*file) != Some(*bytes);
    let changed: Vec<_> = subject.older.iter().filter(changed).map(|(file, _)| file).collect();
    let of = |kind: fn(&str) -> bool| changed.iter().copied().filter(|file| kind(file)).collect();
    let mut groups: Vec<Vec<_>> = changed.iter().map(|file| vec![*file]).collect();
    groups.push(of(|file| file == "CURRENT" || file.starts_with("MANIFEST")));
    groups.push(of(is_log));
    groups.retain(|group| !group.is_empty());
    groups
}

#[test]
fn a_file_that_is_as_it_was_earlier_is_harmless_or_an_error() {
    for seed in seeds() {
        let mut refused = 0;
        for subject in subjects(seed) {
            let mut tally = Tally::default();
            for group in older_copies(&subject) {
                let fs = subject.medium();
                for file in &group {
                    fs.write_file(format!("{DIR}/{file}"), &subject.older[*file]);
                }
                let least = group.iter().map(|file| subject.least(file));
                let least = least.reduce(|a, b| if a == Demand::Durable { a } else { b }).unwrap();
                let outcome = subject.read(&fs, false, least);
                tally.note(outcome, || format!("seed {seed}, {}, older {group:?}", subject.name));
            }
            tally.print(&subject, "older copies");
            refused += tally.refused;
        }
        assert!(refused > 10, "{refused}");
    }
}

/// Reads the subject once for each of `tries`, after `damage` was done to it, and counts losses.
fn losses<T>(subject: &Subject, what: &str, tries: Vec<T>, damage: impl Fn(&SimFs, T)) -> u64 {
    let mut tally = Tally::default();
    for one in tries {
        let fs = subject.medium();
        damage(&fs, one);
        match subject.read(&fs, true, Demand::Durable) {
            Ok(Outcome::Right) => tally.right += 1,
            Ok(Outcome::Refused) => tally.refused += 1,
            Err(_) => tally.lost += 1,
        }
    }
    tally.print(subject, &format!("{what} without a witness"));
    tally.lost
}

/// The sweeps find it if the witness is not heard: losses that nothing else tells.
#[test]
fn without_the_witness_losses_are_found() {
    let mut removals = 0;
    let mut flips = 0;
    for subject in Subject::all_synced().iter().map(Subject::without_witness) {
        let logs: Vec<_> = subject.files.keys().filter(|file| is_log(file)).collect();
        removals += losses(&subject, "removals", logs.clone(), |fs, file| {
            fs.remove_file(format!("{DIR}/{file}"));
        });
        let mut places = Vec::new();
        for file in logs {
            places.extend(subject.offsets(file, 1).into_iter().map(|at| (file, at)));
        }
        flips += losses(&subject, "flips", places, |fs, (file, at)| {
            assert!(fs.flip(format!("{DIR}/{file}"), at as u64, 1));
        });
    }
    let mut subject = Subject::flushed_often().without_witness();
    // After a close no log is needed; with one that happens not to have been used again since, an
    // earlier state of the manifest would be right.
    subject.files.retain(|file, _| !is_log(file));
    let manifest = subject.files.keys().find(|file| file.starts_with("MANIFEST")).unwrap();
    let bytes = &subject.files[manifest];
    let cuts = (96..bytes.len()).step_by(8).collect();
    let cuts = losses(&subject, "cuts", cuts, |fs, len| {
        fs.write_file(format!("{DIR}/{manifest}"), &bytes[..len]);
    });
    assert!(removals > 1 && flips > 50 && cuts > 50, "{removals}, {flips}, {cuts}");
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
