//! Requests that could wait for ever, and troubles that were told to the wrong ones: symptom,
//! mechanism, fix.

use std::path::PathBuf;

use super::*;
use crate::engine::Upkeep;
use crate::engine::cleanup::{Reclaim, clean_up};
use crate::engine::index::rebuild_index;
use crate::engine::index::verify::verify;
use crate::engine::keyspaces::ask::{drop_keyspace, open_keyspace};
use crate::engine::merge::choose::{choose, choose_unasked};
use crate::engine::merge::scheduler::{
    cancel_compaction, charge, conclude, pause_compaction, request_compaction, take_toll,
};
use crate::engine::merge::step::{merge_step, would_write};
use crate::engine::read::get::{ReadAt, default_keyspace, get};
use crate::engine::report::segments::list_segments;
use crate::engine::report::stats::gather_health;
use crate::engine::threads::background::Threads;
use crate::engine::write::put;
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId};
use crate::io::SimFs;
use crate::iter::testing::Random;
use crate::options::{Durability, KeyspaceOptions, Options};

type Answer = Receiver<Result<()>>;

const BUFFERED: Durability = Durability::Buffered;

fn open() -> (Arc<Engine>, Threads) {
    open_with(4 << 10)
}

fn open_with(segment_bytes: usize) -> (Arc<Engine>, Threads) {
    open_on(&SimFs::new(), segment_bytes)
}

fn open_on(fs: &SimFs, segment_bytes: usize) -> (Arc<Engine>, Threads) {
    open_merging(fs, segment_bytes, 0)
}

fn open_merging(
    fs: &SimFs,
    segment_bytes: usize,
    compaction_threads: usize,
) -> (Arc<Engine>, Threads) {
    let options = Options {
        memtable_bytes: 64 << 10,
        flush_bytes: 256 << 10,
        sync_every: std::time::Duration::ZERO,
        compaction_threads,
        segment_bytes,
        ..Options::default()
    };
    Engine::open(Arc::new(fs.clone()), PathBuf::from("data"), options, None).unwrap()
}

fn close(engine: &Engine, threads: &Threads) {
    let _ = engine.close();
    threads.join();
    engine.release_directory();
}

/// A run of a few keys, in each of the keyspaces.
fn add_run(engine: &Engine, keyspaces: &[KeyspaceId]) {
    for &keyspace in keyspaces {
        for key in 0..20 {
            let key = format!("{key:03}").into_bytes();
            put::write_one(engine, keyspace, &key, Some(&[b'v'; 50]), Durability::Buffered)
                .unwrap();
        }
    }
    engine.flush().unwrap();
}

fn ask(engine: &Engine) -> (Arc<RequestProgress>, Answer) {
    request_compaction(engine, None).unwrap()
}

fn full(engine: &Engine) -> Error {
    Error::io("write", &engine.core.dir, std::io::ErrorKind::StorageFull.into())
}

/// Begins the job that merges `newer` into `older`, as if a thread were at a step of it.
fn begin(engine: &Engine, newer: RunId, older: RunId) -> u64 {
    let mut state = lock(&engine.core.merges.state);
    let at = state.begin(Step { newer: Some(newer), ..Step::alone(older) });
    take_up(&mut state, at)
}

/// Lets a thread be at a step of a job.
fn take_up(state: &mut MergeState, at: usize) -> u64 {
    state.jobs[at].running = true;
    state.jobs[at].id
}

fn first_bound() -> BoundKey {
    BoundKey { keyspace: KEYSPACE_DEFAULT, key: Vec::new() }
}

fn runs(engine: &Engine) -> Vec<RunId> {
    engine.core.view.load().segments.runs.iter().map(|run| run.id).collect()
}

/// Symptom: `compact()` never returned when the writer had been stopped by a failed sync meanwhile.
/// Mechanism: the compactor then waits, and looked at no request. Fix: they end with the cause.
#[test]
fn a_request_ends_when_the_writer_is_stopped() {
    let (engine, threads) = open();
    (0..2).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    pause_compaction(&engine, true);
    let (_progress, answer) = ask(&engine);
    let cause = Error::io("sync", &engine.core.dir, std::io::ErrorKind::Other.into());
    engine.core.group_sync.latch(cause);
    pause_compaction(&engine, false);
    assert!(matches!(answer.recv().unwrap(), Err(Error::WriterStopped { .. })));
    assert!(matches!(request_compaction(&engine, None), Err(Error::WriterStopped { .. })));
    close(&engine, &threads);
}

