//! What a get looks at, told layer by layer.

use alluvium::{Db, Error, ExplainFilter, ExplainSource};

use crate::{small, small_blocks};

#[test]
fn every_layer_says_what_it_has_and_the_first_that_has_it_answers() {
    let (db, sim) = small();
    let keyspace = small_blocks(&db, "k");
    // The older run: "a" and others. The newer one: a tombstone of "a", which an older run needs.
    for i in 0..20 {
        keyspace.put(format!("a{i}"), [b'x'; 100]).unwrap();
    }
    keyspace.put("a1", "first").unwrap();
    db.flush().unwrap();
    let between = db.snapshot();
    keyspace.delete("a1").unwrap();
    db.flush().unwrap();
    keyspace.put("a1", "new").unwrap();
    keyspace.put("a1", "newest").unwrap();

    let reads = sim.read_count();
    let explained = keyspace.explain("a1").unwrap();
    assert!(sim.read_count() > reads, "nothing was cached");
    let tombstones: Vec<Vec<Option<u64>>> = (explained.layers.iter())
        .map(|layer| layer.versions.iter().map(|version| version.value_bytes).collect())
        .collect();
    assert_eq!(tombstones, [vec![Some(6), Some(3)], vec![None], vec![Some(5)]]);
    let reached: Vec<_> = explained.layers.iter().map(|layer| layer.reached).collect();
    assert_eq!(reached, [true, false, false]);
    assert!(matches!(explained.layers[0].source, ExplainSource::Memtable { sealed: false, .. }));
    assert!(matches!(explained.layers[2].source, ExplainSource::Run { segment: Some(_), .. }));
    assert!(explained.layers[2].blocks.iter().all(|block| !block.cached));
    let found = explained.found.as_ref().unwrap();
    assert_eq!((found.layer, found.version.value_bytes), (0, Some(6)));

    // The older snapshot ends its way in the oldest layer, and a get there brings the block in.
    between.of(&keyspace).get("a1").unwrap();
    let explained = between.of(&keyspace).explain("a1").unwrap();
    let oldest = &explained.layers[2];
    assert!(oldest.reached && oldest.blocks[0].cached, "{explained}");
    assert_eq!(explained.found.as_ref().unwrap().layer, 2);
    assert_eq!(keyspace.explain("b").unwrap().found, None);
    assert_eq!(db.explain("a1").unwrap().found, None, "another keyspace");
    db.drop_keyspace("k").unwrap();
    assert!(matches!(keyspace.explain("a1"), Err(Error::KeyspaceDropped { .. })));
}

#[test]
fn a_filter_that_lets_an_absent_key_pass_is_told_from_one_that_has_it() {
    let (db, sim) = small();
    let options = alluvium::KeyspaceOptions::new().filter_bits(2);
    let keyspace = db.keyspace_with("k", options).unwrap();
    for i in 0..200 {
        keyspace.put(format!("key{i:04}"), "v").unwrap();
    }
    db.flush().unwrap();
    let mut passed = 0;
    let mut ruled_out = 0;
    for i in 0..200 {
        let explained = keyspace.explain(format!("key{i:04}.")).unwrap();
        assert_eq!(explained.found, None);
        let run = explained.layers.last().unwrap();
        match run.filter {
            ExplainFilter::Passes => {
                assert!(run.false_positive() && run.blocks.len() == 1);
                assert!(explained.to_string().contains("a false positive"), "{explained}");
                passed += 1;
            }
            ExplainFilter::RulesOut => {
                assert!(!run.false_positive() && run.blocks.is_empty());
                ruled_out += 1;
            }
            // After the last key of the segment.
            _ => assert_eq!(i, 199),
        }
    }
    assert!(passed > 20 && ruled_out > 20, "two bits a key err often: {passed}, {ruled_out}");
    assert_eq!(db.stats().cache_misses, 0, "explaining leaves no trace in the cache");
    assert!(sim.read_count() > 0);
}

#[test]
fn an_explanation_reads_well() {
    let (db, _) = small();
    db.put("user:1", "ann").unwrap();
    db.flush().unwrap();
    db.delete("user:1").unwrap();
    db.put("other\n", "x").unwrap();
    let explained = db.explain("user:1").unwrap();
    let (run, segment) = match &explained.layers[1].source {
        ExplainSource::Run { id, segment, .. } => (*id, segment.unwrap()),
        other => panic!("{other:?}"),
    };
    let memory = explained.layers[0].source.to_string();
    assert!(memory.starts_with("active memtable (2 versions, "), "{memory}");
    let at = explained.at;
    let deleted = explained.found.as_ref().unwrap().version.sequence;
    let old = explained.layers[1].versions[0].sequence;
    let want = format!(
        "key \"user:1\" in default, read at sequence {at}\n  \
         {memory}: the filter lets it pass: a tombstone at {deleted}\n  \
         run {run}, segment {segment:06}: the filter lets it pass, block 0 on disk: a value of 3 \
         bytes at {old} (not reached)\n\
         not found: a tombstone at {deleted}, in {memory}"
    );
    assert_eq!(explained.to_string(), want);
    let text = db.explain("other\n").unwrap().to_string();
    assert!(text.starts_with("key \"other\\n\" in default"), "{text}");
    assert!(text.contains("has no segment for the key (not reached)"), "{text}");
    assert!(text.contains("found: a value of 1 byte at"), "{text}");
    let text = db.explain("nowhere").unwrap().to_string();
    assert!(text.ends_with("not found: no layer has it"), "{text}");
    for _ in 0..20 {
        db.put("often", "").unwrap();
    }
    let text = db.explain("often").unwrap().to_string();
    assert!(text.contains(", and 12 older"), "{text}");
}

/// Symptom: a key was shown as `\xc3\xa9` where `é` was typed, and one thing as several ("1
/// versions"). Mechanism: every byte outside ASCII was escaped, and the plural was part of the
/// text. Fix: text is shown as it is, other bytes are escaped, and one is counted as one.
#[test]
fn a_key_is_shown_as_it_was_typed_and_one_is_not_many() {
    let db = Db::in_memory().unwrap();
    db.put("b", "").unwrap();
    db.put("d", "").unwrap();
    db.flush().unwrap();
    db.put("é", "v").unwrap();
    let text = db.explain("é").unwrap().to_string();
    assert!(text.starts_with("key \"é\" in default"), "{text}");
    assert!(text.contains("active memtable (1 version, "), "{text}");
    assert!(text.contains(" (1 segment): "), "{text}");
    let told = |key: &[u8]| db.explain(key).unwrap().to_string();
    assert!(told(b"a\"\n").starts_with("key \"a\\\"\\n\" in"), "{}", told(b"a\"\n"));
    assert!(told(b"\xff\xc3").starts_with("key \"\\xff\\xc3\" in"), "{}", told(b"\xff\xc3"));
    db.put("f", "").unwrap();
    assert!(told(b"f").contains("active memtable (2 versions, "), "{}", told(b"f"));
}
