//! Money moved between accounts by several threads at once: each transfer is a transaction, so the
//! sum is always the same, and no account goes below zero.
//!
//!     cargo run --example bank

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::process::ExitCode;

use alluvium::{Db, Error, Isolation, Keyspace, Transaction, TransactionOptions};

const ACCOUNTS: u64 = 8;
const EACH: u64 = 100;
const TRANSFERS: u64 = 500;
const THREADS: u64 = 4;

/// Why money did not move.
#[derive(Debug)]
enum Refused {
    TooLittle { there: u64 },
    Database(Error),
}

// So that `?` works on what the database says inside of the closure.
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

fn name(account: u64) -> String {
    format!("account {account:03}")
}

fn number(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_be_bytes)
}

fn balance(tx: &Transaction, accounts: &Keyspace, account: u64) -> Result<u64, Error> {
    let value = tx.of(accounts).get(name(account))?;
    Ok(value.map_or(0, |value| number(&value)))
}

/// Moves an amount, or changes nothing. Both balances were read, so if somebody changes one of
/// them before this commits it runs again, with what is there then.
fn transfer(db: &Db, accounts: &Keyspace, from: u64, to: u64, amount: u64) -> Result<(), Refused> {
    let moved = db.transact(|tx| {
        let there = balance(tx, accounts, from)?;
        let Some(left) = there.checked_sub(amount) else {
            return Err(Refused::TooLittle { there }); // an error gives the transaction up
        };
        tx.of(accounts).put(name(from), left.to_be_bytes())?;
        let now = balance(tx, accounts, to)? + amount; // sees what this one has written
        tx.of(accounts).put(name(to), now.to_be_bytes())?;
        Ok(())
    });
    moved.map(drop)
}

/// What all accounts have together: one moment, whatever moves meanwhile.
fn sum(db: &Db, accounts: &Keyspace) -> Result<u64, Error> {
    // It only reads, and so keeps no account of what.
    let tx = db.transaction_with(TransactionOptions::new().isolation(Isolation::Snapshot));
    let mut sum = 0;
    for pair in tx.of(accounts).range(..) {
        sum += number(&pair?.1);
    }
    Ok(sum)
}

fn run() -> Result<(), Error> {
    let db = Db::temporary()?;
    let accounts = db.keyspace("accounts")?;
    for account in 0..ACCOUNTS {
        accounts.put(name(account), EACH.to_be_bytes())?;
    }
    let refused = std::thread::scope(|scope| {
        let movers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let db = &db;
                let accounts = &accounts;
                scope.spawn(move || {
                    let mut refused = 0;
                    for n in 0..TRANSFERS {
                        let mixed = (n * THREADS + thread).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                        let from = (mixed >> 60) % ACCOUNTS;
                        let to = (mixed >> 40) % ACCOUNTS;
                        let amount = 1 + (mixed >> 20) % 60;
                        match transfer(db, accounts, from, to, amount) {
                            Ok(()) => {}
                            Err(Refused::TooLittle { there }) => {
                                assert!(there < amount, "refused in vain");
                                refused += 1;
                            }
                            Err(Refused::Database(error)) => return Err(error),
                        }
                    }
                    Ok(refused)
                })
            })
            .collect();
        while movers.iter().any(|mover| !mover.is_finished()) {
            assert_eq!(sum(&db, &accounts)?, ACCOUNTS * EACH, "money came or went");
        }
        let each = movers.into_iter().map(|mover| mover.join().expect("no mover panics"));
        each.sum::<Result<u64, Error>>()
    })?;
    assert_eq!(sum(&db, &accounts)?, ACCOUNTS * EACH, "money came or went");
    let stats = db.stats();
    println!(
        "{} of {} transfers, the others for want of money",
        THREADS * TRANSFERS - refused,
        THREADS * TRANSFERS
    );
    println!("{} conflicts, after each of which one ran again", stats.transaction_conflicts);
    db.close()
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
