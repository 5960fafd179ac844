//! Requests that are carried out together, and what is left of keyspaces that were dropped, by
//! counting: edits, syncs, entries, bytes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::engine::cleanup::{Reclaim, clean_up};
use crate::engine::keyspaces::ask::{
    drop_keyspace, open_keyspace, open_keyspaces, rename_keyspace,
};
use crate::engine::manifest;
use crate::engine::merge::scheduler::request_compaction;
use crate::engine::read::get;
use crate::engine::report::stats::gather_health;
use crate::engine::shared::messages::{LogJob, NAMES_PER_EDIT};
use crate::engine::threads::background::Threads;
use crate::engine::write::put;
use crate::engine::{Batch, ReadAt};
use crate::io::{CrashMode, FaultPlan, OpKind, SimFs};
use crate::options::{Compression, Durability, Options};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::channel::bounded;

const DIR: &str = "data";

fn open(fs: &SimFs) -> (Arc<Engine>, Threads) {
    // Nothing is synced or merged but what a test does.
    let options =
        Options { sync_every: Duration::ZERO, compaction_threads: 0, ..Options::default() };
    Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None).unwrap()
}

fn close(engine: &Engine, threads: &Threads) {
    let _ = engine.close();
    threads.join();
    engine.release_directory();
}

fn create(names: &[&str], options: Option<KeyspaceOptions>) -> KeyspaceRequest {
    KeyspaceRequest::Create { names: names.iter().map(|&name| name.to_owned()).collect(), options }
}

fn drop_of(name: &str) -> KeyspaceRequest {
    KeyspaceRequest::Drop { name: name.to_owned() }
}

fn put(engine: &Engine, keyspace: &KeyspaceState, value: &str) -> Result<()> {
    let value = Some(value.as_bytes());
    let at = Durability::Buffered;
    put::write_one(engine, keyspace.id, b"k", value, at).map(drop)
}

fn get(engine: &Engine, keyspace: &KeyspaceState, at: ReadAt) -> Result<Option<String>> {
    let found = get::get(engine, keyspace, b"k", at)?;
    Ok(found.map(|value| String::from_utf8(value.to_vec()).unwrap()))
}

fn edits(engine: &Engine) -> u64 {
    manifest::locked(&engine.core).unwrap().state().edits
}

/// Everything that is kept for dropped keyspaces: entries of the table, of those with handles, of
/// the manifest, and drops in memtables.
fn left_of_dropped(engine: &Engine) -> [usize; 4] {
    let [_, dropped, forgotten] = engine.core.keyspaces.known();
    let view = engine.core.view.load_full();
    let drops = view.sealed.iter().chain([&view.active]).map(|table| table.drops().len());
    let manifest = manifest::locked(&engine.core).unwrap();
    let known = manifest.state().keyspaces.values().filter(|meta| meta.dropped_at.is_some());
    [dropped, forgotten, known.count(), drops.sum()]
}

fn is_dropped(result: Result<()>, name: &str) -> bool {
    matches!(result, Err(Error::KeyspaceDropped { name: told }) if told == name)
}

