//! `queue`: put at the tail, delete at the head, scan 10 from the head: what is deleted must not
//! be walked over again and again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use alluvium::{Db, WriteBatch};

use crate::Outcome;
use crate::runner::{self, Rounds};
use crate::settings::Settings;
use crate::workload;

/// Keys between head and tail.
const LIVE: u64 = 1_000;

/// Keys that a step reads.
const SCAN_KEYS: usize = 10;

/// Steps between two flushes, where there are any.
const FLUSH_EVERY: u64 = 50_000;

/// Keys deleted at once, where they are deleted in batches.
const BATCH: u64 = 100;

const VALUE: [u8; 100] = [b'v'; 100];

pub(crate) fn run(settings: &Settings) -> Outcome {
    println!("queue: {LIVE} live, 16-byte keys, 100-byte values; a step puts, deletes and scans");
    let dir = workload::temp_dir(&settings.dir)?;
    println!();
    Rounds::print_heading("one thread");
    let steps = settings.n.min(1_000_000);
    for (name, kind) in [
        ("range(..)", Kind::Range),
        ("prefix", Kind::Prefix),
        ("range(..), flushed now and then", Kind::Flushed),
        ("range(..), deleted in batches", Kind::Batches),
        ("range(..).rev(), a stack", Kind::Stack),
        ("range(..), beside a writer", Kind::Beside),
    ] {
        let db = Db::open(dir.path().join(name.replace(['(', ')', '.', ',', ' '], "")))?;
        let queue = std::sync::Mutex::new(Queue::new(&db)?);
        let round = |_| {
            runner::run(1, steps, 16, |_, step| {
                // One thread: the lock is a formality of some 10 ns.
                queue.lock().expect("no step panics").step(&db, kind, step).expect("healthy");
            })
        };
        let done = AtomicBool::new(kind != Kind::Beside);
        std::thread::scope(|scope| {
            scope.spawn(|| write_beside(&db, &done));
            Rounds::take(settings.rounds, round).print(name);
            done.store(true, Ordering::Relaxed);
        });
        db.close()?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Range,
    Prefix,
    Flushed,
    Batches,
    Stack,
    Beside,
}

/// Puts keys behind the queue, all the time, until `done`.
fn write_beside(db: &Db, done: &AtomicBool) {
    let mut number: u64 = 0;
    while !done.load(Ordering::Relaxed) {
        db.put([b"other:", &number.to_be_bytes()[..]].concat(), VALUE).expect("healthy");
        number = (number + 1) % 100_000;
    }
}

/// What the database should hold.
struct Queue {
    live: VecDeque<u64>,
    next: u64,
    /// Deleted in the next batch.
    done: u64,
}

/// Not formatted: that would take as long as reading it.
fn key(number: u64) -> [u8; 16] {
    let mut key = *b"job:0000........";
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

impl Queue {
    fn new(db: &Db) -> alluvium::Result<Self> {
        let mut queue = Self { live: VecDeque::new(), next: 0, done: 0 };
        for _ in 0..LIVE {
            queue.put(db)?;
        }
        Ok(queue)
    }

    fn put(&mut self, db: &Db) -> alluvium::Result<()> {
        db.put(key(self.next), VALUE)?;
        self.live.push_back(self.next);
        self.next += 1;
        Ok(())
    }

    fn step(&mut self, db: &Db, kind: Kind, step: u64) -> alluvium::Result<()> {
        self.put(db)?;
        match kind {
            Kind::Stack => {
                // What was put just now: the dead keys pile up behind the last live one.
                let top = self.live.pop_back().expect("never empty");
                db.delete(key(top))?;
            }
            Kind::Batches => {
                self.done += 1;
                if self.done == BATCH {
                    let mut batch = WriteBatch::new();
                    for number in self.live.drain(..std::mem::take(&mut self.done) as usize) {
                        batch.delete(key(number));
                    }
                    db.write(&batch)?;
                }
            }
            _ => {
                let head = self.live.pop_front().expect("never empty");
                db.delete(key(head))?;
            }
        }
        if kind == Kind::Flushed && step % FLUSH_EVERY == FLUSH_EVERY - 1 {
            db.flush()?;
        }
        let check = |number: &u64, key_got: &[u8]| assert_eq!(key_got, key(*number));
        let mut count = 0;
        match kind {
            Kind::Stack => {
                for (got, want) in db.range(..).rev().take(SCAN_KEYS).zip(self.live.iter().rev()) {
                    check(want, &got?.0);
                    count += 1;
                }
            }
            Kind::Prefix => {
                for (got, want) in db.prefix("job:").take(SCAN_KEYS).zip(&self.live) {
                    check(want, &got?.0);
                    count += 1;
                }
            }
            _ => {
                for (got, want) in db.range(..).take(SCAN_KEYS).zip(&self.live) {
                    check(want, &got?.0);
                    count += 1;
                }
            }
        }
        assert_eq!(count, SCAN_KEYS);
        Ok(())
    }
}
