//! Every workload passes on an engine that is right, and finds one that is wrong.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::*;
use crate::data::Key;
use crate::engine::{Optimistic, Options};

/// A map in memory, that is wrong if told so.
struct Memory {
    pairs: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    lie: bool,
}

impl Memory {
    fn pairs(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.pairs.lock().unwrap()
    }
}

impl Engine for Memory {
    fn open(_: &Path, _: &Options) -> Result<Self> {
        Ok(Self { pairs: Mutex::default(), lie: false })
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.pairs().insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    async fn put_all(&self, pairs: &[(Key, &[u8])]) -> Result<()> {
        self.pairs().extend(pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
        Ok(())
    }

    async fn delete(&self, key: &[u8]) -> Result<()> {
        self.pairs().remove(key);
        Ok(())
    }

    /// The lie: the value of the next key.
    fn get<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let pairs = self.pairs();
        let from = (Bound::Excluded(key.to_vec()), Bound::Unbounded);
        let next = pairs.range(from).next().map(|(_, value)| &value[..]);
        Ok(read(if self.lie { next } else { pairs.get(key).map(|value| &value[..]) }))
    }

    /// The lie: one pair is left out.
    fn scan(
        &self,
        from: Option<&[u8]>,
        way: Way,
        limit: u64,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let pairs = self.pairs();
        let from = from.map_or(Bound::Unbounded, |from| Bound::Included(from.to_vec()));
        let limit = usize::try_from(limit).unwrap();
        let skipped = if self.lie { limit / 2 } else { usize::MAX };
        let mut show = |(at, (key, value)): (usize, (&Vec<u8>, &Vec<u8>))| {
            if at != skipped {
                see(key, value);
            }
        };
        match way {
            Way::Forward => {
                pairs.range((from, Bound::Unbounded)).take(limit).enumerate().for_each(&mut show);
            }
            Way::Backward => {
                let back = pairs.range((Bound::Unbounded, from)).rev();
                back.take(limit).enumerate().for_each(&mut show);
            }
        }
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// Runs a row on data that is loaded by a truthful engine.
fn run_on(row: &'static Row, lie: bool) -> Result<Done> {
    let mut bench = Bench {
        engine: Memory { pairs: Mutex::default(), lie: false },
        data: Data::new(5, row.shape, 300),
        duration: Duration::from_millis(5),
        load_max: Duration::from_secs(60),
    };
    if row.start != Start::Empty {
        bench.engine.drive(load::base(&bench))?;
    }
    bench.engine.lie = lie;
    let bench = Arc::new(bench);
    bench.engine.drive(run(row, Arc::clone(&bench)))
}

impl Memory {
    /// As [`Engine::drive`], of a future that borrows.
    fn drive<T>(&self, task: impl Future<Output = T>) -> T {
        let mut task = std::pin::pin!(task);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match task.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => done,
            std::task::Poll::Pending => unreachable!("nothing here waits"),
        }
    }
}

#[test]
fn every_row_does_something_on_an_engine_that_is_right() {
    for row in ALL.iter().filter(|row| row.name != CONFLICTS) {
        let done = run_on(row, false).unwrap_or_else(|error| panic!("{}: {error}", row.name));
        assert!(done.timed.ops > 0 && !done.cut, "{}", row.name);
        assert_eq!(done.writer.is_some(), row.name == "beside");
    }
}

#[test]
fn every_row_that_reads_finds_an_engine_that_is_wrong() {
    let lied_to = |row: &&Row| !row.name.starts_with("load") && row.name != CONFLICTS;
    for row in ALL.iter().filter(lied_to) {
        let error = run_on(row, true).map(|done| done.timed.ops).expect_err(row.name);
        assert!(error.to_string().starts_with("wrong answer"), "{}: {error}", row.name);
    }
}

#[test]
fn names_of_rows_are_their_own() {
    let mut names: Vec<_> = ALL.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    assert!(names.iter().all(|name| row(name).is_ok()) && row("nothing").is_err());
}

impl Optimistic for Memory {
    fn open_optimistic(dir: &Path, options: &Options) -> Result<Self> {
        Self::open(dir, options)
    }

    /// The lie: an addition in sixteen is lost.
    async fn add(&self, keys: [Key; 2]) -> Result<()> {
        let mut pairs = self.pairs();
        for key in keys {
            let value = conflicts::one_more(pairs.get(&key[..]).map(|value| &value[..]));
            if !self.lie || !value[0].is_multiple_of(16) {
                pairs.insert(key.to_vec(), value.to_vec());
            }
        }
        Ok(())
    }

    fn number(&self, key: &Key) -> Result<u64> {
        self.get(key, conflicts::number)
    }

    fn close_optimistic(self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn additions_that_are_lost_are_found() {
    let data = Arc::new(Data::new(1, Shape::Small, 100));
    let run = |lie| {
        let engine = Arc::new(Memory { pairs: Mutex::default(), lie });
        conflicts::run(&engine, &data, Duration::from_millis(20)).map(|done| done.timed.ops)
    };
    assert!(run(false).unwrap() > 0);
    assert!(run(true).unwrap_err().to_string().starts_with("wrong answer"));
}