/// Symptom: `cancel` of a paused compaction, or of one that another was ahead of, did not make
/// `wait` return. Mechanism: only the request at hand was looked at, and not in a pause. Fix: all
/// are looked at, first of all.
#[test]
fn a_cancelled_request_ends_also_in_a_pause() {
    let (engine, threads) = open();
    (0..2).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    pause_compaction(&engine, true);
    let (first, first_answer) = ask(&engine);
    let (second, second_answer) = ask(&engine);
    cancel_compaction(&engine, &second);
    second_answer.recv().unwrap().unwrap();
    cancel_compaction(&engine, &first);
    first_answer.recv().unwrap().unwrap();
    assert_eq!(runs(&engine).len(), 2);
    close(&engine, &threads);
}

/// Symptom: the compaction of a range did not end while its keys were being written. Mechanism: the
/// runs of later flushes were taken in. Fix: they are none of its business, as for all of it.
#[test]
fn a_range_is_compacted_as_it_was_when_asked_for() {
    let (engine, threads) = open();
    (0..3).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    let oldest = *runs(&engine).last().unwrap();
    pause_compaction(&engine, true);
    let from = BoundKey { keyspace: KEYSPACE_DEFAULT, key: b"0".to_vec() };
    let (_progress, answer) = request_compaction(&engine, Some((from, None))).unwrap();
    add_run(&engine, &[KEYSPACE_DEFAULT]);
    let newest = runs(&engine)[0];
    pause_compaction(&engine, false);
    answer.recv().unwrap().unwrap();
    assert_eq!(runs(&engine), [newest, oldest]);
    close(&engine, &threads);
}

/// Symptom: after a full disk had space again, `compact()` waited for up to half a minute, until
/// the background's next try. Fix: who asks is served at once, also where the job that has failed
/// is another's.
#[test]
fn a_request_does_not_wait_for_a_retry() {
    for range in [None, Some((first_bound(), None))] {
        let (engine, threads) = open();
        (0..2).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
        let [newer, older] = runs(&engine)[..] else { panic!("two runs") };
        let job = begin(&engine, newer, older);
        conclude(&engine, job, Err(full(&engine)));
        let never = Instant::now() + Duration::from_secs(3600);
        lock(&engine.core.merges.state).failures.put_off(never);
        let (_progress, answer) = request_compaction(&engine, range).unwrap();
        answer.recv().unwrap().unwrap();
        assert_eq!(runs(&engine).len(), 1);
        assert!(gather_health(&engine).is_healthy());
        close(&engine, &threads);
    }
}

/// Symptom: while one pair could not be merged `health()` was clear, and its next try came too
/// soon. Mechanism: there was one place for the failure of all merges, and the success of any
/// cleared it. Fix: a failure belongs to the runs of its job.
#[test]
fn the_success_of_one_job_says_nothing_of_another() {
    let (engine, threads) = open();
    (0..6).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    let [a, b, c, d, e, f] = runs(&engine)[..] else { panic!("six runs") };
    let failing = begin(&engine, a, b);
    let sound = begin(&engine, c, d);
    conclude(&engine, failing, Err(full(&engine)));
    conclude(&engine, sound, Ok(Progress::At(first_bound())));
    let trouble = || gather_health(&engine).background_error;
    assert!(matches!(trouble(), Some(Error::StorageFull { .. })), "{:?}", trouble());
    // The newest one shows, and after its end the one before.
    let other = begin(&engine, e, f);
    let cause = Error::io("read", &engine.core.dir, std::io::ErrorKind::Other.into());
    conclude(&engine, other, Err(cause));
    assert!(matches!(trouble(), Some(Error::Io { .. })), "{:?}", trouble());
    conclude(&engine, other, Ok(Progress::Done));
    assert!(matches!(trouble(), Some(Error::StorageFull { .. })), "{:?}", trouble());
    conclude(&engine, failing, Ok(Progress::At(first_bound())));
    assert!(gather_health(&engine).is_healthy());
    close(&engine, &threads);
}