#[test]
fn requests_share_an_edit_and_each_has_its_own_answer() {
    let (engine, threads) = open(&SimFs::new());
    open_keyspaces(&engine, &["old", "set"].map(String::from), KeyspaceOptions::new()).unwrap();
    let old = engine.core.keyspaces.find("old").unwrap();
    let other = KeyspaceOptions::new().filter_bits(3);
    let more = other.compression(Compression::Lz4);
    let before = edits(&engine);
    let syncs = engine.core.counters.log_syncs.load(Ordering::Relaxed);
    let answers = carry_out(
        &engine,
        &[
            create(&["a"], None),
            drop_of("nobody"),
            create(&["a", "b"], Some(other)),
            create(&["set"], Some(other)),
            drop_of("default"),
            create(&["default"], None),
            drop_of("old"),
            drop_of("old"),
            create(&["b"], Some(more)),
            create(&["set"], Some(more)),
        ],
    );
    let refused: Vec<_> = answers.iter().map(Result::is_err).collect();
    let f = false;
    let t = true;
    assert_eq!(refused, [f, t, f, f, t, f, f, t, f, f], "{answers:?}");
    assert_eq!(edits(&engine), before + 1);
    assert_eq!(engine.core.counters.log_syncs.load(Ordering::Relaxed), syncs + 1);
    assert_eq!(engine.core.keyspaces.names(), ["a", "b", "default", "set"]);
    for (name, want) in [("a", other), ("b", more), ("set", more)] {
        assert_eq!(engine.core.keyspaces.find(name).unwrap().options(), want, "{name}");
        assert_eq!(
            manifest::locked(&engine.core).unwrap().state().live(name).unwrap().options,
            want,
            "{name}"
        );
    }
    assert!(is_dropped(put(&engine, &old, "v"), "old"));
    // A request for what is there needs no edit, so none can fail it.
    let answers = carry_out(&engine, &[create(&["a"], Some(other)), create(&["b"], None)]);
    assert!(answers.iter().all(Result::is_ok) && edits(&engine) == before + 1);
    close(&engine, &threads);
}

/// A failed edit is what all of a group have in common, and nothing else: who needs none, or was
/// refused, has the answer it would have had alone.
#[test]
fn a_failed_edit_fails_those_who_need_it() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs);
    open_keyspace(&engine, "old", None).unwrap();
    let ask = || {
        carry_out(
            &engine,
            &[
                create(&["old"], None),
                create(&["new"], None),
                drop_of("nobody"),
                create(&["other"], None),
            ],
        )
    };
    fs.set_fault(Some(FaultPlan::new(OpKind::Sync).on("MANIFEST")));
    let answers = ask();
    assert_eq!(fs.fault_fired(), 1);
    let failed = |answer: &Result<()>| matches!(answer, Err(Error::Io { .. }));
    assert!(answers[0].is_ok() && failed(&answers[1]) && failed(&answers[3]), "{answers:?}");
    assert!(matches!(answers[2], Err(Error::InvalidArgument { .. })), "{answers:?}");
    assert_eq!(engine.core.keyspaces.names(), ["default", "old"]);
    assert!(ask().iter().enumerate().all(|(i, answer)| answer.is_ok() == (i != 2)));
    assert_eq!(engine.core.keyspaces.names(), ["default", "new", "old", "other"]);
    close(&engine, &threads);
}

/// Symptom: creations by eight threads took as long, each, as by one. Mechanism: the log thread
/// took one request, made an edit of its own with two syncs, and so the next. Fix: what waits at
/// the same time goes into one edit.
#[test]
fn what_waits_at_the_same_time_is_one_edit() {
    let (engine, threads) = open(&SimFs::new());
    let manifest = manifest::locked(&engine.core).unwrap();
    let before = manifest.state().edits;
    let answers: Vec<_> = (0..8)
        .map(|number| {
            let (reply, answer) = bounded(1);
            let request = create(&[&format!("{number}")], None);
            engine.core.send_log(LogJob::Keyspace { request, reply });
            answer
        })
        .collect();
    // The log thread may have begun with any number of them, and waits for the manifest.
    drop(manifest);
    answers.iter().for_each(|answer| answer.recv().unwrap().unwrap());
    assert_eq!(engine.core.keyspaces.names().len(), 9);
    assert!(edits(&engine) <= before + 2, "{} edits", edits(&engine) - before);
    close(&engine, &threads);
}

#[test]
fn a_group_has_so_many_names_or_is_one_request() {
    let check = |sizes: &[usize], want: usize| {
        let request = |&size: &usize| create(&vec!["n"; size], None);
        let requests: Vec<_> = sizes.iter().map(request).collect();
        assert_eq!(KeyspaceRequest::group(requests.iter()), want, "{sizes:?}");
    };
    check(&[], 0);
    check(&[1, 1, 1], 3);
    check(&[5 * NAMES_PER_EDIT, 1], 1);
    check(&[NAMES_PER_EDIT - 1, 1, 1], 2);
    check(&[1, NAMES_PER_EDIT, 1], 1);
    let rename = || KeyspaceRequest::Rename { from: String::from("a"), to: String::from("b") };
    let mixed = [create(&["n"], None), rename(), drop_of("n")];
    assert_eq!(KeyspaceRequest::group(mixed.iter()), 1, "up to a rename");
    assert_eq!(KeyspaceRequest::group(mixed[1..].iter()), 1, "a rename is alone");
}

