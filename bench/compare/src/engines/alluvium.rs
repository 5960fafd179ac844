//! Alluvium: the defaults, but for the cache and the compression.
//!
//! Buffered writes survive the death of the process, as they do by default; the log is synced once
//! a second. One thread merges. Compression is LZ4 on all runs or none, as the others have it: the
//! default compresses the oldest run alone.

use std::path::Path;

use alluvium::{Compression, Db, Keyspace, KeyspaceOptions, WriteBatch};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Optimistic, Options, Way};
use crate::workloads::conflicts::{number, one_more};

/// With `MAPPED`, segments are read through a mapping, as LMDB reads its file.
pub(crate) struct Alluvium<const MAPPED: bool> {
    db: Db,
    pairs: Keyspace,
}

impl<const MAPPED: bool> Engine for Alluvium<MAPPED> {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let mut builder = Db::builder(dir).cache_bytes(options.cache_bytes).mapped_reads(MAPPED);
        if options.limited {
            builder = builder
                .memtable_bytes(options.write_buffer_bytes / 4)
                .flush_bytes(options.write_buffer_bytes)
                .memory_bytes(options.write_buffer_bytes * 2);
        }
        let db = builder.open()?;
        let compression = if options.compressed { Compression::Lz4 } else { Compression::None };
        let pairs = KeyspaceOptions::new().compression(compression);
        let pairs = db.keyspace_with("pairs", pairs)?;
        Ok(Self { db, pairs })
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.pairs.put(key, value)?;
        Ok(())
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        let mut batch = WriteBatch::new();
        pairs.iter().for_each(|(key, value)| batch.put_in(&self.pairs, key, value));
        self.db.write(&batch)?;
        Ok(())
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        self.pairs.delete(key)?;
        Ok(())
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        Ok(self.pairs.get_with(key, read)?)
    }

    const HAS_MULTI_GET: bool = true;

    fn multi_get(&self, keys: &[Key], mut read: impl FnMut(usize, Option<&[u8]>)) -> Result<()> {
        let values = self.pairs.multi_get(keys)?;
        values.iter().enumerate().for_each(|(at, value)| read(at, value.as_deref()));
        Ok(())
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mut range = self.range(from, way);
        for _ in 0..limit {
            let pair = match way {
                Way::Forward => range.lend(),
                Way::Backward => range.lend_back(),
            };
            let Some(pair) = pair else { break };
            let (key, value) = pair?;
            see(key, value);
        }
        Ok(())
    }

    fn scan_kept(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mut range = self.range(from, way);
        for _ in 0..limit {
            let pair = match way {
                Way::Forward => range.next(),
                Way::Backward => range.next_back(),
            };
            let Some(pair) = pair else { break };
            let (key, value) = pair?;
            see(&key, &value);
        }
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    fn close(self) -> Result<()> {
        Ok(self.db.close()?)
    }
}

impl<const MAPPED: bool> Alluvium<MAPPED> {
    fn range(&self, from: Option<&[u8]>, way: Way) -> alluvium::Range {
        match (from, way) {
            (None, _) => self.pairs.range(..),
            (Some(from), Way::Forward) => self.pairs.range(from..),
            (Some(from), Way::Backward) => self.pairs.range(..=from),
        }
    }
}

/// Serializable, as by default; the loop is the engine's own.
impl Optimistic for Alluvium<false> {
    fn open_optimistic(dir: &Path, options: &Options) -> Result<Self> {
        Self::open(dir, options)
    }

    async fn add(&self, keys: [Key; 2]) -> Result<()> {
        self.db.transact(|tx| {
            let pairs = tx.of(&self.pairs);
            for key in &keys {
                let value = pairs.get_with(key, one_more)?;
                pairs.put(key, value)?;
            }
            Ok::<_, alluvium::Error>(())
        })?;
        Ok(())
    }

    fn number(&self, key: &Key) -> Result<u64> {
        self.get(key, number)
    }

    fn close_optimistic(self) -> Result<()> {
        self.close()
    }
}
