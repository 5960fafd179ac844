//! Keys, values and directories. A key is a function of the seed and its number, so nothing has to
//! be kept to read it back.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use alluvium::Db;

pub(crate) const KEY_BYTES: usize = 24;
pub(crate) const VALUE_BYTES: usize = 100;

/// Bytes that values are cut from: few enough to stay in the processor's cache, as a value that was
/// just made would. With 1 MiB, reading them was 6 % of a put.
const POOL_BYTES: usize = 16 << 10;

/// The numbers of keys that are never written start here.
const ABSENT: u64 = 1 << 40;

/// Where keys and values of one run come from.
#[derive(Debug)]
pub(crate) struct Workload {
    seed: u64,
    pool: Vec<u8>,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        let words = (0..POOL_BYTES as u64 / 8).flat_map(|word| mix(seed ^ word).to_le_bytes());
        // Mixed, so that neighbouring seeds share no words.
        Self { seed: mix(mix(seed)), pool: words.collect() }
    }

    /// Key number `i`: random bytes, so writing in order of `i` writes in random order.
    #[inline]
    pub(crate) fn key(&self, i: u64) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        for (part, word) in key.chunks_exact_mut(8).zip(0..) {
            part.copy_from_slice(&mix(self.seed ^ (i * 4 + word + 1)).to_le_bytes());
        }
        key
    }

    /// A key that was never written.
    #[inline]
    pub(crate) fn absent_key(&self, i: u64) -> [u8; KEY_BYTES] {
        self.key(ABSENT + i)
    }

    /// The value of key number `i`: incompressible, and not copied to be made.
    #[inline]
    pub(crate) fn value(&self, i: u64) -> &[u8] {
        self.value_of(i, VALUE_BYTES)
    }

    /// The same of another length, below `POOL_BYTES`.
    #[inline]
    pub(crate) fn value_of(&self, i: u64, len: usize) -> &[u8] {
        let at = mix(i) as usize % (POOL_BYTES - len);
        &self.pool[at..at + len]
    }

    /// A number below `n`: choice `i` of `thread`.
    #[inline]
    pub(crate) fn choice(&self, thread: usize, i: u64, n: u64) -> u64 {
        mix(mix(self.seed ^ thread as u64) ^ i) % n
    }

    /// A new database with `n` values of `value_bytes`.
    pub(crate) fn filled(&self, path: &Path, n: u64, value_bytes: usize) -> alluvium::Result<Db> {
        let db = Db::open(path)?;
        for i in 0..n {
            db.put(self.key(i), self.value_of(i, value_bytes))?;
        }
        Ok(db)
    }
}

/// The finaliser of splitmix64 over a Weyl step: a different word for each input. A generator would
/// have to be asked in order.
#[inline]
pub(crate) fn mix(i: u64) -> u64 {
    let mut word = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A directory of its own below `parent`, removed with everything in it on drop.
pub(crate) fn temp_dir(parent: &Path) -> std::io::Result<tempfile::TempDir> {
    std::fs::create_dir_all(parent)?;
    tempfile::Builder::new().prefix("alluvium-bench-").tempdir_in(parent)
}

/// Bytes that the plain files in `dir` take on disk.
pub(crate) fn bytes_on_disk(dir: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        // A file may go while the directory is read.
        if let Ok(metadata) = entry?.metadata() {
            total += metadata.blocks() * 512;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_and_values_repeat_and_do_not_collide() {
        let one = Workload::new(7);
        let again = Workload::new(7);
        let mut seen = HashSet::new();
        for i in 0..10_000 {
            assert_eq!((one.key(i), one.value(i)), (again.key(i), again.value(i)));
            assert!(seen.insert(one.key(i)) && seen.insert(one.absent_key(i)));
            assert!(one.choice(1, i, 10) < 10);
        }
        assert_ne!(one.key(0), Workload::new(8).key(0));
    }
}
