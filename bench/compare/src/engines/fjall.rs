//! fjall: the defaults, but for the cache and the compression.
//!
//! A put is written to the journal by a system call, as Alluvium's survives the process. Filters of
//! 10 bits, blocks of 4 KiB, memtables of 64 MiB and as many workers as cores (at most 4) are its
//! defaults. Compression is LZ4 on all levels or none: by default the two newest levels have none.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, Database, Iter, Keyspace, KeyspaceCreateOptions, OptimisticTxDatabase,
    OptimisticTxKeyspace, Readable,
};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Optimistic, Options, Way};
use crate::workloads::conflicts::{number, one_more};

pub(crate) struct Fjall {
    db: Database,
    pairs: Keyspace,
}

impl Engine for Fjall {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let db = Database::builder(dir).cache_size(options.cache_bytes).open()?;
        let pairs = db.keyspace("pairs", || of_keyspace(options))?;
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

fn of_keyspace(options: &Options) -> KeyspaceCreateOptions {
    let compression = if options.compressed {
        CompressionPolicy::all(CompressionType::Lz4)
    } else {
        CompressionPolicy::disabled()
    };
    KeyspaceCreateOptions::default()
        .data_block_compression_policy(compression)
        .max_memtable_size(options.write_buffer_bytes)
}

/// Its serializable transactions, in which all writes pay for the check.
pub(crate) struct Optimist {
    db: OptimisticTxDatabase,
    pairs: OptimisticTxKeyspace,
}

impl Optimistic for Optimist {
    fn open_optimistic(dir: &Path, options: &Options) -> Result<Self> {
        let db = OptimisticTxDatabase::builder(dir).cache_size(options.cache_bytes).open()?;
        let pairs = db.keyspace("pairs", || of_keyspace(options))?;
        Ok(Self { db, pairs })
    }

    async fn add(&self, keys: [Key; 2]) -> Result<()> {
        loop {
            let mut tx = self.db.write_tx()?;
            for key in &keys {
                let value = tx.get(&self.pairs, key)?;
                tx.insert(&self.pairs, *key, one_more(value.as_deref()));
            }
            if tx.commit()?.is_ok() {
                return Ok(());
            }
        }
    }

    fn number(&self, key: &Key) -> Result<u64> {
        Ok(number(self.pairs.get(key)?.as_deref()))
    }

    fn close_optimistic(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}