/// Symptom: of a keyspace that was dropped, name and id stayed in memory and in the manifest until
/// the close, and each drop looked through all of them. Mechanism: what the oldest memtable might
/// hold was not forgotten, and a drop's own record was taken for data; nothing flushes such a
/// memtable. Fix: the tables are asked, and the drop's own edit forgets what none of them has.
#[test]
fn nothing_is_left_of_empty_keyspaces_that_were_dropped() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs);
    // An active memtable that is older than all of them.
    put::write_one(&engine, KEYSPACE_DEFAULT, b"k", Some(b"v"), Durability::Buffered).unwrap();
    let kept = open_keyspace(&engine, "kept", None).unwrap();
    let manifest_bytes = || {
        let number = manifest::locked(&engine.core).unwrap().number();
        let name = crate::format::names::FileName::Manifest(number).name();
        fs.read_file(Path::new(DIR).join(name)).unwrap().len()
    };
    let mut most = [0, 0];
    let before = edits(&engine);
    for round in 0..40 {
        let names: Vec<_> = (0..500).map(|number| format!("{number}")).collect();
        open_keyspaces(&engine, &names, KeyspaceOptions::new()).unwrap();
        let drops: Vec<_> = names.iter().map(|name| drop_of(name)).collect();
        assert!(carry_out(&engine, &drops).iter().all(Result::is_ok));
        assert_eq!(left_of_dropped(&engine), [0; 4], "round {round}");
        let half: &mut usize = &mut most[round / 20];
        *half = manifest_bytes().max(*half);
    }
    // Two edits a round, whatever there was before.
    assert_eq!(edits(&engine), before + 2 * 40);
    assert!(most[1] < 2 * most[0], "the manifest grew: {most:?} bytes");
    let stretches = engine.commit.with(|env, _| env.dropped.stretches());
    assert_eq!((stretches, engine.core.keyspaces.known()[0]), (1, 2));
    for number in 0..200 {
        let name = format!("{number}");
        open_keyspace(&engine, &name, None).unwrap();
        drop_keyspace(&engine, &name).unwrap();
    }
    // The log thread may hold a handle for a moment after its answer.
    assert!(left_of_dropped(&engine)[1] < 40 && !engine.core.keyspaces.any_dropped());
    put(&engine, &kept, "v").unwrap();
    close(&engine, &threads);
}

/// I24: also once the keyspace is forgotten, through a handle, in a batch, and beside a keyspace of
/// the same name.
#[test]
fn a_forgotten_keyspace_refuses_by_name_as_long_as_there_is_a_handle() {
    let (engine, threads) = open(&SimFs::new());
    let batch = |id| {
        let mut batch = Batch::new();
        batch.put(id, b"k", b"v");
        put::write_batch(&engine, &batch, Durability::Buffered).map(drop)
    };
    let old = open_keyspace(&engine, "name", None).unwrap();
    drop_keyspace(&engine, "name").unwrap();
    assert!(!engine.core.keyspaces.any_dropped());
    let new = open_keyspace(&engine, "name", None).unwrap();
    put(&engine, &new, "new").unwrap();
    assert!(is_dropped(put(&engine, &old, "v"), "name") && is_dropped(batch(old.id), "name"));
    assert!(is_dropped(get(&engine, &old, ReadAt::Now).map(drop), "name"));
    assert_eq!(get(&engine, &new, ReadAt::Now).unwrap().as_deref(), Some("new"));
    let id = old.id;
    drop(old);
    assert!(is_dropped(batch(id), &format!("#{}", id.0)));
    // Entries of those without a handle go as others come.
    let held: Vec<_> = (0..40)
        .flat_map(|number| {
            let names = [format!("held {number}"), format!("gone {number}")];
            let made = open_keyspaces(&engine, &names, KeyspaceOptions::new()).unwrap();
            let gone = made[1].clone();
            names.iter().for_each(|name| drop_keyspace(&engine, name).unwrap());
            drop(gone);
            made.into_iter().take(1)
        })
        .collect();
    assert!(left_of_dropped(&engine)[1] <= 2 * held.len() + 2 * 16);
    let all = held.iter().all(|state| is_dropped(put(&engine, state, "v"), &state.name()));
    assert!(all && held.len() == 40);
    close(&engine, &threads);
}

