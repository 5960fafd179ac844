//! Files of other programs: refused where they would be stored as garbage, read where it is said
//! what they are.

use serde_json::Value;

use crate::Place;

/// The text in UTF-16.
fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

/// Symptom: a file of a spreadsheet was stored as garbage without a word. Fix: what looks like
/// another format is refused before anything is stored, with what to add.
#[test]
fn what_looks_like_another_format_is_refused() {
    let place = Place::new();
    let marked = "\u{feff}key,value\r\nk,v\r\n";
    let plain = "key,value\r\nk,v\r\n";
    for (bytes, want) in [
        (utf_16(marked, u16::to_le_bytes), "--encoding utf-16le"),
        (utf_16(marked, u16::to_be_bytes), "--encoding utf-16be"),
        (utf_16(plain, u16::to_le_bytes), "--encoding utf-16le"),
        (utf_16(plain, u16::to_be_bytes), "--encoding utf-16be"),
        (b"a,1\rb,2\r".to_vec(), "a lone carriage return"),
        (b"a;1,5\nb;2,5\n".to_vec(), "--delimiter ';'"),
        (b"a;1\nb;2\n".to_vec(), "--delimiter ';'"),
        (b"a\t1\nb\t2\n".to_vec(), "--delimiter tab"),
        (b"sep=;\r\na;1\r\n".to_vec(), "--delimiter ';'"),
    ] {
        place.write("a.csv", &bytes);
        let err = place.e("import a.csv").failed(1);
        assert!(err.contains(want), "{}: {err}", bytes.escape_ascii());
        // Also from a pipe.
        let err = place.run(&["-e", "import - --format csv"], &bytes).failed(1);
        assert!(err.contains(want), "{}: {err}", bytes.escape_ascii());
    }
    for text in ["one\rtwo\rthree", "a;1\nb;2\n", "a,1\nb,2\n", "k\tone\rl\ttwo\r"] {
        place.write("a.txt", text);
        place.e("import a.txt").failed(1);
    }
    assert_eq!(place.e("count").ok(), "0\n");
}

#[test]
fn what_is_said_to_be_another_format_is_read() {
    for (file, bytes, options, want) in [
        (
            "a.csv",
            utf_16("\u{feff}ké,日本\r\n", u16::to_le_bytes),
            "--encoding utf-16",
            "ké\t日本\n",
        ),
        ("a.csv", utf_16("ké,😀\n", u16::to_be_bytes), "--encoding utf-16be", "ké\t😀\n"),
        ("a.tsv", b"caf\xe9\tcr\xe8me\n".to_vec(), "--encoding latin-1", "café\tcrème\n"),
        ("a.csv", b"a;1,5\n\"b;c\";2\n".to_vec(), "--delimiter ';'", "a\t1,5\nb;c\t2\n"),
        ("a.txt", b"a;1\nb;2\n".to_vec(), "--delimiter ;", "a\t1\nb\t2\n"),
        ("a.txt", b"a;1\nb;2\n".to_vec(), "--format tsv", "a;1\t\nb;2\t\n"),
        ("a.csv", b"sep=;\r\na;1\r\n".to_vec(), "--delimiter ';'", "a\t1\n"),
        ("a.csv", b"a\t1\n".to_vec(), "--delimiter tab", "a\t1\n"),
        ("a.csv", b"a;b,1\n".to_vec(), "--delimiter ,", "a;b\t1\n"),
        ("a.csv", b"x,k,y\n".to_vec(), "--key 2", "k\tx,y\n"),
        ("a.csv", b"name,id\nann,1\n".to_vec(), "--key id", "1\tann\n"),
        ("a.tsv", b"id\tname\n1\tann\n".to_vec(), "--key name", "ann\t1\n"),
        (
            "a.jsonl",
            b"{\"id\": 1, \"x\": []}\n".to_vec(),
            "--key id",
            "1\t{\"id\": 1, \"x\": []}\n",
        ),
    ] {
        let place = Place::new();
        place.write(file, bytes);
        place.e(&format!("import {file} {options}")).ok();
        assert_eq!(place.e("scan").ok(), want, "{file} {options}");
    }
    let place = Place::new();
    place.write("a.csv", "name,id\nann,1\n");
    for (options, want) in [
        ("--key no", "a column named no in the first row, and got name, id"),
        ("--key 3", "a column 3 for the key, and there are 2"),
        ("--format jsonl --key 1", "--key takes the name of a member"),
        ("--format jsonl --delimiter ;", "--delimiter goes with csv"),
        ("--format tsv --delimiter ;", "--delimiter goes with csv"),
    ] {
        let err = place.e(&format!("import a.csv {options}")).failed(1);
        assert!(err.contains(want), "{options}: {err}");
    }
    place.write("odd.csv", b"a\0,\0b");
    let err = place.e("import odd.csv --encoding utf-16le").failed(1);
    assert!(err.contains("no UTF-16 at byte 4"), "{err}");
    assert_eq!(place.e("count").ok(), "0\n");
}

#[test]
fn bad_rows_are_left_out_counted_and_shown() {
    let place = Place::new();
    let bad: String = (0..7).map(|n| format!("bad {n}\n")).collect();
    place.write("a.csv", format!("a,1\n{bad}b,2\n\"x\"y,3\nc,3\n"));
    let out = place.e("import a.csv --skip-bad").ok();
    assert!(
        out.starts_with("imported 3 rows, ") && out.contains("; skipped 8 bad rows\n"),
        "{out}"
    );
    assert!(out.contains("\n    line 2: expected 2 columns, key,value, and there is only one\n"));
    assert!(out.ends_with("\n    ...\n") && out.lines().count() == 7, "{out}");
    assert_eq!(place.e("scan").ok(), "a\t1\nb\t2\nc\t3\n");
    let json = place.run(&["--json", "-e", "import a.csv --skip-bad"], "").ok();
    let answer: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&answer["skipped"], &answer["bad"][0]["line"]), (&8.into(), &2.into()));
    // A quote that is never closed has swallowed an unknown number of rows.
    place.write("open.csv", "a,1\nb,\"2\nc,3\n");
    let err = place.e("import open.csv --skip-bad").failed(1);
    assert!(err.contains("line 2: expected a closing quote"), "{err}");
}

#[test]
fn an_import_may_come_from_a_pipe() {
    let place = Place::new();
    let ran = place.run(&["-e", "import - --format csv", "-e", "count"], "a,1\nb,2");
    assert!(ran.ok().ends_with("\n2\n"));
    let err = place.input("import -\n").failed(1);
    assert!(err.contains("standard input is where the commands come from"), "{err}");
    let err = place.run(&["-e", "import -"], "a").failed(1);
    assert!(err.contains("cannot tell the format of -"), "{err}");
}