/// Symptom: `compact()` of sound runs failed with the error of a merge of other runs. Mechanism: a
/// step that failed ended the request at hand, whosever it was. Fix: a request fails by its own
/// steps.
#[test]
fn a_request_fails_by_its_own_steps_only() {
    let (engine, threads) = open();
    (0..4).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    let [a, b, c, d] = runs(&engine)[..] else { panic!("four runs") };
    pause_compaction(&engine, true);
    let (_progress, answer) = ask(&engine);
    lock(&engine.core.merges.state).take_request();
    let job = begin(&engine, a, b);
    conclude(&engine, job, Err(full(&engine)));
    assert!(answer.is_empty(), "{:?}", answer.recv());
    let job = begin(&engine, c, d);
    let asked = |state: &mut MergeState| {
        let asked = state.asked();
        state
            .jobs
            .iter_mut()
            .filter(|other| other.id == job)
            .for_each(|it| it.asked = asked.clone());
    };
    asked(&mut lock(&engine.core.merges.state));
    conclude(&engine, job, Err(full(&engine)));
    assert!(matches!(answer.recv().unwrap(), Err(Error::StorageFull { .. })));
    // What fails before the next one begins is tried again for that, and is no failure of its.
    let (_progress, answer) = ask(&engine);
    pause_compaction(&engine, false);
    answer.recv().unwrap().unwrap();
    assert_eq!((runs(&engine).len(), gather_health(&engine).is_healthy()), (1, true));
    close(&engine, &threads);
}

/// Unasked, what has failed is left alone until its time has come, and nothing else is.
#[test]
fn what_has_failed_waits_by_itself() {
    let (engine, threads) = open();
    (0..6).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    let [a, b, c, d, _, _] = runs(&engine)[..] else { panic!("six runs") };
    let view = engine.core.view.load_full();
    let set = &view.segments;
    let failed = begin(&engine, a, b);
    conclude(&engine, failed, Err(full(&engine)));
    let broken = begin(&engine, c, d);
    conclude(&engine, broken, Err(damage(&engine, 3)));
    let now = Instant::now();
    let mut state = lock(&engine.core.merges.state);
    state.failures.put_off(now + Duration::from_secs(3600));
    let mut chosen = Vec::new();
    while let Some(at) = choose_unasked(&engine, &mut state, set, true, now) {
        take_up(&mut state, at);
        let Step { newer, older, .. } = state.jobs[at].step.clone();
        chosen.push([newer.unwrap(), older].map(|id| set.runs.iter().position(|run| run.id == id)));
    }
    // Of c and d the damaged one is d.
    assert_eq!(chosen, [[Some(4), Some(5)]]);
    state.jobs.retain(|job| job.id == failed);
    state.failures.put_off(now);
    let at = choose_unasked(&engine, &mut state, set, true, now).unwrap();
    assert_eq!(state.jobs[at].id, failed);
    drop(state);
    close(&engine, &threads);
}

/// A run of so many keys, or several, with values that do not compress.
fn add_random(engine: &Engine, random: &mut Random, keys: u32) {
    for key in 0..keys {
        let value: Vec<_> = (0..25).flat_map(|_| random.next().to_be_bytes()).collect();
        let key = key.to_be_bytes();
        put::write_one(engine, KEYSPACE_DEFAULT, &key, Some(&value), BUFFERED).unwrap();
    }
    engine.flush().unwrap();
}

/// D50: merging down, paid or not, comes behind what is due, which it would keep waiting.
#[test]
fn what_is_due_comes_before_what_reads_have_paid_for() {
    let (engine, threads) = open_merging(&SimFs::new(), 64 << 10, 1);
    let mut random = Random::from_env(0x0064_7565);
    add_random(&engine, &mut random, 1_900);
    ask(&engine).1.recv().unwrap().unwrap();
    pause_compaction(&engine, true);
    // The second makes the oldest due, and the newest is too small to be taken in before.
    add_random(&engine, &mut random, 600);
    add_random(&engine, &mut random, 130);
    let [newest, second, oldest] = runs(&engine)[..] else { panic!("three runs") };
    let horizon = Horizon::read(&engine);
    let view = engine.core.view.load_full();
    let set = &view.segments;
    let now = Instant::now();
    let mut state = lock(&engine.core.merges.state);
    state.toll.look(1 << 40, 3, 1 << 20);
    assert!(state.toll.is_due());
    let pair = |state: &MergeState, at: usize| {
        let step = &state.jobs[at].step;
        (step.newer.unwrap(), step.older)
    };
    // What merging down would begin with.
    let at = choose_unasked(&engine, &mut state, set, true, now).unwrap();
    assert_eq!(pair(&state, at), (newest, second));
    state.jobs.clear();
    state.steps = 0;
    let at = choose(&engine, &mut state, set, (false, now), &horizon).unwrap();
    assert_eq!(pair(&state, at), (second, oldest));
    drop(state);
    close(&engine, &threads);
}

