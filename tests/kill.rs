//! Real death: a writing child is killed again and again, and everything it acknowledged is there.
//!
//! The test binary starts itself as the child. It writes to a directory on disk from four threads,
//! singly and in batches over two keyspaces, with both durabilities and tiny memtables, and prints
//! a line for each write that was acknowledged. The parent kills it after a number of lines that is
//! drawn by seed, some children while they open, and compares.
//!
//! `ALLUVIUM_KILLS` sets the number of kills (default 30), `ALLUVIUM_SEED` the seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "the child acknowledges on its standard output")]

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use alluvium::{Db, Durability, Keyspace, WriteBatch};
use random::Random;

const THREADS: u64 = 4;

/// Set for the child: where to write.
const DIR_VARIABLE: &str = "ALLUVIUM_KILL_DIR";

/// Set for a child that acknowledges writes that it leaves out: the planted fault.
const LIE_VARIABLE: &str = "ALLUVIUM_KILL_LIE";

fn env(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("the variable holds a number"))
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What write `number` of a thread consists of: keyspace (0 default, 1 the other), key, value.
fn parts(thread: u64, number: u64) -> Vec<(usize, String, Vec<u8>)> {
    let mut random = Random::new(thread << 32 | number);
    let in_batch = if number % 16 == 11 { 6 } else { 3 };
    let count = if number % 4 == 3 { in_batch } else { 1 };
    let parts = (0..count).map(|part| {
        let keyspace = ((number + part) % 2) as usize;
        // Every sixteenth write is over a quarter of a memtable, and gets a log of its own.
        let len = if in_batch == 6 { 300 } else { random.below(200) };
        let filler: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        (keyspace, format!("{thread}:{number:06}:{part}"), filler)
    });
    parts.collect()
}

fn open(dir: &Path) -> (Db, Keyspace) {
    let builder = Db::builder(dir).memtable_bytes(4 << 10).flush_bytes(16 << 10);
    let db = builder.sync_every(std::time::Duration::from_millis(5)).open().unwrap();
    let other = db.keyspace("other").unwrap();
    (db, other)
}

/// One write of the child: its own parts, and the thread's last batch, overwritten or deleted.
fn write(db: &Db, other: &Keyspace, thread: u64, number: u64) {
    let durability = if number % 7 == 2 { Durability::Sync } else { Durability::Buffered };
    let parts = parts(thread, number);
    if let [(keyspace, key, value)] = parts.as_slice() {
        match keyspace {
            0 => db.put_with(key, value, durability).unwrap(),
            _ => other.put_with(key, value, durability).unwrap(),
        };
        return;
    }
    let mut batch = WriteBatch::new();
    for (keyspace, key, value) in &parts {
        match keyspace {
            0 => batch.put(key, value),
            _ => batch.put_in(other, key, value),
        }
    }
    batch.put(format!("last:{thread}"), number.to_string());
    let flag = format!("flag:{thread}");
    if number % 8 == 3 {
        batch.put_in(other, flag, "")
    } else {
        batch.delete_in(other, flag)
    }
    db.write_with(&batch, durability).unwrap();
}

/// How many writes of each thread are there. Fails unless they are a prefix, whole and right.
fn check(db: &Db, other: &Keyspace) -> Result<Vec<u64>, String> {
    let text = |error: alluvium::Error| error.to_string();
    let mut found = [BTreeMap::new(), BTreeMap::new()];
    for (rows, table) in [db.range(..), other.range(..)].into_iter().zip(&mut found) {
        for row in rows {
            let (key, value) = row.map_err(text)?;
            table.insert(String::from_utf8_lossy(&key).into_owned(), value.to_vec());
        }
    }
    let backward = [db.range(..).rev().count(), other.range(..).rev().count()];
    if backward != [found[0].len(), found[1].len()] {
        return Err("forward and backward scans differ".to_owned());
    }
    let mut counts = Vec::new();
    for thread in 0..THREADS {
        let mut number = 0;
        let mut last = None;
        loop {
            let parts = parts(thread, number);
            let there = |part: &&(usize, String, Vec<u8>)| found[part.0].contains_key(&part.1);
            let present = parts.iter().filter(there).count();
            if present == 0 {
                break;
            }
            if present < parts.len() {
                return Err(format!("write {number} of thread {thread} is there in part"));
            }
            for (keyspace, key, value) in &parts {
                if found[*keyspace].remove(key).as_ref() != Some(value) {
                    return Err(format!("{key} has a value that nobody wrote"));
                }
            }
            last = if parts.len() > 1 { Some(number) } else { last };
            number += 1;
        }
        let noted = found[0].remove(&format!("last:{thread}"));
        let flag = found[1].remove(&format!("flag:{thread}")).is_some();
        if noted != last.map(|last| last.to_string().into_bytes())
            || flag != last.is_some_and(|last| last % 8 == 3)
        {
            return Err(format!("the last batch of thread {thread}, {last:?}, is there in part"));
        }
        counts.push(number);
    }
    match found.iter().flat_map(BTreeMap::keys).next() {
        Some(key) => Err(format!("{key} is there, but not what its thread wrote before it")),
        None => Ok(counts),
    }
}

