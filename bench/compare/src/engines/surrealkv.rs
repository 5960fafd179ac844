//! SurrealKV: a runtime of several threads, and writers that are tasks of it.
//!
//! A commit is written by a task of the engine's own. A writer that is a task, too, as in the
//! programs it was made for, is woken on its own thread; one that blocks on each commit from outside
//! waits for another thread each time, at a fifth of the speed. Commits are `Eventual`, its default:
//! handed to the system, not synced. Reads are calls of the thread that asks.
//!
//! Blocks are 4 KiB as in the other engines (its default is 64 KiB, for large scans); it has no LZ4,
//! so Snappy stands in. Memtables count keys alone, and are 100 MB by default.

use std::future::Future;
use std::path::Path;

use surrealkv::{
    CompactRangeOptions, CompressionType, Error, LSMIterator, Mode, Transaction, Tree, TreeBuilder,
};
use tokio::runtime::Runtime;

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Optimistic, Options, Way};
use crate::workloads::conflicts::{number, one_more};

pub(crate) struct SurrealKv {
    runtime: Runtime,
    tree: Tree,
}

impl Engine for SurrealKv {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut settings = surrealkv::Options::new()
            .with_path(dir.to_path_buf())
            .with_block_size(4 << 10)
            .with_block_cache_capacity(options.cache_bytes);
        if options.compressed {
            let levels = vec![CompressionType::SnappyCompression];
            settings = settings.with_compression_per_level(levels);
        }
        if options.limited {
            // A sixth of an entry of the small values is its key.
            let bytes = usize::try_from(options.write_buffer_bytes / 6)?;
            settings = settings.with_max_memtable_size(bytes);
        }
        let entered = runtime.enter();
        let tree = TreeBuilder::with_options(settings).build()?;
        drop(entered);
        Ok(Self { runtime, tree })
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut txn = self.tree.begin_with_mode(Mode::WriteOnly)?;
        txn.set(key, value)?;
        Ok(txn.commit().await?)
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        let mut txn = self.tree.begin_with_mode(Mode::WriteOnly)?;
        for (key, value) in pairs {
            txn.set(key, *value)?;
        }
        Ok(txn.commit().await?)
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        let mut txn = self.tree.begin_with_mode(Mode::WriteOnly)?;
        txn.delete(key)?;
        Ok(txn.commit().await?)
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let value = self.read()?.get(key)?;
        Ok(read(value.as_deref()))
    }

    const HAS_MULTI_GET: bool = true;

    /// Many gets of one transaction.
    fn multi_get(&self, keys: &[Key], mut read: impl FnMut(usize, Option<&[u8]>)) -> Result<()> {
        let txn = self.read()?;
        for (at, key) in keys.iter().enumerate() {
            read(at, txn.get(key)?.as_deref());
        }
        Ok(())
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        self.walk(from, way, limit, |cursor| {
            see(cursor.key().user_key(), &cursor.value_ref()?);
            Ok(())
        })
    }

    fn scan_kept(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        self.walk(from, way, limit, |cursor| {
            let key = cursor.key().user_key().to_vec();
            see(&key, &cursor.value()?);
            Ok(())
        })
    }

    fn settle(&self) -> Result<()> {
        // Down to the level where tables arrive, which is a flush alone. The rest is its own to do.
        let options = CompactRangeOptions {
            flush_memtable: true,
            target_level: Some(0),
            rewrite_bottommost: false,
        };
        Ok(self.tree.compact_range(None, None, &options)?)
    }

    fn drive<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        let task = self.runtime.spawn(task);
        self.runtime.block_on(task).expect("the task panicked")
    }

    fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.tree.close())?)
    }
}

impl SurrealKv {
    fn read(&self) -> Result<Transaction> {
        Ok(self.tree.begin_with_mode(Mode::ReadOnly)?)
    }

    fn walk(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&dyn LSMIterator) -> Result<()>,
    ) -> Result<()> {
        let txn = self.read()?;
        let range = match (from, way) {
            (None, _) => surrealkv::ReadOptions::new(),
            (Some(from), Way::Forward) => surrealkv::ReadOptions::from_range(from..),
            (Some(from), Way::Backward) => surrealkv::ReadOptions::from_range(..=from),
        };
        let mut cursor = txn.range_with_options(&range)?;
        let mut found = match way {
            Way::Forward => cursor.seek_first()?,
            Way::Backward => cursor.seek_last()?,
        };
        for seen in 1..=limit {
            if !found {
                break;
            }
            see(&cursor)?;
            if seen < limit {
                found = match way {
                    Way::Forward => cursor.next()?,
                    Way::Backward => cursor.prev()?,
                };
            }
        }
        Ok(())
    }
}

/// Snapshot isolation, which is enough where all that is read is written.
impl Optimistic for SurrealKv {
    fn open_optimistic(dir: &Path, options: &Options) -> Result<Self> {
        Self::open(dir, options)
    }

    async fn add(&self, keys: [Key; 2]) -> Result<()> {
        loop {
            let mut txn = self.tree.begin()?;
            for key in &keys {
                let value = txn.get(key)?;
                txn.set(key, one_more(value.as_deref()).as_slice())?;
            }
            match txn.commit().await {
                Err(Error::TransactionWriteConflict | Error::TransactionRetry) => {}
                committed => return Ok(committed?),
            }
        }
    }

    fn number(&self, key: &Key) -> Result<u64> {
        self.get(key, number)
    }

    fn drive<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        Engine::drive(self, task)
    }

    fn close_optimistic(self) -> Result<()> {
        self.close()
    }
}
