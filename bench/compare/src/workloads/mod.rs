//! The workloads, a file each, and the rows of the tables that they fill.

mod beside;
pub(crate) mod conflicts;
pub(crate) mod get;
mod load;
mod missing;
mod multi_get;
mod queue;
pub(crate) mod scan;
pub(crate) mod seek;
mod ycsb;
mod zipf;

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::data::{Data, Shape};
use crate::engine::{Engine, Way};
use crate::measure::{Recorder, Timed};
use crate::usage::Usage;

/// A line of the results.
pub(crate) struct Row {
    /// As the settings have it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    pub(crate) shape: Shape,
    pub(crate) start: Start,
}

/// What a workload begins with, and whether what it leaves behind is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// An empty directory; settles afterwards.
    Empty,
    /// All keys of its shape, settled. Only reads.
    Loaded,
    /// The same. Writes, and settles afterwards.
    LoadedToWrite,
}

impl Row {
    pub(crate) fn writes(&self) -> bool {
        self.start != Start::Loaded
    }

    const fn reads(name: &'static str, title: &'static str, unit: &'static str) -> Self {
        Self { name, title, unit, shape: Shape::Small, start: Start::Loaded }
    }

    const fn has(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    const fn starts(self, start: Start) -> Self {
        Self { start, ..self }
    }
}

/// The row for which engines are opened for transactions.
pub(crate) const CONFLICTS: &str = "conflicts";

/// In the order of the tables.
pub(crate) const ALL: &[Row] = &[
    Row::reads("load_batches", "Load, ascending keys, batches of 100", "puts/s")
        .starts(Start::Empty),
    Row::reads("load_random", "Load, random order, one put each", "puts/s").starts(Start::Empty),
    Row::reads("get", "Get, uniform, 1 thread", "gets/s"),
    Row::reads("get_2", "Get, uniform, 2 threads", "gets/s"),
    Row::reads("get_zipf", "Get, Zipf", "gets/s"),
    Row::reads("get_missing", "Get of missing keys", "gets/s"),
    Row::reads("gets_100", "100 random keys, a get each", "keys/s"),
    Row::reads("multi_get_100", "100 random keys, one call", "keys/s"),
    Row::reads("seek", "Seek + 10 forward", "seeks/s"),
    Row::reads("seek_back", "Seek + 10 backward", "seeks/s"),
    Row::reads("scan", "Scan of all, forward, lent", "keys/s"),
    Row::reads("scan_back", "Scan of all, backward, lent", "keys/s"),
    Row::reads("scan_kept", "Scan of all, forward, kept", "keys/s"),
    Row::reads("scan_back_kept", "Scan of all, backward, kept", "keys/s"),
    Row::reads("beside", "Get beside a writer at full speed", "gets/s")
        .starts(Start::LoadedToWrite),
    Row::reads("ycsb_a", "YCSB A: half updates, Zipf", "ops/s")
        .has(Shape::Kilobyte)
        .starts(Start::LoadedToWrite),
    Row::reads("ycsb_b", "YCSB B: 5 % updates, Zipf", "ops/s")
        .has(Shape::Kilobyte)
        .starts(Start::LoadedToWrite),
    Row::reads("ycsb_c", "YCSB C: reads, Zipf", "ops/s").has(Shape::Kilobyte),
    Row::reads("ycsb_e", "YCSB E: short scans, 5 % inserts", "ops/s")
        .has(Shape::Kilobyte)
        .starts(Start::LoadedToWrite),
    Row::reads("get_4k", "Get, values of 4 KiB", "gets/s").has(Shape::FourKib),
    Row::reads("get_64k", "Get, values of 64 KiB", "gets/s").has(Shape::SixtyFourKib),
    Row::reads(CONFLICTS, "Two of ten numbers raised in a transaction, 4 threads", "commits/s")
        .starts(Start::Empty),
    Row::reads("queue", "Queue: put at the tail, delete at the head, scan 10", "steps/s")
        .starts(Start::Empty),
];

/// The row of this name.
pub(crate) fn row(name: &str) -> Result<&'static Row> {
    let found = ALL.iter().find(|row| row.name == name);
    found.ok_or_else(|| format!("there is no row `{name}`").into())
}