/// A pause is no look: what is read in it pays when it ends.
#[test]
fn a_paused_compactor_takes_no_toll() {
    let (engine, threads) = open();
    (0..2).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    pause_compaction(&engine, true);
    let keyspace = default_keyspace(&engine);
    for _ in 0..2_000 {
        get(&engine, &keyspace, b"007", ReadAt::Now).unwrap().unwrap();
    }
    let horizon = Horizon::read(&engine);
    let mut state = lock(&engine.core.merges.state);
    // Whatever its threads have seen.
    state.toll = Default::default();
    let looked = |state: &mut MergeState| {
        drop(next(&engine, state, &horizon));
        state.toll.is_due()
    };
    assert!(!looked(&mut state));
    engine.core.merges.paused.store(false, Ordering::Relaxed);
    assert!(looked(&mut state));
    drop(state);
    close(&engine, &threads);
}

/// Symptom: a store that was read all the time and written to now and then kept its runs.
/// Mechanism: each commit began the wait for a pause again. Fix: reads pay for what they meet.
#[test]
fn reads_have_runs_merged_down_though_there_is_no_pause() {
    let (engine, threads) = open_with(64 << 10);
    let keyspace = default_keyspace(&engine);
    let mut random = Random::from_env(0x0074_6f6c);
    add_random(&engine, &mut random, 2_000);
    ask(&engine).1.recv().unwrap().unwrap();
    // Neither in proportion to what is below, nor enough for that to be due.
    add_random(&engine, &mut random, 300);
    assert_eq!(runs(&engine).len(), 2);
    let begun = |reads: u32| {
        for key in 0..reads {
            let key = (key % 300).to_be_bytes();
            get(&engine, &keyspace, &key, ReadAt::Now).unwrap().unwrap();
        }
        let view = engine.core.view.load_full();
        let mut state = lock(&engine.core.merges.state);
        take_toll(&engine, &mut state, &view.segments);
        let due = state.toll.is_due();
        choose_unasked(&engine, &mut state, &view.segments, due, Instant::now()).is_some()
    };
    let bytes: u64 = list_segments(&engine).iter().map(|segment| segment.raw_bytes).sum();
    let enough = u32::try_from(bytes / 20 + 1).unwrap();
    assert!(!begun(0) && !begun(enough / 2));
    // What another merge has read is charged.
    charge(&engine, 10 * u64::from(enough));
    assert!(!begun(enough - enough / 2) && begun(enough / 2 + 1));
    close(&engine, &threads);
}

/// What a step says of a damaged block in the first segment of a run.
fn damage(engine: &Engine, run: usize) -> Error {
    let view = engine.core.view.load_full();
    let segment = &view.segments.runs[run].segments[0].segment;
    segment.file().corruption("data block", "a sound one".to_owned(), "another".to_owned())
}

/// Symptom: `health()` was clear after a `compact()` that had nothing to read, though a damaged
/// segment was still there. Mechanism: any whole compaction that ended well counted as having read
/// everything. Fix: damage stands until no run has the segment, or all of it was read and sound.
#[test]
fn damage_is_known_until_it_is_gone_or_was_none() {
    let fs = SimFs::new();
    let (engine, threads) = open_on(&fs, 4 << 10);
    add_run(&engine, &[KEYSPACE_DEFAULT]);
    let meet = || {
        let step = Step::alone(runs(&engine)[0]);
        let mut state = lock(&engine.core.merges.state);
        let at = state.begin(step);
        let job = take_up(&mut state, at);
        drop(state);
        conclude(&engine, job, Err(damage(&engine, 0)));
    };
    let compact = || {
        let (progress, answer) = ask(&engine);
        answer.recv().unwrap().map(|()| progress.bytes().0)
    };
    let is_known =
        || gather_health(&engine).background_error.as_ref().is_some_and(Error::is_corruption);
    meet();
    assert_eq!((compact().unwrap(), is_known()), (0, true));
    // Read whole, and damaged; then sound.
    let file = format!("data/{:06}.seg", list_segments(&engine)[0].number);
    assert!(fs.flip(&file, 100, 1));
    assert!(!verify(&engine).unwrap().is_sound() && is_known());
    assert!(rebuild_index(&engine).is_err() && is_known());
    // A request has it tried again, as often as that may be.
    add_run(&engine, &[KEYSPACE_DEFAULT]);
    for _ in 0..2 {
        assert!(compact().unwrap_err().is_corruption() && is_known());
        assert!(lock(&engine.core.merges.state).jobs.is_empty());
    }
    assert!(fs.flip(&file, 100, 1));
    assert!(verify(&engine).unwrap().is_sound() && !is_known());
    compact().unwrap();
    meet();
    assert!(rebuild_index(&engine).is_ok() && !is_known());
    // Gone, with what was in it rewritten.
    meet();
    add_run(&engine, &[KEYSPACE_DEFAULT]);
    assert!(is_known() && compact().unwrap() > 0);
    assert!(gather_health(&engine).is_healthy());
    close(&engine, &threads);
}

