//! LMDB, by heed: a writable map that is not synced, and a transaction for each call.
//!
//! `WRITE_MAP`, `MAP_ASYNC` and `NO_SYNC` are its fastest way to write without waiting for the disk.
//! Writes survive the death of the process then; a crash of the system may damage the database as a
//! whole, which is less than the logs of the others promise. It has neither checksums nor
//! compression, and its cache is the system's: the setting of the cache means nothing to it.
//! `NO_READ_AHEAD` is on where memory is limited, as its documents advise for data larger than it.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use crate::Result;
use crate::data::Key;
use crate::engine::{Engine, Options, Way};

pub(crate) struct Lmdb {
    env: Env,
    pairs: Database<'static, Bytes, Bytes>,
}

impl Engine for Lmdb {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        // Of a fixed size: room for pages that are half full, and for those being replaced.
        let map_bytes = (options.data_bytes * 4 + (1 << 30)).next_multiple_of(1 << 20);
        let mut flags = EnvFlags::WRITE_MAP | EnvFlags::MAP_ASYNC | EnvFlags::NO_SYNC;
        if options.limited {
            flags |= EnvFlags::NO_READ_AHEAD;
        }
        let mut builder = EnvOpenOptions::new();
        builder.map_size(usize::try_from(map_bytes)?);
        // SAFETY: the directory is this process's alone, and nothing else changes the file. Without
        // syncs a crash of the system may damage it, and it is not used after one.
        let env = unsafe { builder.flags(flags).open(dir)? };
        let pairs = env.create_databases_and_commit(env.write_txn()?, |opener, txn| {
            opener.create_database(txn, None).map(CommitOrAbort::<_, ()>::Commit)
        })?;
        let pairs = pairs.unwrap_commit();
        Ok(Self { env, pairs })
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        self.pairs.put(&mut txn, key, value)?;
        Ok(txn.commit()?)
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in pairs {
            self.pairs.put(&mut txn, key, value)?;
        }
        Ok(txn.commit()?)
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        self.pairs.delete(&mut txn, key)?;
        Ok(txn.commit()?)
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let txn = self.env.read_txn()?;
        Ok(read(self.pairs.get(&txn, key)?))
    }

    const HAS_MULTI_GET: bool = true;

    /// Many gets of one transaction.
    fn multi_get(&self, keys: &[Key], mut read: impl FnMut(usize, Option<&[u8]>)) -> Result<()> {
        let txn = self.env.read_txn()?;
        for (at, key) in keys.iter().enumerate() {
            read(at, self.pairs.get(&txn, key)?);
        }
        Ok(())
    }

    /// Its pairs are pointers into the map, which may be kept as long as the transaction lives.
    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let txn = self.env.read_txn()?;
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match way {
            Way::Forward => {
                for pair in self.pairs.range(&txn, &(from, Bound::Unbounded))?.take(limit) {
                    let (key, value) = pair?;
                    see(key, value);
                }
            }
            Way::Backward => {
                for pair in self.pairs.rev_range(&txn, &(Bound::Unbounded, from))?.take(limit) {
                    let (key, value) = pair?;
                    see(key, value);
                }
            }
        }
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn close(self) -> Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
