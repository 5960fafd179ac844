//! Each format as a table: the bytes of a file, and the rows and the complaint that they give.

use std::path::Path;

use super::*;

/// The rows of `file`, each as (line, key, value), and the complaint that ended them.
fn rows(format: Format, file: &[u8]) -> (Vec<(u64, String, String)>, Option<String>) {
    rows_in(format, Columns::default(), file)
}

/// The same, of a file with these columns.
fn rows_in(
    format: Format,
    columns: Columns,
    file: &[u8],
) -> (Vec<(u64, String, String)>, Option<String>) {
    let mut rows = Rows::new(file, format, columns);
    let mut row = Row::default();
    let mut all = Vec::new();
    loop {
        match rows.next(&mut row) {
            Ok(true) => {
                let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
                all.push((row.line, text(&row.key), text(&row.value)));
            }
            Ok(false) => {
                assert_eq!(rows.bytes(), file.len() as u64);
                return (all, None);
            }
            Err(RowError::Malformed { line, expected } | RowError::Lost { line, expected }) => {
                return (all, Some(format!("{line}: {expected}")));
            }
            Err(RowError::Io(error)) => panic!("{error}"),
        }
    }
}

#[track_caller]
fn check(format: Format, file: impl AsRef<[u8]>, want: &[(u64, &str, &str)]) {
    let (got, error) = rows(format, file.as_ref());
    let want: Vec<_> = want.iter().map(|&(l, k, v)| (l, k.to_string(), v.to_string())).collect();
    assert_eq!((got, error), (want, None), "{}", file.as_ref().escape_ascii());
}

/// Checks that `count` rows come before the complaint.
#[track_caller]
fn wrong(format: Format, file: impl AsRef<[u8]>, count: usize, want: &str) {
    let (got, error) = rows(format, file.as_ref());
    assert_eq!(got.len(), count, "{got:?}");
    let error = error.expect("the file is malformed");
    assert!(error.starts_with(want), "{error}");
}

#[test]
fn tab_separated() {
    use Format::Tsv;
    check(Tsv, "", &[]);
    check(Tsv, "a\t1\nb\t2", &[(1, "a", "1"), (2, "b", "2")]);
    check(Tsv, "a\t1, 2\r\n\r\n\nword\n\t\n", &[(1, "a", "1, 2"), (4, "word", ""), (5, "", "")]);
    check(Tsv, "\u{feff}a\t\\t\\n\\\\\\xff\n", &[(1, "a", r"\t\n\\\xff")]);
    check(Tsv, b"\xff\t\xfe\n", &[(1, r"\xff", r"\xfe")]);
    check(Tsv, "it's \"so\"\tx", &[(1, "it\\'s \\\"so\\\"", "x")]);
    wrong(Tsv, "a\t1\nb\t2\t3\n", 1, "2: one tab");
    wrong(Tsv, "a\t1\n\nb\t\\q\n", 1, r"3: escapes as in the shell: \q is not");
}

#[test]
fn comma_separated() {
    use Format::Csv;
    check(Csv, "", &[]);
    check(Csv, "a,1\nb,2", &[(1, "a", "1"), (2, "b", "2")]);
    check(Csv, "a,\r\n\n,\n", &[(1, "a", ""), (3, "", "")]);
    check(Csv, "\"a,b\",\"say \"\"hi\"\"\"\n", &[(1, "a,b", "say \\\"hi\\\"")]);
    check(Csv, "\"\",\"\"\n\"\"\"\",x", &[(1, "", ""), (2, "\\\"", "x")]);
    check(
        Csv,
        "\"two\r\nlines\",\"\n\n\"\r\nb, x ",
        &[(1, r"two\r\nlines", r"\n\n"), (5, "b", " x ")],
    );
    check(Csv, "a,\\x41\\n\t", &[(1, "a", r"\\x41\\n\t")]);
    check(Csv, b"\xef\xbb\xbf\"a\",\xff", &[(1, "a", r"\xff")]);
    wrong(Csv, "a,1\nb\n", 1, "2: 2 columns, key,value, and there is only one");
    wrong(Csv, "a,1\nb,2,3\n", 1, "2: 2 columns, key,value, and there is a third");
    wrong(Csv, "a,1\n\"b\",2,\n", 1, "2: 2 columns, key,value, and there is a third");
    wrong(Csv, "a,x\"y\"\n", 0, "1: quotes around a whole column");
    wrong(Csv, "a,\"x\"y\n", 0, "1: a comma or the end of the line");
    wrong(Csv, "\"a\n\n\" ,x\n", 0, "3: a comma or the end of the line");
    wrong(Csv, "a,1\nb,\"2\n3\n4\n", 1, "2: a closing quote before the end of the file");
    wrong(Csv, "\"", 0, "1: a closing quote");
    wrong(Csv, "a,\"\"\"", 0, "1: a closing quote");
}