/// Symptom: opening a keyspace failed with [`Error::KeyspaceDropped`] though it was only renamed.
/// Mechanism: the log thread made it, then renamed it for another caller, and the first one, awake
/// only then, looked for it by name. Fix: it is made again.
#[test]
fn a_keyspace_is_opened_though_others_rename_and_drop_it() {
    let (engine, threads) = open(&SimFs::new());
    let failed = AtomicBool::new(false);
    let names = ["c", "a"].map(String::from);
    std::thread::scope(|scope| {
        let rival = scope.spawn(|| {
            let mut taken = 0;
            while taken < 300 && !failed.load(Ordering::Relaxed) {
                let gone = match taken % 2 {
                    0 => rename_keyspace(&engine, "a", "b").map(|()| "b"),
                    _ => Ok("a"),
                };
                taken += u32::from(gone.and_then(|name| drop_keyspace(&engine, name)).is_ok());
            }
        });
        while !rival.is_finished() {
            let opened = open_keyspace(&engine, "a", None)
                .and_then(|_| open_keyspaces(&engine, &names, KeyspaceOptions::new()));
            failed.store(opened.is_err(), Ordering::Relaxed);
            assert_eq!(opened.unwrap().len(), 2);
        }
    });
    close(&engine, &threads);
}

/// A keyspace with data stays until that is gone: from the memtables with their flush, from the
/// segments once no snapshot is older than the drop, who still finds it until then (I24).
#[test]
fn a_dropped_keyspace_is_forgotten_with_its_last_data() {
    let (engine, threads) = open(&SimFs::new());
    let clean_up = || clean_up(&engine, &mut Reclaim::new()).unwrap();
    for (on_disk, snapshot) in [(false, false), (false, true), (true, false), (true, true)] {
        let what = format!("on disk {on_disk}, snapshot {snapshot}");
        let tmp = open_keyspace(&engine, "tmp", None).unwrap();
        put(&engine, &tmp, "old").unwrap();
        if on_disk {
            engine.flush().unwrap();
        }
        let at = snapshot.then(|| engine.register_snapshot());
        drop_keyspace(&engine, "tmp").unwrap();
        let next = open_keyspace(&engine, "tmp", None).unwrap();
        put(&engine, &next, "new").unwrap();
        clean_up();
        let held = |engine: &Engine| engine.core.keyspaces.any_dropped();
        assert_eq!(held(&engine), snapshot || !on_disk, "{what}");
        engine.flush().unwrap();
        clean_up();
        assert_eq!(held(&engine), snapshot, "{what}");
        if let Some(at) = at {
            let found = get(&engine, &tmp, ReadAt::Snapshot(at)).unwrap();
            assert_eq!(found.as_deref(), Some("old"), "{what}");
            engine.release_snapshot(at);
            clean_up();
            // A flush has put it into one segment with what came after it.
            if held(&engine) {
                let (_progress, answer) = request_compaction(&engine, None).unwrap();
                answer.recv().unwrap().unwrap();
                clean_up();
            }
        }
        assert_eq!(left_of_dropped(&engine)[0], 0, "{what}");
        assert_eq!(left_of_dropped(&engine)[2..], [0, 0], "{what}");
        assert!(is_dropped(get(&engine, &tmp, ReadAt::Now).map(drop), "tmp"), "{what}");
        assert_eq!(get(&engine, &next, ReadAt::Now).unwrap().as_deref(), Some("new"), "{what}");
        drop_keyspace(&engine, "tmp").unwrap();
        engine.flush().unwrap();
        clean_up();
        assert!(!held(&engine), "{what}");
    }
    close(&engine, &threads);
}

