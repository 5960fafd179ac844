//! A backup job: one backup an hour, of which the newest 24 stay; a check of the newest, and a
//! restore of an earlier one.
//!
//! `cargo run --example backup_job`. It works in a temporary directory, makes hours short, and
//! checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use alluvium::{BackupOptions, Backups, Db, DirStore};

/// How many backups stay.
const KEPT: usize = 24;

/// What a timer, or cron, would run each hour, while the program reads and writes.
fn hourly(db: &Db, backups: &Backups, hour: u64) -> alluvium::Result<()> {
    let label = format!("hour {hour}");
    let made = match backups.create(db, &BackupOptions::new().label(label)) {
        // The one before is still at it, or the disk is full: the next hour will do.
        Err(error) if error.is_retryable() => {
            println!("no backup this hour: {error}");
            return Ok(());
        }
        made => made?,
    };
    let deleted = backups.keep(KEPT)?;
    if hour.is_multiple_of(10) {
        println!(
            "backup {}: {} bytes, {} of them new; {} old ones deleted",
            made.id, made.bytes, made.new_bytes, deleted.backups
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let db = Db::open(dir.path().join("data"))?;
    let backups = Backups::new(DirStore::new(dir.path().join("backups")));
    for user in 0..10_000 {
        db.put(format!("user {user:05}"), "from the beginning")?;
    }
    for hour in 1..=30_u64 {
        db.put("hour", hour.to_string())?;
        hourly(&db, &backups, hour)?;
    }
    let list = backups.list()?;
    assert_eq!(list.len(), KEPT);

    // Once a day or so: what lies there may rot.
    let newest = list.last().ok_or("there is a backup")?;
    let report = backups.verify(newest.id)?;
    assert!(report.is_sound(), "{:?}", report.errors);

    // Something went wrong in hour 21: back to the one before.
    let wanted = list.iter().find(|backup| backup.label == "hour 20").ok_or("it was kept")?;
    let place = dir.path().join("restored");
    backups.restore(Some(wanted.id), &place)?;
    let restored = Db::open(&place)?;
    assert_eq!(restored.get("hour")?.as_deref(), Some(&b"20"[..]));
    assert_eq!(restored.len()?, 10_001);
    println!("restored {:?}, with {} keys", wanted.label, restored.len()?);
    Ok(())
}
