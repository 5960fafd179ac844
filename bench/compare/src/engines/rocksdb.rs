//! RocksDB: what its tuning guide sets for such data.
//!
//! A put is written to the log by a system call, not synced. Blocks of 4 KiB, filters of 10 bits,
//! dynamic levels, four memtables of 64 MiB, four background jobs that split large merges in two,
//! pipelined writes, the clock cache and the newest format of tables: the choice of the earlier
//! measurement of these engines, where a hash index in blocks and mapped reads were tried, too, and
//! gained nothing or lost the bound of the cache.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, ErrorKind, IteratorMode,
    OptimisticTransactionDB, Options as Settings, WaitForCompactOptions, WriteBatch,
};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Optimistic, Options, Way};
use crate::workloads::conflicts::{number, one_more};

pub(crate) struct RocksDb(DB);

impl Engine for RocksDb {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        Ok(Self(DB::open(&settings(options)?, dir)?))
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.put(key, value)?)
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        let mut batch = WriteBatch::default();
        pairs.iter().for_each(|(key, value)| batch.put(key, value));
        Ok(self.0.write(batch)?)
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        Ok(self.0.delete(key)?)
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let value = self.0.get_pinned(key)?;
        Ok(read(value.as_deref()))
    }

    const HAS_MULTI_GET: bool = true;

    fn multi_get(&self, keys: &[Key], mut read: impl FnMut(usize, Option<&[u8]>)) -> Result<()> {
        for (at, value) in self.0.multi_get(keys).into_iter().enumerate() {
            read(at, value?.as_deref());
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
        let mut cursor = self.0.raw_iterator();
        match (from, way) {
            (None, Way::Forward) => cursor.seek_to_first(),
            (None, Way::Backward) => cursor.seek_to_last(),
            (Some(from), Way::Forward) => cursor.seek(from),
            (Some(from), Way::Backward) => cursor.seek_for_prev(from),
        }
        for seen in 1..=limit {
            let Some((key, value)) = cursor.item() else { break };
            see(key, value);
            if seen < limit {
                match way {
                    Way::Forward => cursor.next(),
                    Way::Backward => cursor.prev(),
                }
            }
        }
        Ok(cursor.status()?)
    }

    fn scan_kept(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mode = match (from, way) {
            (None, Way::Forward) => IteratorMode::Start,
            (None, Way::Backward) => IteratorMode::End,
            (Some(from), Way::Forward) => IteratorMode::From(from, Direction::Forward),
            (Some(from), Way::Backward) => IteratorMode::From(from, Direction::Reverse),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for pair in self.0.iterator(mode).take(limit) {
            let (key, value) = pair?;
            see(&key, &value);
        }
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        let mut options = WaitForCompactOptions::default();
        options.set_flush(true);
        Ok(self.0.wait_for_compact(&options)?)
    }

    fn close(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}

fn settings(options: &Options) -> Result<Settings> {
    let mut table = BlockBasedOptions::default();
    let cache = usize::try_from(options.cache_bytes)?;
    table.set_block_cache(&Cache::new_hyper_clock_cache(cache, 4 << 10));
    table.set_block_size(4 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_format_version(6);
    let mut settings = Settings::default();
    settings.create_if_missing(true);
    settings.set_block_based_table_factory(&table);
    settings.set_write_buffer_size(usize::try_from(options.write_buffer_bytes)?);
    settings.set_max_write_buffer_number(if options.limited { 2 } else { 4 });
    settings.set_max_background_jobs(4);
    settings.set_max_subcompactions(2);
    settings.set_enable_pipelined_write(true);
    settings.set_level_compaction_dynamic_level_bytes(true);
    let compression =
        if options.compressed { DBCompressionType::Lz4 } else { DBCompressionType::None };
    settings.set_compression_type(compression);
    settings.set_bottommost_compression_type(compression);
    Ok(settings)
}

/// Its optimistic transactions, with the reads that count.
pub(crate) struct Optimist(OptimisticTransactionDB);

impl Optimistic for Optimist {
    fn open_optimistic(dir: &Path, options: &Options) -> Result<Self> {
        let mut settings = settings(options)?;
        // These transactions do not go with it.
        settings.set_enable_pipelined_write(false);
        Ok(Self(OptimisticTransactionDB::open(&settings, dir)?))
    }

    async fn add(&self, keys: [Key; 2]) -> Result<()> {
        loop {
            let transaction = self.0.transaction();
            for key in &keys {
                let value = transaction.get_for_update(key, true)?;
                transaction.put(key, one_more(value.as_deref()))?;
            }
            match transaction.commit() {
                Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::TryAgain) => {}
                committed => return Ok(committed?),
            }
        }
    }

    fn number(&self, key: &Key) -> Result<u64> {
        Ok(number(self.0.get(key)?.as_deref()))
    }

    fn close_optimistic(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}
