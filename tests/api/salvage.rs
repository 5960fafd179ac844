//! Reading on over damage: what can be read comes, and what may be wrong with it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium::io::SimFs;
use alluvium::{Db, KeyspaceOptions, Range};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(fs: &SimFs, read_only: bool) -> alluvium::Result<Db> {
    let builder = Db::builder("db").compaction_threads(0).fs(Arc::new(fs.clone()));
    builder.sync_every(std::time::Duration::ZERO).read_only(read_only).open()
}

/// A closed database of two runs: the newer one overwrites some keys of the older, deletes some and
/// adds some. Blocks are small, so that there are many.
fn database() -> (SimFs, Rows) {
    let fs = SimFs::new();
    let db = open(&fs, false).unwrap();
    let small = KeyspaceOptions::new().block_bytes(256);
    let rows = db.keyspace_with("rows", small).unwrap();
    let mut model = Rows::new();
    for n in 0..200_u32 {
        rows.put(format!("key-{n:04}"), format!("old {n}")).unwrap();
        model.insert(format!("key-{n:04}").into(), format!("old {n}").into());
    }
    db.flush().unwrap();
    for n in (0..200_u32).filter(|n| n % 3 > 0) {
        let key = format!("key-{n:04}");
        if n % 3 == 1 {
            rows.put(&key, format!("new {n}")).unwrap();
            model.insert(key.into(), format!("new {n}").into());
        } else {
            rows.delete(&key).unwrap();
            model.remove(key.as_bytes());
        }
        rows.put(format!("more-{n:04}"), "added").unwrap();
        model.insert(format!("more-{n:04}").into(), b"added".to_vec());
    }
    db.close().unwrap();
    (fs, model)
}

/// What a range yields, read to its end from one side.
fn drain(range: &mut Range, backward: bool) -> Rows {
    let rows: Result<Rows, _> = std::iter::from_fn(|| match backward {
        false => range.next(),
        true => range.next_back(),
    })
    .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
    .collect();
    rows.unwrap()
}

/// How many keys are missing, too old or deleted, all of which must be within what was skipped.
fn compare(got: &Rows, model: &Rows, range: &Range, what: &str) -> usize {
    let skipped = range.skipped();
    let mut wrong = 0;
    for key in got.keys().chain(model.keys()) {
        if got.get(key) == model.get(key) {
            continue;
        }
        let told = skipped.iter().any(|skipped| skipped.may_hold(key));
        assert!(told, "{what}: {} is wrong without a word", key.escape_ascii());
        wrong += 1;
    }
    wrong
}

#[test]
fn a_range_reads_on_over_damage_and_tells_which_keys_are_suspect() {
    let (fs, model) = database();
    let names: Vec<_> = fs.files("db").into_iter().filter(|name| name.ends_with(".seg")).collect();
    assert_eq!(names.len(), 2);
    let mut damaged = 0;
    let mut wrong = 0;
    for name in &names {
        let path = format!("db/{name}");
        let len = fs.read_file(&path).unwrap().len() as u64;
        for at in (64..len).step_by(61) {
            fs.flip(&path, at, 0x20);
            let Ok(db) = open(&fs, true) else {
                fs.flip(&path, at, 0x20);
                continue;
            };
            let rows = db.keyspace("rows").unwrap();
            let what = format!("{name} byte {at}");
            let fails = rows.range(..).any(|pair| pair.is_err());
            for backward in [false, true] {
                let mut range = rows.range(..).skip_damaged();
                let got = drain(&mut range, backward);
                assert_eq!(range.skipped().is_empty(), !fails, "{what}");
                wrong += compare(&got, &model, &range, &what);
            }
            if fails {
                damaged += 1;
                after_an_error(rows.range(..), &model, &what);
                let mut keys = rows.range(..).skip_damaged().keys();
                assert!(keys.by_ref().all(|key| key.is_ok()));
                let text = keys.skipped()[0].to_string();
                assert!(text.contains("passed over keys from") && text.contains(name), "{text}");
            }
            fs.flip(&path, at, 0x20);
        }
    }
    println!("{damaged} damaged places, {wrong} wrong keys, all of them told");
    assert!(damaged > 50 && wrong > 100);
}

/// A range that has failed goes on where it was.
fn after_an_error(mut range: Range, model: &Rows, what: &str) {
    let mut got = Rows::new();
    for pair in range.by_ref() {
        let Ok((key, value)) = pair else { break };
        got.insert(key.to_vec(), value.to_vec());
    }
    let mut range = range.skip_damaged();
    let rest = drain(&mut range, false);
    assert!(!rest.keys().any(|key| got.contains_key(key)), "{what}: no key comes twice");
    got.extend(rest);
    compare(&got, model, &range, what);
}

/// What was passed over may be alive, so a walk over dead keys beside it must not be remembered for
/// those who do not skip.
#[test]
fn what_was_passed_over_is_not_remembered_as_dead() {
    let fs = SimFs::new();
    let db = open(&fs, false).unwrap();
    let small = KeyspaceOptions::new().block_bytes(256);
    let rows = db.keyspace_with("rows", small).unwrap();
    for n in 0..400 {
        rows.put(format!("key-{n:04}"), "value").unwrap();
    }
    db.flush().unwrap();
    for n in (0..400).filter(|n| !(150..250).contains(n)) {
        rows.delete(format!("key-{n:04}")).unwrap();
    }
    db.flush().unwrap();
    db.close().unwrap();
    let first = fs.files("db").into_iter().find(|name| name.ends_with(".seg")).unwrap();
    let path = format!("db/{first}");
    let len = fs.read_file(&path).unwrap().len() as u64;
    // In the older run, the only one that holds values.
    let damage = |fs: &SimFs| {
        (0..len / 2).step_by(97).for_each(|at| {
            assert!(fs.flip(&path, 200 + at, 0x01));
        })
    };
    let db = open(&fs, true).unwrap();
    damage(&fs);
    let rows = db.keyspace("rows").unwrap();
    let left = rows.range(..).skip_damaged().count();
    assert!(left < 100, "{left}");
    let error = rows.range(..).find_map(Result::err);
    assert!(error.is_some_and(|error| error.is_corruption()), "and not silence");
}