/// I24: what is forgotten has no data anywhere, whatever was written meanwhile; each of them is
/// told.
#[test]
fn a_forgotten_keyspace_has_no_data_though_others_write() {
    let (engine, threads) = open(&SimFs::new());
    let mut ids = Vec::new();
    let has_data = |id: KeyspaceId| {
        let view = engine.core.view.load_full();
        let mut tables = view.sealed.iter().chain([&view.active]);
        tables.any(|table| table.has_keyspace(id)) || view.segments.may_hold(id)
    };
    for round in 0..60 {
        let tmp = open_keyspace(&engine, "tmp", None).unwrap();
        ids.push(tmp.id);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let refused = (0..).find_map(|_| put(&engine, &tmp, "v").err()).unwrap();
                    assert!(is_dropped(Err(refused), "tmp"), "round {round}");
                });
            }
            drop_keyspace(&engine, "tmp").unwrap();
        });
        if round % 10 == 9 {
            engine.flush().unwrap();
            clean_up(&engine, &mut Reclaim::new()).unwrap();
        }
        let forgotten = |id: &&KeyspaceId| engine.core.keyspaces.by_id(**id).is_none();
        assert!(!ids.iter().filter(forgotten).any(|&id| has_data(id)), "round {round}");
    }
    assert!(!ids.iter().any(|&id| has_data(id)) && !engine.core.keyspaces.any_dropped());
    close(&engine, &threads);
}

/// The drop may be in the log and not in the manifest, in both, or forgotten by the manifest while
/// the log still has it: the keyspace is gone, its name is free, and nothing of it is left in the
/// end.
#[test]
fn a_drop_is_recovered_however_far_it_came() {
    for (data, edit_fails) in [(false, false), (false, true), (true, false), (true, true)] {
        for mode in [CrashMode::Process, CrashMode::PowerLoseAll] {
            let what = format!("data {data}, edit fails {edit_fails}, {mode:?}");
            let fs = SimFs::new();
            let (engine, threads) = open(&fs);
            let tmp = open_keyspace(&engine, "tmp", None).unwrap();
            if data {
                put(&engine, &tmp, "old").unwrap();
            }
            if edit_fails {
                fs.set_fault(Some(FaultPlan::new(OpKind::Write).on("MANIFEST").sticky()));
            }
            drop_keyspace(&engine, "tmp").unwrap();
            let after = fs.crash(mode, 1);
            after.set_fault(None);
            close(&engine, &threads);

            let (engine, threads) = open(&after);
            assert_eq!(engine.core.keyspaces.names(), ["default"], "{what}");
            assert_eq!(engine.core.keyspaces.any_dropped(), data || edit_fails, "{what}");
            let next = open_keyspace(&engine, "tmp", None).unwrap();
            assert_eq!(get(&engine, &next, ReadAt::Now).unwrap(), None, "{what}");
            put(&engine, &next, "new").unwrap();
            engine.flush().unwrap();
            clean_up(&engine, &mut Reclaim::new()).unwrap();
            assert_eq!(left_of_dropped(&engine), [0; 4], "{what}");
            assert_eq!(
                manifest::locked(&engine.core).unwrap().state().keyspaces.len(),
                2,
                "{what}"
            );
            assert_eq!(get(&engine, &next, ReadAt::Now).unwrap().as_deref(), Some("new"));
            close(&engine, &threads);
        }
    }
}

/// Waits for the background, a bounded number of looks.
fn until(done: impl Fn() -> bool) {
    let looks = (0..20_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        done()
    });
    assert!(looks, "it does not come");
}

