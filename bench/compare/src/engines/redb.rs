//! redb: commits without durability, and a durable one each second.
//!
//! `Durability::None` is its only way to write without waiting for the disk. Such commits are in
//! memory alone, so a killed process loses up to a second of them, which is less than the others
//! promise. There is no compression. A read is a transaction and opens the table, as in its
//! documents.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition,
};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Options, Way};

const PAIRS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pairs");

/// What Alluvium's background sync takes, too.
const DURABLE_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Redb {
    db: Database,
    durable_at: Mutex<Instant>,
}

impl Engine for Redb {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut builder = Database::builder();
        builder.set_cache_size(usize::try_from(options.cache_bytes)?);
        let db = builder.create(dir.join("pairs.redb"))?;
        let engine = Self { db, durable_at: Mutex::new(Instant::now()) };
        // So that there is a table to read.
        engine.write(Durability::Immediate, |_| Ok(()))?;
        Ok(engine)
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(self.durability(), |pairs| {
            pairs.insert(key, value)?;
            Ok(())
        })
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        self.write(self.durability(), |table| {
            for (key, value) in pairs {
                table.insert(&key[..], *value)?;
            }
            Ok(())
        })
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        self.write(self.durability(), |pairs| {
            pairs.remove(key)?;
            Ok(())
        })
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let value = self.table()?.get(key)?;
        Ok(read(value.as_ref().map(|value| value.value())))
    }

    const HAS_MULTI_GET: bool = true;

    /// Many gets of one transaction.
    fn multi_get(&self, keys: &[Key], mut read: impl FnMut(usize, Option<&[u8]>)) -> Result<()> {
        let pairs = self.table()?;
        for (at, key) in keys.iter().enumerate() {
            let value = pairs.get(&key[..])?;
            read(at, value.as_ref().map(|value| value.value()));
        }
        Ok(())
    }

    /// Its pairs hold the page that they lie in: they may be kept.
    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let pairs = self.table()?;
        let mut range = match (from, way) {
            (None, _) => pairs.iter()?,
            (Some(from), Way::Forward) => pairs.range::<&[u8]>(from..)?,
            (Some(from), Way::Backward) => pairs.range::<&[u8]>(..=from)?,
        };
        for _ in 0..limit {
            let pair = match way {
                Way::Forward => range.next(),
                Way::Backward => range.next_back(),
            };
            let Some(pair) = pair else { break };
            let (key, value) = pair?;
            see(key.value(), value.value());
        }
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        self.write(Durability::Immediate, |_| Ok(()))
    }

    fn close(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}

impl Redb {
    fn table(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>> {
        Ok(self.db.begin_read()?.open_table(PAIRS)?)
    }

    fn durability(&self) -> Durability {
        let mut at = self.durable_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now - *at < DURABLE_EVERY {
            return Durability::None;
        }
        *at = now;
        Durability::Immediate
    }

    fn write(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut Table<&'static [u8], &'static [u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(durability)?;
        {
            let mut pairs = txn.open_table(PAIRS)?;
            change(&mut pairs)?;
        }
        Ok(txn.commit()?)
    }
}
