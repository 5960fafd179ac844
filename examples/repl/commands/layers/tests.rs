//! Layers, as they are shown.

use super::*;

#[test]
fn bars_are_as_wide_as_runs_are_large() {
    let full = "█".repeat(CELLS as usize);
    for (used, bytes, largest, want) in [
        (100, 100, 100, full.as_str()),
        (50, 50, 100, "████████"),
        (1, 1, 128, "▏"),
        (12, 12, 128, "█▌"),
        (1, 1, u64::MAX, "▏"),
        (u64::MAX, u64::MAX, u64::MAX, full.as_str()),
        (0, 0, 0, "▏"),
        (12, 32, 128, "█▌░░"),
        (0, 64, 128, "▏░░░░░░░"),
        (31, 32, 128, "███▉"),
    ] {
        assert_eq!(bar(used, bytes, largest), want, "{used} of {bytes} of {largest}");
    }
}

#[test]
fn a_layer_is_a_line() {
    let key = |key: &str| (String::from(DEFAULT), key.as_bytes().to_vec());
    let users = (String::from("users"), b"a key that is too long\n".to_vec());
    let large = Layer {
        name: "run 2".into(),
        files: [1, 2, 3].into(),
        bytes: 48 << 20,
        used: 24 << 20,
        trimmed: 2,
        merging: true,
        entries: 1_234_567,
        tombstones: 1_000,
        range: [key("a"), users],
        created_ms: 60_000,
    };
    let range = [key("k\n"), key("")];
    let name = "run 12".into();
    let small = Layer {
        name,
        files: [4].into(),
        bytes: 2 << 20,
        used: 2 << 20,
        trimmed: 0,
        merging: false,
        entries: 1,
        tombstones: 0,
        range,
        ..large.clone()
    };
    let lines = draw(&[small, large], 180_000, Look::default());
    assert_eq!(
        lines[1..],
        [
            "run 12   ▋                   2.0 MiB           1         0     1   2 min  k\\n … ",
            "run 2    ████████░░░░░░░░   48.0 MiB   1,234,567     1,000     3   2 min  \
             a … users/a key that is t…  (merging; 2 trimmed, 24.0 MiB in use)",
        ]
    );
    let head = "                               bytes    versions   deleted files     age  keys";
    assert_eq!(lines[0], head);
    assert_eq!(draw(&[], 0, Look::default()), [head]);
}

#[test]
fn runs_are_put_together_from_their_segments() {
    let db = alluvium::Builder::temporary().compaction_threads(0).open().unwrap();
    for (key, value) in [("a", "1"), ("b", "2")] {
        db.put(key, value).unwrap();
        db.put("z", value).unwrap();
        db.delete("y").unwrap();
        db.flush().unwrap();
    }
    let infos = db.segments();
    let runs = layers(&infos, &[infos[1].run], false);
    assert_eq!(runs.iter().map(|run| run.merging).collect::<Vec<_>>(), [false, true]);
    assert_eq!((runs[0].entries, runs[0].tombstones, runs[0].files.len()), (3, 1, 1));
    assert_eq!((runs[0].used, runs[0].trimmed), (runs[0].bytes, 0));
    assert_eq!(runs[0].range.each_ref().map(|(_, key)| key.as_slice()), [b"b", b"z"]);
    assert_eq!(layers(&infos, &[], true).len(), 4);
    // As if both were one run: the same age, one after the other.
    let mut infos = infos;
    infos[1].age = infos[0].age;
    let both = layers(&infos, &[], false);
    let entries = runs[0].entries + runs[1].entries;
    assert_eq!((both.len(), both[0].files.len(), both[0].entries), (1, 2, entries));
    assert_eq!(both[0].bytes, runs[0].bytes + runs[1].bytes);
    // As if they were two parts of one file, with the middle taken out.
    infos[1].number = infos[0].number;
    for info in &mut infos {
        (info.trimmed, info.used_bytes) = (true, 10);
    }
    let both = layers(&infos, &[], false);
    assert_eq!((both[0].files.len(), both[0].bytes), (1, infos[0].bytes));
    assert_eq!((both[0].used, both[0].trimmed, both[0].entries), (20, 2, 3));
    assert_eq!(note(&both[0]), "  (2 trimmed, 20 B in use)");
}
