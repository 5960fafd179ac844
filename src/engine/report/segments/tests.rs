//! What is listed, while flushes and merges change it: against itself, and against the manifest.

use std::path::PathBuf;

use super::*;
use crate::engine::agenda::pair::{Progress, Step};
use crate::engine::keyspaces::ask::{drop_keyspace, open_keyspace};
use crate::engine::manifest::{self, publish_segments};
use crate::engine::merge::scheduler::{pause_compaction, request_compaction};
use crate::engine::merge::step::merge_step;
use crate::engine::report::stats::gather_stats;
use crate::engine::threads::background::Threads;
use crate::engine::write::put;
use crate::format::meta::BoundKey;
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::SimFs;
use crate::iter::testing::Random;
use crate::options::{Durability, Options};
use crate::runs::SegmentSet;
use crate::sync::Arc;

fn open(segment_bytes: usize, compaction_threads: usize) -> (Arc<Engine>, Threads) {
    let options = Options { segment_bytes, compaction_threads, ..Options::default() };
    Engine::open(Arc::new(SimFs::new()), PathBuf::from("data"), options, None).unwrap()
}

/// Writes noise, which compression does not make shorter.
fn put(engine: &Engine, random: &mut Random, key: &str) {
    let value: Vec<u8> = (0..13).flat_map(|_| random.next().to_le_bytes()).collect();
    let key = key.as_bytes();
    let value = Some(&value[..]);
    put::write_one(engine, KEYSPACE_DEFAULT, key, value, Durability::Buffered).unwrap();
}

fn close(engine: &Engine, threads: &Threads) {
    engine.close().unwrap();
    threads.join();
}

/// The oldest two runs, to be merged from their beginning.
fn first_step(engine: &Engine) -> Step {
    let runs = list_runs(engine);
    let [.., newer, older] = &runs[..] else { panic!("{runs:?}") };
    Step { newer: Some(RunId(newer.id)), ..Step::alone(RunId(older.id)) }
}

fn advance(engine: &Engine, step: &Step) -> Progress {
    merge_step(engine, step, &|| false, &Default::default()).unwrap()
}

/// A run is the sum of what its segments show, and each trim is at the frontier.
#[test]
fn a_trim_shows_in_runs_and_segments() {
    let (engine, threads) = open(32 << 10, 0);
    let mut random = Random::from_env(1);
    for round in 0..2 {
        for n in (0..4_000).step_by(1 + 2 * round) {
            put(&engine, &mut random, &format!("{n:04}"));
        }
        engine.flush().unwrap();
    }
    let runs = list_runs(&engine);
    let [newer, older] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((newer.age, older.age, newer.trimmed, older.trimmed), (0, 1, 0, 0));
    assert_eq!((newer.entries, newer.tombstones, newer.merging), (1_334, 0, false));
    check_sums(&engine);

    let mut step = first_step(&engine);
    let mut trims = 0;
    let mut fewest = u64::MAX;
    let mut most = 0;
    while let Progress::At(frontier) = advance(&engine, &step) {
        check_sums(&engine);
        let trimmed = list_segments(&engine).into_iter().filter(|info| info.trimmed);
        let at = |info: SegmentInfo| info.first_key == frontier.key && !info.last_excluded;
        assert!(trimmed.clone().all(at), "each is trimmed up to the frontier");
        trims += trimmed.count();
        let entries: u64 = list_runs(&engine).iter().map(|run| run.entries).sum();
        fewest = fewest.min(entries);
        most = most.max(entries);
        step.from = Some(frontier);
    }
    assert!(trims > 0, "outputs end at other keys than inputs");
    // Estimates sink from 5,334 to 4,000, by a block or two at each end more or less.
    assert!(fewest < 4_200 && most > 5_000 && most < 5_500, "{fewest} to {most}");
    check_sums(&engine);
    let runs = list_runs(&engine);
    assert_eq!((runs.len(), runs[0].trimmed, runs[0].entries), (1, 0, 4_000));
    close(&engine, &threads);
}

fn check_sums(engine: &Engine) {
    let runs = list_runs(engine);
    let segments = list_segments(engine);
    for run in &runs {
        let parts: Vec<_> = segments.iter().filter(|info| info.run == run.id).collect();
        let sum = |of: fn(&SegmentInfo) -> u64| parts.iter().map(|part| of(part)).sum::<u64>();
        assert_eq!((run.segments, run.bytes), (parts.len() as u64, sum(|part| part.used_bytes)));
        assert_eq!(run.trimmed, parts.iter().filter(|part| part.trimmed).count() as u64);
        assert_eq!(run.file_bytes, sum(|part| part.bytes), "no file has two parts in a run");
        assert!(run.bytes < run.file_bytes && run.entries <= sum(|part| part.entries));
        assert!(parts.iter().all(|part| part.age == run.age && part.used_bytes > 0));
    }
    assert_eq!(runs.iter().map(|run| run.segments).sum::<u64>(), segments.len() as u64);
}

