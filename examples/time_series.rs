//! A time series: keys that sort by sensor and time, ranges of time, the newest point, averages,
//! and a keyspace for each day, so that old days go away at once.
//!
//! `cargo run --example time_series`. It works in a temporary directory, and checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use alluvium::{Db, Keyspace, KeyspaceOptions, Result, WriteBatch};

const SECONDS_PER_DAY: u64 = 86_400;

/// Sensor and seconds, both big-endian, so that the order of bytes is that of the numbers.
fn key(sensor: u16, at: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&sensor.to_be_bytes());
    key[2..].copy_from_slice(&at.to_be_bytes());
    key
}

fn time_of(key: &[u8]) -> u64 {
    key[2..].try_into().map_or(0, u64::from_be_bytes)
}

fn reading(value: &[u8]) -> f64 {
    value.try_into().map_or(f64::NAN, f64::from_be_bytes)
}

/// The keyspace of one day. Points are read in ranges and never by a key that may be absent: large
/// blocks, and no filter to keep in memory.
fn day(db: &Db, number: u64) -> Result<Keyspace> {
    let options = KeyspaceOptions::new().filter_bits(0).block_bytes(16 << 10);
    db.keyspace_with(&format!("day-{number:05}"), options)
}

/// The average of a sensor's points in a span of time, if there are any.
fn average(points: &Keyspace, sensor: u16, from: u64, to: u64) -> Result<Option<f64>> {
    let mut sum = 0.0;
    let mut count = 0_u32;
    for value in points.range(key(sensor, from)..key(sensor, to)).values() {
        sum += reading(&value?);
        count += 1;
    }
    Ok((count > 0).then(|| sum / f64::from(count)))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let db = Db::open(dir.path().join("data"))?;

    // A point a minute from three sensors over two days; a batch for each hour.
    for number in 0..2 {
        let points = day(&db, number)?;
        for hour in 0..24 {
            let mut batch = WriteBatch::new();
            for minute in 0..60 {
                let at = number * SECONDS_PER_DAY + hour * 3_600 + minute * 60;
                for sensor in 1..=3_u16 {
                    let value = f64::from(sensor) * 100.0 + hour as f64;
                    batch.put_in(&points, key(sensor, at), value.to_be_bytes());
                }
            }
            db.write(&batch)?;
        }
    }
    db.flush()?;

    // An hour of one sensor: 60 points next to each other on disk, whatever the others wrote.
    let today = day(&db, 1)?;
    let from = SECONDS_PER_DAY + 5 * 3_600;
    let to = SECONDS_PER_DAY + 6 * 3_600;
    assert_eq!(today.range(key(2, from)..key(2, to)).len()?, 60);
    assert_eq!(average(&today, 2, from, to)?, Some(205.0));

    // The newest point of a sensor, from the back; and the first at or after a time, by a seek.
    let (newest, value) = today.prefix(2_u16.to_be_bytes()).next_back().ok_or("no point")??;
    assert_eq!((time_of(&newest), reading(&value)), (2 * SECONDS_PER_DAY - 60, 223.0));
    let mut keys = today.prefix(2_u16.to_be_bytes()).keys();
    keys.seek(key(2, from + 1));
    assert_eq!(time_of(&keys.next().ok_or("no point")??), from + 60);

    // Yesterday is over: one small write, not a tombstone for each point.
    db.drop_keyspace("day-00000")?;
    assert_eq!(db.keyspaces(), ["day-00001", "default"]);
    println!("sensor 2, hour 5: {:?} on average", average(&today, 2, from, to)?);
    Ok(())
}