/// Symptom: with a keyspace dropped whose id lies between two others in one segment, that segment
/// was rewritten again and again, for every request without end while there were writes, and the
/// keyspace was never forgotten. Mechanism: the bounds of a segment were taken for what it holds.
/// Fix: its index is asked.
#[test]
fn a_keyspace_dropped_from_between_others_is_forgotten() {
    let (engine, threads) = open();
    let make = |name| open_keyspace(&engine, name, Some(KeyspaceOptions::new())).unwrap().id;
    let keyspaces = ["one", "two", "three"].map(make);
    add_run(&engine, &keyspaces);
    drop_keyspace(&engine, "two").unwrap();
    let would_write = || {
        let view = engine.core.view.load_full();
        let step = Step::alone(view.segments.runs[0].id);
        would_write(&engine, &view.segments, &step, &Horizon::read(&engine))
    };
    assert!(would_write());
    let (_progress, answer) = ask(&engine);
    answer.recv().unwrap().unwrap();
    let view = engine.core.view.load_full();
    let part = &view.segments.runs[0].segments[0];
    assert!(keyspaces[0] == part.first.keyspace && part.last.keyspace == keyspaces[2]);
    assert!(!would_write());
    clean_up(&engine, &mut Reclaim::new()).unwrap();
    assert!(!engine.core.keyspaces.any_dropped());
    close(&engine, &threads);
}

/// Symptom: a write was refused with `StorageFull` because a merge had met a full disk. Mechanism:
/// whatever trouble came first was told to a writer that waits for memory. Fix: only what keeps
/// memory from being freed, or logs from being made.
#[test]
fn the_trouble_of_a_merge_is_no_writers() {
    let (engine, threads) = open();
    (0..2).for_each(|_| add_run(&engine, &[KEYSPACE_DEFAULT]));
    let [newer, older] = runs(&engine)[..] else { panic!("two runs") };
    let job = begin(&engine, newer, older);
    conclude(&engine, job, Err(full(&engine)));
    assert!(gather_health(&engine).background_error.is_some());
    assert!(engine.core.write_trouble().is_none());
    engine.core.note(Upkeep::Flush, &Err::<(), _>(full(&engine)));
    assert!(matches!(engine.core.write_trouble(), Some(Error::StorageFull { .. })));
    close(&engine, &threads);
}

/// Symptom: a compaction of compressed data was at 190 of 100 bytes. Mechanism: what there was to
/// read was counted as it is stored, and what was read as it was written. Fix: both as written.
#[test]
fn progress_over_compressed_data_ends_at_its_total() {
    let (engine, threads) = open();
    let compact = || {
        add_run(&engine, &[KEYSPACE_DEFAULT]);
        pause_compaction(&engine, true);
        let (progress, answer) = ask(&engine);
        let (_, total) = progress.bytes();
        pause_compaction(&engine, false);
        answer.recv().unwrap().unwrap();
        (total, progress.bytes())
    };
    compact();
    // The second leaves one run, the oldest, which is compressed; the third reads that.
    compact();
    let stored: u64 = engine.core.view.load().segments.runs.iter().map(|run| run.bytes()).sum();
    let one = 20 * (3 + 50);
    assert!(stored < one, "{stored} bytes are not compressed");
    assert_eq!(compact(), (2 * one, (2 * one, 2 * one)));
    close(&engine, &threads);
}