/// What a workload runs on, shared by its threads.
pub(crate) struct Bench<E> {
    pub(crate) engine: E,
    pub(crate) data: Data,
    /// How long what has no end of its own goes on.
    pub(crate) duration: Duration,
    /// When a load that is not done is cut.
    pub(crate) load_max: Duration,
}

/// What a workload has done.
pub(crate) struct Done {
    /// When the measured part began.
    pub(crate) before: Usage,
    pub(crate) timed: Timed,
    /// Of a writer beside it.
    pub(crate) writer: Option<Timed>,
    pub(crate) cut: bool,
}

impl Done {
    fn new(before: Usage, timed: Timed) -> Self {
        Self { before, timed, writer: None, cut: false }
    }
}

pub(crate) async fn run<E: Engine>(row: &'static Row, bench: Arc<Bench<E>>) -> Result<Done> {
    match row.name {
        "load_batches" => load::batches(&bench).await,
        "load_random" => load::random(&bench).await,
        "get" | "get_4k" | "get_64k" => get::run(&bench, 1),
        "get_2" => get::run(&bench, 2),
        "get_zipf" | "ycsb_c" => zipf::run(&bench),
        "get_missing" => missing::run(&bench),
        "gets_100" => multi_get::one_by_one(&bench),
        "multi_get_100" => multi_get::together(&bench),
        "seek" => seek::run(&bench, Way::Forward),
        "seek_back" => seek::run(&bench, Way::Backward),
        "scan" => scan::run(&bench, Way::Forward, scan::Hold::Lent),
        "scan_back" => scan::run(&bench, Way::Backward, scan::Hold::Lent),
        "scan_kept" => scan::run(&bench, Way::Forward, scan::Hold::Kept),
        "scan_back_kept" => scan::run(&bench, Way::Backward, scan::Hold::Kept),
        "beside" => beside::run(bench).await,
        "ycsb_a" => ycsb::updates(&bench, 50).await,
        "ycsb_b" => ycsb::updates(&bench, 5).await,
        "ycsb_e" => ycsb::scans(&bench).await,
        "queue" => queue::run(&bench).await,
        other => Err(format!("there is no row `{other}`").into()),
    }
}

/// Whether the engine has what the row is about.
pub(crate) fn applies<E: Engine>(row: &Row) -> bool {
    row.name != "multi_get_100" || E::HAS_MULTI_GET
}

impl<E: Engine> Bench<E> {
    /// Writes all keys in random order, in large batches: what the reading rows begin with.
    pub(crate) async fn load(&self) -> Result<()> {
        load::base(self).await
    }

    /// Reads one pair or two of each block, so that what fits into a cache is in it.
    pub(crate) fn warm(&self) -> Result<()> {
        let stride = (2_048 / self.data.entry_bytes()).max(1);
        for i in (0..self.data.count()).step_by(stride as usize) {
            get::one(self, i)?;
        }
        Ok(())
    }

    /// Repeats `op(thread, i)` on some threads: first for a while to warm up, then for the time
    /// that is asked for. Each `op` stands for `each` operations.
    fn repeat(
        &self,
        threads: u64,
        each: u64,
        op: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<Done> {
        self.warm()?;
        let part = |thread: u64, from: u64, duration: Duration| -> Result<Timed> {
            let mut recorder = Recorder::start();
            let mut i = from;
            while recorder.elapsed() < duration {
                op(thread, i)?;
                recorder.done(each);
                i += 1;
            }
            Ok(recorder.finish())
        };
        let all = |from: u64, duration: Duration| -> Result<Timed> {
            std::thread::scope(|scope| {
                let part = &part;
                let others =
                    (1..threads).map(|thread| scope.spawn(move || part(thread, from, duration)));
                let others: Vec<_> = others.collect();
                let mut timed = part(0, from, duration)?;
                for other in others {
                    timed = timed.beside(&other.join().expect("the thread panicked")?);
                }
                Ok(timed)
            })
        };
        all(1 << 40, self.duration / 4)?;
        let before = Usage::now();
        let timed = all(0, self.duration)?;
        Ok(Done::new(before, timed))
    }
}

#[cfg(test)]
mod tests;
