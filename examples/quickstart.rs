//! The first page: open, put, get, a keyspace, a batch, iterate, close, open again.
//!
//! `cargo run --example quickstart`. It works in a temporary directory, and checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use alluvium::{Db, Durability, WriteBatch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("data");

    let db = Db::open(&path)?;
    db.put("greeting", "hello, world")?;
    assert_eq!(db.get("greeting")?.as_deref(), Some(&b"hello, world"[..]));
    assert_eq!(db.get("farewell")?, None);

    // A keyspace has keys of its own. It shares the log, so one batch may write to several.
    let users = db.keyspace("users")?;
    let mut batch = WriteBatch::new();
    batch.put_in(&users, "ann", "Ann Example");
    batch.put_in(&users, "bob", "Bob Example");
    batch.put("last-user", "bob");
    // All of it or nothing, and `Sync`: it survives a power loss once the call has returned.
    db.write_with(&batch, Durability::Sync)?;

    // Keys come in bytewise order, from either end.
    for pair in users.range(..).rev() {
        let (key, value) = pair?;
        println!("{} is {}", key.escape_ascii(), value.escape_ascii());
    }
    let keys: Vec<_> = users.range(..).keys().collect::<Result<_, _>>()?;
    assert_eq!(keys, ["ann", "bob"]);

    db.delete("greeting")?;
    // Closing flushes and reports what went wrong. Handles keep the lock: `users` goes first.
    db.close()?;
    drop((users, db));

    let db = Db::open(&path)?;
    assert_eq!(db.get("greeting")?, None);
    assert!(db.get("last-user")?.is_some_and(|name| name == "bob"));
    assert_eq!(db.keyspaces(), ["default", "users"]);
    println!("opened again: {} has everything", db.path().display());
    Ok(())
}