/// Takes one step for the request at hand, in the place of a compactor thread; `look` comes first.
/// Whether there was one to take.
fn step(engine: &Engine, look: impl Fn()) -> bool {
    let horizon = Horizon::read(engine);
    let view = engine.core.view.load_full();
    let mut state = lock(&engine.core.merges.state);
    state.forget_gone(&view.segments);
    state.take_request();
    let now = Instant::now();
    let chosen = choose(engine, &mut state, &view.segments, (false, now), &horizon);
    let Some(at) = chosen else { return false };
    look();
    let id = take_up(&mut state, at);
    let step = state.jobs[at].step.clone();
    let asked = state.jobs[at].asked.clone().unwrap();
    drop(state);
    let result = merge_step(engine, &step, &|| false, &asked.bytes_done);
    conclude(engine, id, result);
    true
}

/// Symptom: a compaction stood at 100 % for most of its time. Mechanism: what had been read, some
/// of it several times on its way down, was set against what was there once. Fix: what is left is
/// reckoned again for each step, and there is something until all is done.
#[test]
fn progress_is_short_of_its_total_until_all_is_done() {
    let mut random = Random::from_env(0x70726f67);
    for (alike, range) in [(true, None), (true, Some((first_bound(), None))), (false, None)] {
        let (engine, threads) = open();
        let runs = 3 + random.below(5);
        let about = 150 + random.below(300);
        let size = |random: &mut Random| {
            if alike { about + random.below(about / 10) } else { 20 + random.below(400) }
        };
        let sizes: Vec<_> = (0..runs).map(|_| size(&mut random)).collect();
        for (run, &size) in sizes.iter().enumerate() {
            for key in 0..size {
                let key = format!("{key:04}{run}").into_bytes();
                let value = random.next().to_be_bytes().repeat(5);
                let put = Durability::Buffered;
                put::write_one(&engine, KEYSPACE_DEFAULT, &key, Some(&value), put).unwrap();
            }
            engine.flush().unwrap();
        }
        pause_compaction(&engine, true);
        let (progress, answer) = request_compaction(&engine, range.clone()).unwrap();
        let (_, once) = progress.bytes();
        let looks = std::cell::RefCell::new(Vec::new());
        while step(&engine, || looks.borrow_mut().push(progress.bytes())) {}
        answer.recv().unwrap().unwrap();
        let (read, total) = progress.bytes();
        let looks = looks.into_inner();
        let context = format!("{read} of {once}, {looks:?}, {sizes:?}, seed {}", random.seed);
        assert!(read == total && looks.len() > 1, "{context}");
        assert!(looks.iter().all(|(done, total)| done < total), "{context}");
        // Of runs of one size hardly anything is moved unread, so the first guess is a good one.
        // What a longer run has behind the end of the others is moved, and read by the guess alone.
        if alike {
            let (_, first) = looks[0];
            assert!(read > once && looks.len() > 10, "{context}");
            assert!(first.abs_diff(total) <= total / 5, "{context}");
        }
        close(&engine, &threads);
    }
}

/// Symptom: each `compact_range` over a narrow range of a clean run wrote a small segment and left
/// a hole in a large file. Mechanism: the range's own cut was taken for a trim. Fix: a trim counts
/// by what the run has of the file.
#[test]
fn a_narrow_range_of_a_clean_run_is_left_as_it_is() {
    let (engine, threads) = open_with(64 << 10);
    for key in 0..2_000_u32 {
        let value = key.wrapping_mul(0x9e37_79b9).to_be_bytes().repeat(2);
        let key = format!("{key:04}").into_bytes();
        put::write_one(&engine, KEYSPACE_DEFAULT, &key, Some(&value), Durability::Buffered)
            .unwrap();
    }
    engine.flush().unwrap();
    ask(&engine).1.recv().unwrap().unwrap();
    let numbers = || engine.core.view.load().segments.runs[0].numbers();
    let parts = || engine.core.view.load().segments.runs[0].segments.len();
    let before = (numbers(), parts());
    let bound = |key: &[u8]| BoundKey { keyspace: KEYSPACE_DEFAULT, key: key.to_vec() };
    let range = (bound(b"0010"), Some(bound(b"0011")));
    let (progress, answer) = request_compaction(&engine, Some(range)).unwrap();
    answer.recv().unwrap().unwrap();
    assert_eq!(progress.bytes(), (0, 0));
    assert_eq!((numbers(), parts()), before);
    close(&engine, &threads);
}
