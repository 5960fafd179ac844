//! fjall: the defaults, but for the cache and the compression.
//!
//! A put is written to the journal by a system call, as Alluvium's survives the process. Filters of
//! 10 bits, blocks of 4 KiB, memtables of 64 MiB and as many workers as cores (at most 4) are its
//! defaults. Compression is LZ4 on all levels or none: by default the two newest levels have none.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Iter, Keyspace, KeyspaceCreateOptions};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Options, Way};

pub(crate) struct Fjall {
    db: Database,
    pairs: Keyspace,
}

impl Engine for Fjall {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let db = Database::builder(dir).cache_size(options.cache_bytes).open()?;
        let compression = if options.compressed {
            CompressionPolicy::all(CompressionType::Lz4)
        } else {
            CompressionPolicy::disabled()
        };
        let pairs = db.keyspace("pairs", || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(compression)
                .max_memtable_size(options.write_buffer_bytes)
        })?;
        Ok(Self { db, pairs })
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.pairs.insert(key, value)?)
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        let mut batch = self.db.batch();
        pairs.iter().for_each(|(key, value)| batch.insert(&self.pairs, *key, *value));
        Ok(batch.commit()?)
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        Ok(self.pairs.remove(key)?)
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let value = self.pairs.get(key)?;
        Ok(read(value.as_deref()))
    }

    /// Its pairs are counted references to blocks: they may be kept.
    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mut pairs = self.range(from, way);
        for _ in 0..limit {
            let pair = match way {
                Way::Forward => pairs.next(),
                Way::Backward => pairs.next_back(),
            };
            let Some(pair) = pair else { break };
            let (key, value) = pair.into_inner()?;
            see(&key, &value);
        }
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(self.pairs.rotate_memtable_and_wait()?)
    }

    fn close(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}

impl Fjall {
    fn range(&self, from: Option<&[u8]>, way: Way) -> Iter {
        match (from, way) {
            (None, _) => self.pairs.iter(),
            (Some(from), Way::Forward) => self.pairs.range(from..),
            (Some(from), Way::Backward) => self.pairs.range(..=from),
        }
    }
}