/// I32: wherever a step ends, no user key lies on both sides, though one key fills segments.
#[test]
fn a_frontier_lies_between_user_keys() {
    let (engine, threads) = open(4 << 10, 0);
    let mut random = Random::from_env(2);
    for _ in 0..2 {
        for n in 0..200 {
            // Each version is kept for a snapshot; every fifth key has 100 of them in a run.
            let key = format!("{:02}", if n % 2 == 0 { n } else { n / 50 * 50 } % 100);
            put(&engine, &mut random, &key);
            engine.core.snapshots.register(0, || engine.visible());
        }
        engine.flush().unwrap();
    }
    let mut step = first_step(&engine);
    let mut frontiers = 0;
    assert_eq!(split(&engine.core.view.load_full().segments), None);
    while let Progress::At(frontier) = advance(&engine, &step) {
        frontiers += 1;
        let set = Arc::clone(&engine.core.view.load_full().segments);
        assert_eq!(split(&set), None);
        // As after a crash here: the runs are two, and the rest of the newer one is to be read.
        for part in &set.runs[0].segments {
            assert!(part.first >= frontier, "{part:?} is done, up to {frontier:?}");
        }
        step.from = Some(frontier);
    }
    assert!(frontiers > 2, "{frontiers} steps");
    // Planted: a frontier in the middle of a key's versions, as if the key were in both parts.
    let set = Arc::clone(&engine.core.view.load_full().segments);
    let run = &set.runs[0];
    let twice = [run.segments[0].clone()].into_iter().chain(run.segments.clone()).collect();
    let faulty = Arc::new(Run { id: run.id, segments: twice });
    assert_eq!(split(&SegmentSet { runs: vec![faulty] }), Some(run.segments[0].first.clone()));
    close(&engine, &threads);
}

/// A key that two segments of one run may both hold.
fn split(set: &SegmentSet) -> Option<BoundKey> {
    let pairs = set.runs.iter().flat_map(|run| run.segments.windows(2));
    let apart = |left: &SegmentRef, right: &SegmentRef| {
        left.last < right.first || left.to.as_ref().is_some_and(|to| *to <= right.first)
    };
    pairs.filter(|pair| !apart(&pair[0], &pair[1])).map(|pair| pair[1].first.clone()).next()
}

/// I31, while flushes, two compactors and the end of a keyspace change the runs.
#[test]
fn the_runs_in_memory_are_those_of_the_manifest_at_every_moment() {
    let (engine, threads) = open(4 << 10, 2);
    let mut random = Random::from_env(3);
    let mut changes = 0;
    let mut before = Vec::new();
    let mut look = || {
        let runs = agreed_runs(&engine).expect("memory and manifest say the same");
        changes += usize::from(runs != before);
        before = runs;
    };
    for round in 0..30 {
        // In a pause for a while, so that there is enough to merge.
        pause_compaction(&engine, round < 20);
        let gone = open_keyspace(&engine, &format!("{round}"), None).unwrap();
        for n in 0..100 {
            put(&engine, &mut random, &format!("{:04}", n * 7_919 % 1_000));
            look();
        }
        put::write_one(&engine, gone.id, b"k", Some(b"v"), Durability::Buffered).unwrap();
        engine.flush().unwrap();
        drop_keyspace(&engine, &format!("{round}")).unwrap();
    }
    let (_, answer) = request_compaction(&engine, None).unwrap();
    while answer.is_empty() {
        look();
    }
    answer.recv().unwrap().unwrap();
    look();
    // One for each flush; how many of the merges' is chance.
    assert!(changes >= 30, "{changes} sets of runs were seen");
    assert!(gather_stats(&engine).merges.steps > 0);
    // Planted: published, and no edit.
    publish_segments(&engine.core, |_| SegmentSet::default());
    assert_eq!(agreed_runs(&engine), None);
    close(&engine, &threads);
}

/// The runs of the manifest, if those of the view are the same.
fn agreed_runs(engine: &Engine) -> Option<Vec<crate::format::meta::RunMeta>> {
    let manifest = manifest::locked(&engine.core).unwrap();
    let view = engine.core.view.load_full();
    let runs: Vec<_> = view.segments.runs.iter().map(|run| run.meta()).collect();
    (manifest.state().runs == runs).then_some(runs)
}
