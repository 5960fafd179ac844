//! What a snapshot is: writers move money between accounts, and every reader finds all of it, while
//! nobody waits for anybody.
//!
//! `cargo run --example snapshot_isolation`. It works in a temporary directory, and checks what it
//! says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alluvium::{Db, Result, Snapshot, WriteBatch};

const ACCOUNTS: u64 = 10;
const EACH: u64 = 100;

fn account(number: u64) -> String {
    format!("account {number:02}")
}

fn amount(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// The sum over all accounts, by reads one after the other, at one moment.
fn total(snapshot: &Snapshot) -> Result<u64> {
    snapshot.range(..).values().map(|value| value.map(|value| amount(&value))).sum()
}

/// Moves 1 from each account to the next, in turn. One writer: a batch does not check what it was
/// computed from, so writers of the same accounts would have to agree among themselves.
fn move_money(db: &Db) -> Result<()> {
    for round in 0..2_000 {
        let from = account(round % ACCOUNTS);
        let to = account((round + 1) % ACCOUNTS);
        let balances = db.multi_get([&from, &to])?;
        let [from_has, to_has] = [0, 1].map(|i: usize| balances[i].as_deref().map_or(0, amount));
        let mut batch = WriteBatch::new();
        batch.put(&from, (from_has - 1).to_be_bytes());
        batch.put(&to, (to_has + 1).to_be_bytes());
        db.write(&batch)?;
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    // Small memtables, so that flushes happen while the snapshots live.
    let db = Db::builder(dir.path().join("data")).memtable_bytes(32 << 10).open()?;
    for number in 0..ACCOUNTS {
        db.put(account(number), EACH.to_be_bytes())?;
    }

    let start = db.snapshot();
    let over = AtomicBool::new(false);
    let read = || -> Result<usize> {
        let mut reads = 0;
        while !over.load(Ordering::Relaxed) || reads == 0 {
            // A batch shows in a snapshot as a whole or not at all, so the sum never changes.
            assert_eq!(total(&db.snapshot())?, ACCOUNTS * EACH);
            reads += 1;
        }
        Ok(reads)
    };
    let (moved, reads) = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(read));
        let moved = move_money(&db);
        over.store(true, Ordering::Relaxed);
        (moved, readers.map(|reader| reader.join().expect("a reader found the sum changed")))
    });
    moved?;
    let reads: usize = reads.into_iter().sum::<Result<_>>()?;
    db.put(account(0), 0_u64.to_be_bytes())?;
    db.flush()?;

    // The first snapshot is where it was, though everything was overwritten and flushed since.
    for number in 0..ACCOUNTS {
        assert_eq!(start.get(account(number))?.as_deref().map(amount), Some(EACH));
    }
    assert!(total(&db.snapshot())? < total(&start)?);
    println!("{reads} sums over moving accounts, and each was {}", ACCOUNTS * EACH);
    Ok(())
}