/// Symptom: on a full disk `drop_keyspace` answered [`Error::StorageFull`] though the keyspace was
/// gone. Mechanism: it answered what became of the edit of the manifest, which comes after the drop
/// is durable in the log. Fix: the drop holds once its record does; the edit is made up for.
#[test]
fn a_drop_holds_though_the_manifest_has_no_room() {
    let full = || FaultPlan::new(OpKind::Write).on("MANIFEST").error(ErrorKind::StorageFull);
    let crashes = [None, Some(CrashMode::Process), Some(CrashMode::PowerLoseAll)];
    for (mode, led) in crashes.map(|mode| (mode, false)).into_iter().chain([(None, true)]) {
        let fs = SimFs::new();
        let (engine, threads) = open(&fs);
        let tmp = open_keyspace(&engine, "tmp", None).unwrap();
        put(&engine, &tmp, "old").unwrap();
        engine.flush().unwrap();
        fs.set_fault(Some(full().sticky()));
        let asked = [drop_of("tmp"), create(&["new"], None), drop_of("nobody")];
        let answers = carry_out(&engine, &asked);
        assert!(answers[0].is_ok() && fs.fault_fired() > 0, "{answers:?}");
        if led {
            // What a sync leaves whose leader read what is visible before the drop, and the
            // position behind it: the drop is durable, and the clean-up does not find it by that.
            engine.core.durable.store(0, Ordering::Release);
        }
        assert!(matches!(answers[1], Err(Error::StorageFull { .. })), "{answers:?}");
        assert_eq!(engine.core.keyspaces.names(), ["default"]);
        assert!(is_dropped(put(&engine, &tmp, "v"), "tmp"));
        // The manifest has to say the drop before it can have the name again.
        let again = open_keyspace(&engine, "tmp", None);
        assert!(matches!(again, Err(Error::StorageFull { .. })), "{again:?}");
        assert!(matches!(drop_keyspace(&engine, "tmp"), Err(Error::InvalidArgument { .. })));
        until(|| gather_health(&engine).background_error.is_some());

        let Some(mode) = mode else {
            // Nothing is written and nothing flushed, so nothing else would say it.
            fs.set_fault(None);
            until(|| left_of_dropped(&engine) == [0, 1, 0, 0]);
            until(|| gather_health(&engine).background_error.is_none());
            assert!(engine.core.view.load().segments.runs.is_empty(), "its segment is there yet");
            let next = open_keyspace(&engine, "tmp", None).unwrap();
            assert_eq!(get(&engine, &next, ReadAt::Now).unwrap(), None);
            close(&engine, &threads);
            continue;
        };
        let after = fs.crash(mode, 1);
        after.set_fault(None);
        close(&engine, &threads);
        for reopened in [false, true] {
            let (engine, threads) = open(&after);
            assert_eq!(engine.core.keyspaces.names(), ["default"], "{mode:?}, {reopened}");
            close(&engine, &threads);
        }
        let (engine, threads) = open(&after);
        let next = open_keyspace(&engine, "tmp", None).unwrap();
        assert_eq!(get(&engine, &next, ReadAt::Now).unwrap(), None, "{mode:?}");
        close(&engine, &threads);
    }
}

/// A drop whose record is not durable does not hold, and nobody is told so.
#[test]
fn a_drop_that_cannot_be_synced_is_an_error() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs);
    let tmp = open_keyspace(&engine, "tmp", None).unwrap();
    put(&engine, &tmp, "old").unwrap();
    crate::engine::write::sync::sync_all(&engine).unwrap();
    fs.set_fault(Some(FaultPlan::new(OpKind::Sync).on(".wal").sticky().sync_loss()));
    let answers = carry_out(&engine, &[drop_of("tmp"), create(&["new"], None)]);
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    let after = fs.crash(CrashMode::PowerLoseAll, 1);
    after.set_fault(None);
    close(&engine, &threads);

    let (engine, threads) = open(&after);
    assert_eq!(engine.core.keyspaces.names(), ["default", "tmp"]);
    let tmp = open_keyspace(&engine, "tmp", None).unwrap();
    assert_eq!(get(&engine, &tmp, ReadAt::Now).unwrap().as_deref(), Some("old"));
    close(&engine, &threads);
}