#[test]
fn json_lines() {
    use Format::JsonLines;
    check(JsonLines, "", &[]);
    check(
        JsonLines,
        "{\"key\":\"a\",\"value\":\"1\"}\r\n\n [\"b\" , \"2\"] ",
        &[(1, "a", "1"), (3, "b", "2")],
    );
    check(
        JsonLines,
        r#"{"value":"\n\u00e9\ud83d\ude00\"\\","key":""}"#,
        &[(1, "", r#"\n\xc3\xa9\xf0\x9f\x98\x80\"\\"#)],
    );
    let expected = "2: an object {\"key\"";
    for line in [
        "{\"key\":\"a\"}",
        "{\"key\":\"a\",\"key\":\"a\"}",
        "{\"key\":\"a\",\"value\":1}",
        "{\"key\":\"a\",\"value\":\"b\",\"c\":\"d\"}",
        "{\"key\":\"a\",\"value\":null}",
        "{\"key\":\"a\",\"value\":\"b\"",
        "{\"key\":\"a\",\"value\":\"b\"} x",
        "[\"a\"]",
        "[\"a\",\"b\",\"c\"]",
        "\"a\"",
        "a",
        "[\"a\",\"\\ud800\"]",
        "[\"a\",\"\\x41\"]",
        "[\"a\",\"\t\"]",
    ] {
        wrong(JsonLines, format!("[\"a\",\"b\"]\n{line}\n"), 1, expected);
    }
    wrong(JsonLines, b"[\"a\",\"b\"]\n[\"a\",\"\xff\"]\n", 1, expected);
}

#[test]
fn bytes_that_are_not_text_are_base64_in_json() {
    use Format::JsonLines;
    check(
        JsonLines,
        r#"{"key":{"base64":"/wA="},"value":[]}"#.replace("[]", r#"{"base64":""}"#),
        &[(1, r"\xff\x00", "")],
    );
    check(JsonLines, r#"["a",{"base64":"YQ=="}]"#, &[(1, "a", "a")]);
    for bytes in ["{}", r#"{"base64":"/w"}"#, r#"{"base64":"?"}"#, r#"{"base64":1}"#] {
        wrong(JsonLines, format!("[\"a\",{bytes}]"), 0, "1: an object {\"key\"");
    }
    for bytes in [r#"{"hex":"ff"}"#, r#"{"base64":"","more":1}"#] {
        wrong(JsonLines, format!("[\"a\",{bytes}]"), 0, "1: an object {\"key\"");
    }
}

#[test]
fn what_is_written_is_read_back() {
    #[track_caller]
    fn check(key: &[u8], value: &[u8]) {
        for format in [Format::Tsv, Format::Csv, Format::JsonLines] {
            let mut line = Vec::new();
            write(format, key, value, &mut line);
            assert_eq!(line.last(), Some(&b'\n'));
            let mut row = Row::default();
            assert!(
                Rows::new(&*line, format, Columns::default()).next(&mut row).unwrap(),
                "{format:?}"
            );
            assert_eq!((&*row.key, &*row.value), (key, value), "{format:?}");
        }
    }
    for byte in 0..=255 {
        check(&[byte], &[byte, byte]);
        check(&[b'a', byte], &[byte, b'a']);
    }
    check(b"", b"");
    check("\u{feff}".as_bytes(), "\u{feff}a".as_bytes());
    check(b"a,b", b"\"\r\n");
    let mut line = Vec::new();
    for format in [Format::Tsv, Format::Csv, Format::JsonLines] {
        write(format, b"k", b"a,\xff", &mut line);
    }
    let want = b"k\ta,\\xff\nk,\"a,\xff\"\n{\"key\":\"k\",\"value\":{\"base64\":\"YSz/\"}}\n";
    assert_eq!(line.escape_ascii().to_string(), want.escape_ascii().to_string());
}

#[test]
fn a_row_is_bounded() {
    let long = "x".repeat(ROW_BYTES_MAX - 3);
    check(Format::Csv, format!("a,{long}\n"), &[(1, "a", &long)]);
    let line = format!("a,b\na,x{long}\nb,2\n");
    for format in [Format::Tsv, Format::Csv] {
        wrong(format, &line, 1, "2: a row of at most 64 bytes");
    }
    // Each line is short, and the quote is never closed.
    let file = format!("a,b\n\"{}", "short\n".repeat(1_000));
    wrong(Format::Csv, file, 1, "12: a row of at most 64 bytes");
}

#[test]
fn names_and_extensions_say_the_format() {
    for (name, want) in [
        ("a.tsv", Some(Format::Tsv)),
        ("words.TXT", Some(Format::Tsv)),
        ("dir.csv/a.csv", Some(Format::Csv)),
        ("a.jsonl", Some(Format::JsonLines)),
        ("a.ndjson", Some(Format::JsonLines)),
        ("a.csv.gz", None),
        ("csv", None),
        (".csv", None),
    ] {
        assert_eq!(Format::of(Path::new(name)), want, "{name}");
    }
}

#[test]
fn other_delimiters_and_columns() {
    let columns =
        |key: Option<KeyColumn>, delimiter: Option<u8>| Columns { header: false, key, delimiter };
    #[track_caller]
    fn check(format: Format, columns: Columns, file: &str, want: &[(u64, &str, &str)]) {
        let (got, error) = rows_in(format, columns, file.as_bytes());
        let own = |&(line, key, value): &(u64, &str, &str)| (line, key.into(), value.into());
        assert_eq!((got, error), (want.iter().map(own).collect(), None), "{file}");
    }
    let named = |name: &str| Some(KeyColumn::Named(name.as_bytes().to_vec()));
    let semicolon = columns(None, Some(b';'));
    check(
        Format::Csv,
        semicolon.clone(),
        "a;1,5\n\"b;c\";2\n",
        &[(1, "a", "1,5"), (2, "b;c", "2")],
    );
    check(Format::Csv, semicolon, "sep=;\r\na;1\r\n", &[(2, "a", "1")]);
    let second = columns(Some(KeyColumn::Number(1)), None);
    check(Format::Csv, second.clone(), "x,a\ny,b\n", &[(1, "a", "x"), (2, "b", "y")]);
    check(Format::Csv, second, "x,a,\"1,2\"\n", &[(1, "a", "x,\\\"1,2\\\"")]);
    let id = columns(named("id"), None);
    check(Format::Csv, id.clone(), "name,id\nann,1\n", &[(2, "1", "ann")]);
    check(Format::Tsv, id.clone(), "id\tname\tage\n1\tann\\n\t7\n", &[(2, "1", r"ann\\n\t7")]);
    check(Format::JsonLines, id.clone(), "{\"id\": 7, \"x\": []} \n", {
        &[(1, "7", r#"{\"id\": 7, \"x\": []}"#)]
    });
    for (format, file, want) in [
        (
            Format::Csv,
            "name,age\nann,1\n",
            "1: a column named id in the first row, and got name, age",
        ),
        (Format::JsonLines, "{\"id\": null}\n", "1: an object with a text or a number as id"),
        (Format::JsonLines, "[1]\n", "1: an object: "),
    ] {
        let (rows, error) = rows_in(format, id.clone(), file.as_bytes());
        assert!(
            rows.is_empty() && error.as_ref().is_some_and(|e| e.starts_with(want)),
            "{error:?}"
        );
    }
    let third = columns(Some(KeyColumn::Number(2)), None);
    let (_, error) = rows_in(Format::Csv, third, b"a,b\n");
    assert_eq!(error.as_deref(), Some("1: a column 3 for the key, and there are 2"));
}

#[test]
fn a_lone_carriage_return_ends_no_line() {
    for (format, file) in [
        (Format::Tsv, "a\t1\rb\t2\r"),
        (Format::Tsv, "word\rother\n"),
        (Format::Csv, "a,1\rb,2\r"),
        (Format::Csv, "\"a\",\"1\"\r\"b\",\"2\"\r"),
        (Format::JsonLines, "[\"a\",\"1\"]\r[\"b\",\"2\"]\r"),
    ] {
        wrong(format, file, 0, "1: a line end or an escape in the place of a lone carriage return");
    }
    check(Format::Csv, "a,\"x\ry\"\n", &[(1, "a", r"x\ry")]);
    check(Format::Tsv, "a\tx\\ry\r\n", &[(1, "a", r"x\ry")]);
}