/// The child. Does nothing in an ordinary run of the tests.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let lie = std::env::var_os(LIE_VARIABLE).is_some();
    // Not through `println!`, which the test harness may keep to itself.
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        // The parent may be gone; then so is the purpose.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    };
    say("\nopening\n".to_owned());
    let (db, other) = open(Path::new(&dir));
    let starts = check(&db, &other).unwrap();
    say("opened\n".to_owned());
    std::thread::scope(|scope| {
        for (thread, start) in (0..).zip(starts) {
            let db = &db;
            let other = &other;
            let say = &say;
            scope.spawn(move || {
                for number in start.. {
                    if !(lie && number == 20) {
                        write(db, other, thread, number);
                    }
                    say(format!("ack {thread} {number}\n"));
                }
            });
        }
    });
}

fn spawn(dir: &Path, lie: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture"]).env(DIR_VARIABLE, dir);
    if lie {
        command.env(LIE_VARIABLE, "1");
    }
    command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap()
}

/// Runs a child until it has said `lines` lines after `from`, kills it, and notes what it
/// acknowledged.
fn run_and_kill(
    dir: &Path,
    lie: bool,
    from: &str,
    lines: u64,
    acknowledged: &mut [u64],
) -> Result<u64, String> {
    let mut child = spawn(dir, lie);
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut begun = false;
    let mut left = lines;
    let mut total = 0;
    let mut killed = false;
    for line in out.lines() {
        let Ok(line) = line else { break };
        if let Some(ack) = line.strip_prefix("ack ") {
            // The last line may be cut off by the kill.
            let mut words = ack.split(' ').map(str::parse::<u64>);
            if let (Some(Ok(thread)), Some(Ok(number))) = (words.next(), words.next()) {
                let count = &mut acknowledged[thread as usize];
                *count = (number + 1).max(*count);
                total += 1;
            }
        }
        begun |= line == from;
        if begun && !killed {
            if left == 0 {
                child.kill().unwrap();
                killed = true;
            }
            left = left.saturating_sub(1);
        }
    }
    let status = child.wait().unwrap();
    if killed { Ok(total) } else { Err(format!("the child ended by itself: {status}")) }
}

/// Kills children on one directory. Returns the writes they acknowledged.
fn rounds(seed: u64, kills: u64, lie: bool) -> Result<u64, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(seed);
    let mut acknowledged = vec![0; THREADS as usize];
    let mut total = 0;
    for kill in 0..kills {
        let (from, lines) = match random.below(6) {
            0 => ("opening", 0),
            1 => ("opening", 1 + random.below(3)),
            _ => ("opened", random.below(400)),
        };
        total += run_and_kill(dir.path(), lie, from, lines, &mut acknowledged)?;
        // Otherwise the next child is the one to recover.
        if random.below(2) == 0 || kill + 1 == kills {
            let context = |what| format!("seed {seed}, kill {kill}: {what}");
            let (db, other) = open(dir.path());
            let counts = check(&db, &other).map_err(context)?;
            if counts.iter().zip(&acknowledged).any(|(there, promised)| there < promised) {
                let what = format!("{acknowledged:?} were acknowledged, {counts:?} are there");
                return Err(context(what));
            }
            if random.below(2) == 0 {
                db.close().unwrap();
            }
        }
    }
    Ok(total)
}

#[test]
fn a_killed_writer_leaves_everything_it_acknowledged() {
    let seed = env("ALLUVIUM_SEED", 1);
    let kills = env("ALLUVIUM_KILLS", 30);
    println!("seed {seed}");
    let total = rounds(seed, kills, false).unwrap_or_else(|what| panic!("{what}"));
    println!("{kills} kills, {total} writes acknowledged");
    assert!(total > kills, "the children hardly wrote");
}

/// The planted fault: a child that acknowledges what it did not write.
#[test]
fn an_acknowledgement_without_a_write_is_caught() {
    let caught = rounds(env("ALLUVIUM_SEED", 1), 4, true);
    assert!(caught.is_err(), "a write that was left out went unnoticed");
}
