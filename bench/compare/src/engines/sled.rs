//! sled 0.34: its mode for throughput, and the cache.
//!
//! Its log is handed to the system every 500 ms, its default, so a killed process loses up to half
//! a second, which is less than the others promise. It has no LZ4; its own compression, of zstd, is
//! left off, which is its default. It keeps far more in memory than its cache may hold.

use std::path::Path;

use sled::{Batch, Config, Db, Mode};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Options, Way};

pub(crate) struct Sled(Db);

impl Engine for Sled {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let config = Config::new().path(dir).mode(Mode::HighThroughput);
        Ok(Self(config.cache_capacity(options.cache_bytes).open()?))
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key, value)?;
        Ok(())
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        let mut batch = Batch::default();
        pairs.iter().for_each(|(key, value)| batch.insert(key, *value));
        Ok(self.0.apply_batch(batch)?)
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        self.0.remove(key)?;
        Ok(())
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let value = self.0.get(key)?;
        Ok(read(value.as_deref()))
    }

    /// Its pairs are counted references: they may be kept.
    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mut range = match (from, way) {
            (None, _) => self.0.iter(),
            (Some(from), Way::Forward) => self.0.range(from..),
            (Some(from), Way::Backward) => self.0.range(..=from),
        };
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
        self.0.flush()?;
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.0.flush()?;
        Ok(())
    }
}
