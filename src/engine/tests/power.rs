//! Power losses between two steps that nothing else tells apart: each test holds the moment that a
//! mistake needs, and looks at what a crash then leaves.

use super::*;
use crate::engine::keyspaces::forget::forget_dropped;
use crate::engine::read::get::between_loads;
use crate::engine::shared::keyspaces::KeyspaceState;
use crate::engine::shared::messages::FlushJob;
use crate::engine::write::conditional::{Decision, write_conditional};

/// A flush of what is sealed, and of nothing else.
fn flush_sealed(engine: &Engine) {
    let (reply, answer) = bounded(1);
    engine.core.send_flush(FlushJob::Flush { reply });
    answer.recv().unwrap().unwrap();
}

/// The floor that a flush writes down may be the log that is being written, whose header nobody has
/// synced: without a sync before the edit an open would miss the log that the manifest names.
#[test]
fn the_floor_of_a_flush_is_durable_before_the_manifest_names_it() {
    let fs = SimFs::new();
    let (engine, threads) = open_roomy(&fs);
    let value = "v".repeat(500);
    let mut written = 0;
    // Until a rotation has sealed a memtable with its log, and the next ones are in use.
    while engine.core.view.load().sealed.is_empty() {
        put(&engine, &format!("{written}"), &value).unwrap();
        written += 1;
    }
    flush_sealed(&engine);
    let floor = manifest::locked(&engine.core).unwrap().state().log_floor;
    let newest = engine.core.logs.list().pop().unwrap();
    assert_eq!((floor, newest.end()), (newest.header.number, None), "the open log is the floor");
    let after = fs.crash(CrashMode::PowerLoseAll, 0);
    close(&engine, &threads);

    let (engine, threads) = open(&after);
    let found = (0..written).take_while(|i| get(&engine, &format!("{i}")).is_some()).count();
    assert!(found > 0 && found + 1 >= written, "{found} of {written}");
    close(&engine, &threads);
}

/// A keyspace whose drop only memory knows: a merge that took its data out would leave it empty if
/// the power failed before the log has the drop.
#[test]
fn a_merge_keeps_the_data_of_a_keyspace_whose_drop_is_not_durable() {
    let fs = SimFs::new();
    let options = Options { compaction_threads: 0, ..options() };
    let opened = Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None);
    let (engine, threads) = opened.unwrap();
    let tmp = open_keyspace(&engine, "tmp", None).unwrap();
    for key in [b"a", b"b"] {
        put::write_one(&engine, tmp.id, key, Some(b"v"), Durability::Sync).unwrap();
        put(&engine, "k", "v").unwrap();
        engine.flush().unwrap();
    }
    put::write_control(&engine, Control::DropKeyspace(tmp.id)).unwrap();
    merge_newest(&engine);
    let after = fs.crash(CrashMode::PowerLoseAll, 0);
    close(&engine, &threads);

    let (engine, threads) = open(&after);
    let tmp = open_keyspace(&engine, "tmp", None).unwrap();
    for key in [b"a", b"b"] {
        let found = get::get(&engine, &tmp, key, ReadAt::Now).unwrap();
        assert_eq!(found.as_deref(), Some(&b"v"[..]), "the drop was lost, so the data is there");
    }
    close(&engine, &threads);
}

/// A keyspace is forgotten once no memtable has its data. Before, a flush would write that as data
/// of a keyspace that nobody knows, and nothing would take it out again.
#[test]
fn a_dropped_keyspace_is_remembered_for_as_long_as_a_memtable_has_its_data() {
    let fs = SimFs::new();
    let (engine, threads) = open_roomy(&fs);
    let tmp = open_keyspace(&engine, "tmp", None).unwrap();
    put::write_one(&engine, tmp.id, b"k", Some(b"v"), Durability::Buffered).unwrap();
    put(&engine, "k", "v").unwrap();
    drop_keyspace(&engine, "tmp").unwrap();
    let known = |engine: &Engine, tmp: &KeyspaceState| {
        let manifest = manifest::locked(&engine.core).unwrap();
        let in_manifest = manifest.state().keyspaces.contains_key(&tmp.id);
        (in_manifest, engine.core.keyspaces.by_id(tmp.id).is_some())
    };
    forget_dropped(&engine).unwrap();
    assert_eq!(known(&engine, &tmp), (true, true), "the active memtable has its data");
    rotate::seal_active(&engine).unwrap();
    forget_dropped(&engine).unwrap();
    assert_eq!(known(&engine, &tmp), (true, true), "a sealed memtable has its data");
    flush_sealed(&engine);
    forget_dropped(&engine).unwrap();
    assert_eq!(known(&engine, &tmp), (false, false));
    assert!(!engine.core.view.load().segments.may_hold(tmp.id), "its data is on the disk for good");
    close(&engine, &threads);
}

/// I27. A write that comes after the look at the view is above *seen*, also where the second look
/// at `visible` covers it: it went into a memtable that the view does not have.
#[test]
fn a_conditional_write_does_not_take_a_write_behind_its_view_for_read() {
    let fs = SimFs::new();
    let (engine, threads) = open_roomy(&fs);
    put(&engine, "k", "first").unwrap();
    let other = Arc::clone(&engine);
    between_loads(move || {
        rotate::seal_active(&other).unwrap();
        put(&other, "k", "second").unwrap();
    });
    let keyspace = default_keyspace(&engine);
    let mut seen = Vec::new();
    let decide = |value: Option<crate::value::Value>| {
        let value = value.unwrap().to_vec();
        seen.push(String::from_utf8(value.clone()).unwrap());
        Ok::<_, Error>(Decision::Put([value, b"+".to_vec()].concat(), ()))
    };
    write_conditional(&engine, &keyspace, b"k", Durability::Buffered, decide).unwrap();
    assert_eq!(seen, ["first", "second"]);
    assert_eq!(get(&engine, "k").unwrap(), b"second+");
    close(&engine, &threads);
}
