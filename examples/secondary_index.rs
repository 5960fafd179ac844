//! A secondary index: records in one keyspace, an index of them by city in another, kept alike by
//! writing both in one batch.
//!
//! `cargo run --example secondary_index`. It works in a temporary directory, and checks what it
//! says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use alluvium::{Db, Keyspace, Result, WriteBatch};

/// People by name, and an index whose keys are `city NUL name`.
struct People {
    db: Db,
    by_name: Keyspace,
    by_city: Keyspace,
}

impl People {
    fn open(db: Db) -> Result<Self> {
        let by_name = db.keyspace("people")?;
        let by_city = db.keyspace("people-by-city")?;
        Ok(Self { db, by_name, by_city })
    }

    /// Sets where somebody lives. Record and index entry change together: no reader, and no crash,
    /// leaves one without the other. Calls for one person must not overlap, since the old entry is
    /// read before the batch is written: `&mut` sees to that here.
    fn set_city(&mut self, name: &str, city: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        if let Some(old) = self.by_name.get(name)? {
            batch.delete_in(&self.by_city, entry(&old, name));
        }
        batch.put_in(&self.by_name, name, city);
        batch.put_in(&self.by_city, entry(city.as_bytes(), name), "");
        self.db.write(&batch)?;
        Ok(())
    }

    /// The names of those who live in a city, in order.
    fn in_city(&self, city: &str) -> Result<Vec<String>> {
        let prefix = entry(city.as_bytes(), "");
        let mut names = Vec::new();
        for key in self.by_city.prefix(&prefix).keys() {
            names.push(String::from_utf8_lossy(&key?[prefix.len()..]).into_owned());
        }
        Ok(names)
    }
}

/// A city holds no NUL, so this one ends it: "Rom" is not a prefix of "Roma" here.
fn entry(city: &[u8], name: &str) -> Vec<u8> {
    [city, b"\0", name.as_bytes()].concat()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut people = People::open(Db::open(dir.path().join("data"))?)?;
    people.set_city("cleo", "Rom")?;
    people.set_city("ann", "Rom")?;
    people.set_city("bob", "Roma")?;
    assert_eq!(people.in_city("Rom")?, ["ann", "cleo"]);

    // Moving takes the old entry away in the same step.
    people.set_city("cleo", "Oslo")?;
    assert_eq!(people.in_city("Rom")?, ["ann"]);
    assert_eq!(people.in_city("Oslo")?, ["cleo"]);
    assert_eq!(people.by_city.len()?, people.by_name.len()?);

    // A snapshot shows record and index as they were together.
    let snapshot = people.db.snapshot();
    people.set_city("bob", "Rom")?;
    assert!(people.in_city("Roma")?.is_empty());
    let mut then = snapshot.of(&people.by_city).prefix(entry(b"Roma", "")).keys();
    assert!(then.next().transpose()?.is_some_and(|key| key == entry(b"Roma", "bob")));
    assert!(snapshot.of(&people.by_name).get("bob")?.is_some_and(|city| city == "Roma"));
    println!("people in Rom: {:?}", people.in_city("Rom")?);
    Ok(())
}
