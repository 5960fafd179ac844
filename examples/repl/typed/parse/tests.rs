//! The grammar as tables: what is typed, and the command or the complaint that it gives.

use super::*;
use crate::commands::spec::SPECS;

fn store(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Command {
    Command::Store { key: key.as_ref().to_vec(), value: value.as_ref().to_vec() }
}

fn get(key: impl AsRef<[u8]>) -> Command {
    Command::Get { key: key.as_ref().to_vec(), at: None, raw: false }
}

fn between(from: Option<&str>, to: Option<&str>) -> Extent {
    let bytes = |word: &str| word.as_bytes().to_vec();
    Extent::Between { from: from.map(bytes), to: to.map(bytes) }
}

/// All of it, forward, as it is now.
fn scan(extent: Extent) -> ScanRequest {
    ScanRequest { extent, show: Show::Pairs, hex: false, reverse: false, limit: None, at: None }
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, want: Command) {
    assert_eq!(parse(text.as_ref()), Ok(Some(want)), "{}", text.as_ref().escape_ascii());
}

#[track_caller]
fn wrong(text: impl AsRef<[u8]>, want: &str) {
    match parse(text.as_ref()) {
        Err(WordError::Wrong(got)) if got.contains(want) => {}
        got => panic!("{} gave {got:?}", text.as_ref().escape_ascii()),
    }
}

#[test]
fn a_value_is_the_rest_of_its_line() {
    check("store k v", store("k", "v"));
    check("  STORE\tK   a, b  and\tc \r\n", store("K", "a, b  and\tc"));
    check("Store name it's \"quoted\" inside", store("name", "it's \"quoted\" inside"));
    check(r"store k a\nb\\c\x00\u{e9}", store("k", "a\nb\\c\0é"));
    check(r#"store k \"as typed\""#, store("k", "\"as typed\""));
    check("store it's fine", store("it's", "fine"));
    check(b"store \xfe \xff \xfd", store(b"\xfe", b"\xff \xfd"));
    wrong("store k", "the value is missing");
    wrong("store k   ", "the value is missing");
    wrong("store", "the key is missing");
    wrong(r"store k C:\dir", r"\d is not an escape");
}

#[test]
fn quotes_hold_anything() {
    check("store 'a key' 'a \\n value'", store("a key", "a \\n value"));
    check("store \"a key\" \" out, er \"  \n", store("a key", " out, er "));
    check("store '' \"\"", store("", ""));
    check("store k 'two\nlines\r\n'", store("k", "two\nlines\r\n"));
    check("store k \"two\nlines\"", store("k", "two\nlines"));
    check(r#"get "\"\'\\\x41\u{42}\0\r\t\n""#, get("\"'\\AB\0\r\t\n"));
    check("get 'say \"hi\"'", get("say \"hi\""));
    check("get \"it's\"", get("it's"));
    check("\"get\" k", get("k"));
    wrong("store k 'a'b", "right after a closing quote");
    wrong("store k \"a\" b", "b is one word too many");
    wrong(r#"get "\q""#, r"\q is not an escape");
    wrong(r"get a\xzz", "two hexadecimal digits");
}

#[test]
fn an_open_quote_waits_for_the_next_line() {
    for (text, quote) in [
        ("store k 'a\n", b'\''),
        ("store k \"a\n", b'"'),
        ("store k \"a\\\"\n", b'"'),
        ("store 'k", b'\''),
        ("get \"", b'"'),
        ("get 'a' 'b", b'\''),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(WordError::Unfinished { quote }), "{text:?}");
    }
    wrong("get \"a\\", "backslash at the end");
}

#[test]
fn every_byte_can_be_entered_in_every_quote() {
    let all: Vec<u8> = (0..=255).collect();
    for bytes in all.iter().map(std::slice::from_ref).chain([&all[..]]) {
        let mut hexadecimal: Vec<u8> = Vec::new();
        for byte in bytes {
            hexadecimal.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
        let mut escaped = Vec::new();
        crate::text::escape::escape(bytes, &mut escaped);
        for text in [&hexadecimal, &escaped] {
            let doubled = escaped_quotes(text);
            check([b"get \"", &*doubled, b"\""].concat(), get(bytes));
            check([b"store \"", &*doubled, b"\" \"", &*doubled, b"\""].concat(), {
                store(bytes, bytes)
            });
        }
        check([b"get ", &*hexadecimal].concat(), get(bytes));
        check([b"store k ", &*hexadecimal].concat(), store("k", bytes));
        if !bytes.contains(&b'\'') {
            check([b"get '", bytes, b"'"].concat(), get(bytes));
        }
    }
}

fn escaped_quotes(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|&byte| if byte == b'"' { vec![b'\\', byte] } else { vec![byte] })
        .collect()
}

#[test]
fn commands_take_their_words() {
    assert_eq!(parse(b""), Ok(None));
    assert_eq!(parse(b" \t\r\n"), Ok(None));
    check("get Key", get("Key"));
    check("DELETE Key", Command::Delete { key: b"Key".to_vec() });
    check("scan", Command::Scan(scan(between(None, None))));
    check("scan a", Command::Scan(scan(between(Some("a"), None))));
    check("scan '' \"m m\"", Command::Scan(scan(between(Some(""), Some("m m")))));
    check("prefix 'a b'", Command::Scan(scan(Extent::Prefix(b"a b".into()))));
    check("flush", Command::Flush);
    check("stats", Command::Stats);
    check("help\n", Command::Help { about: None });
    let scan_spec = || Spec::named(b"scan").map(About::Command);
    check("help SCAN", Command::Help { about: scan_spec() });
    check("? ls", Command::Help { about: scan_spec() });
    check("help Quoting", Command::Help { about: Topic::named(b"quoting").map(About::Topic) });
    check("eXit\r\n", Command::Exit);
    wrong("get", "the key is missing: write get KEY");
    wrong("get a b", "b is one word too many: write get KEY");
    wrong("delete", "the key is missing");
    wrong("scan a b c", "c is one word too many");
    wrong("flush now", "now is one word too many");
    wrong("exit 1", "one word too many");
    wrong("frob a b", "no command frob; help lists the commands");
    wrong("stroe a b", "no command stroe; did you mean store?");
    wrong("help stroe", "no command stroe; did you mean store?");
    wrong(b"\xff\x1b", r"no command \xff\x1b");
}

#[test]
fn import_takes_options_on_both_sides() {
    let request = |file: &str| ImportRequest { file: file.into(), ..ImportRequest::default() };
    check("import words.txt", Command::Import(request("words.txt")));
    check("import 'my words.txt'", Command::Import(request("my words.txt")));
    check("import '--ack'", Command::Import(request("--ack")));
    check(
        "import --ack --format csv data --progress --header",
        Command::Import(ImportRequest {
            format: Some(Format::Csv),
            columns: Columns { header: true, ..Columns::default() },
            ack: true,
            progress: true,
            ..request("data")
        }),
    );
    wrong("import a --format", "--format needs a word behind it");
    wrong("import a --ack --ack", "--ack is given twice");
    wrong("import", "the file is missing");
    wrong("import --ack", "the file is missing");
    wrong("import a b", "b is one word too many");
    wrong("import a --fast", "no option --fast");
    wrong("import a --format xml", "takes tsv, csv or jsonl, and got \"xml\"");
    wrong("import a --format ''", "takes tsv, csv or jsonl, and got \"\"");
}

#[test]
fn options_stand_anywhere_behind_the_name() {
    let at = |name: &str| Some(String::from(name));
    check("get --at s1 k", Command::Get { key: b"k".to_vec(), at: at("s1"), raw: false });
    check("get k --at 's 1'", Command::Get { key: b"k".to_vec(), at: at("s 1"), raw: false });
    check("get '--at'", get("--at"));
    check(
        "scan --limit 3 a --at s --reverse b",
        Command::Scan(ScanRequest {
            reverse: true,
            limit: Some(3),
            at: at("s"),
            ..scan(between(Some("a"), Some("b")))
        }),
    );
    // What has no such options takes the word as it is.
    check("store --at --limit 3", store("--at", "--limit 3"));
    check("store k --from-x 3", store("k", "--from-x 3"));
    check("store k '--from' ", store("k", "--from"));
    check("delete --at", Command::Delete { key: b"--at".to_vec() });
    wrong("get --limit 3 k", "no option --limit: write get KEY [--raw] [--at SNAPSHOT]");
    wrong("scan --limit many", "--limit takes a number, and got \"many\"");
    wrong("scan --limit -1", "--limit takes a number, and got \"-1\"");
    wrong("scan --limit", "--limit needs a word behind it");
    wrong("scan --limit 1 --limit 2", "--limit is given twice");
    wrong(b"get k --at \xff", r"\xff is no name: it is not UTF-8");
    wrong("prefix", "the prefix is missing: write prefix PREFIX");
}

#[test]
fn sessions_take_names() {
    let export = |file: &str| ExportRequest { file: file.into(), ..ExportRequest::default() };
    check("use users", Command::Use { name: "users".into(), create: false });
    check("use --create users", Command::Use { name: "users".into(), create: true });
    check("drop 'my users'", Command::Drop { name: "my users".into() });
    check("snapshot", Command::Snapshot { name: None });
    check("snapshot before", Command::Snapshot { name: Some("before".into()) });
    check("release s1", Command::Release { name: "s1".into() });
    check("export a.csv", Command::Export(export("a.csv")));
    check("export a --format csv --at s1", {
        let format = Some(Format::Csv);
        let at = Some("s1".into());
        Command::Export(ExportRequest { format, at, ..export("a") })
    });
    check("export a.csv --skip-damaged", {
        Command::Export(ExportRequest { skip_damaged: true, ..export("a.csv") })
    });
    check("save_index_snapshot 'a b'", Command::SaveIndexSnapshot { file: "a b".into() });
    check("load_index_snapshot a", Command::LoadIndexSnapshot { file: "a".into() });
    check("LOAD_INDEX", Command::LoadIndex);
    check("set_threshold 4MiB", Command::SetThreshold { bytes: 4 << 20 });
    check("segments --all", Command::Segments { all: true });
    check("compact", Command::Compact { extent: None });
    let compact = |from, to| Command::Compact { extent: Some(between(Some(from), to)) };
    check("compact a", compact("a", None));
    check("compact '' \"m m\"", compact("", Some("m m")));
    check("compact pause", compact("pause", None));
    check("pause_compaction", Command::PauseCompaction);
    check("RESUME_COMPACTION", Command::ResumeCompaction);
    wrong("compact a b c", "c is one word too many: write compact [FROM] [TO]");
    wrong("pause_compaction now", "now is one word too many: write pause_compaction");
    wrong("set_threshold big", "\"big\" is no size: write bytes, or a number with KiB, MiB or GiB");
    wrong("set_threshold", "the size is missing: write set_threshold SIZE");
    wrong("load_index x", "x is one word too many: write load_index");
    wrong("use", "the keyspace is missing: write use KEYSPACE");
    wrong("release", "the snapshot is missing");
    wrong("commit now", "now is one word too many: write commit");
}

#[test]
fn words_of_other_programs_are_taken() {
    check("put k v w", store("k", "v w"));
    check("SET k 'v'", store("k", "v"));
    check("del k", Command::Delete { key: b"k".to_vec() });
    check("rm k", Command::Delete { key: b"k".to_vec() });
    check("ls a", Command::Scan(scan(between(Some("a"), None))));
    let keys = ScanRequest { show: Show::Keys, limit: Some(3), ..scan(between(None, None)) };
    check("keys --limit 3", Command::Scan(keys));
    for leave in ["quit", "q", ".exit", r"\q", r"  \q  "] {
        check(leave, Command::Exit);
    }
    check("?", Command::Help { about: None });
    wrong("put k", "the value is missing: write store KEY VALUE");
    wrong(r"get \q", r"\q is not an escape");
}

#[test]
fn a_comment_is_no_command() {
    for comment in ["# store k v", "  # it's", "#", "#\n"] {
        assert_eq!(parse(comment.as_bytes()), Ok(None), "{comment}");
    }
    check("store k # v", store("k", "# v"));
    check("get '#'", get("#"));
}

#[test]
fn keys_are_asked_for_in_many_ways() {
    let key = || b"k".to_vec();
    check("get --raw k", Command::Get { key: key(), at: None, raw: true });
    check("exists k", Command::Exists { key: key(), at: None });
    let keys = ["a", "b", "'"].map(|key| key.as_bytes().to_vec()).to_vec();
    check("mget a b --at s \"'\"", Command::MultiGet { keys, at: Some("s".into()) });
    wrong("mget", "the key is missing");
    for text in ["store k --from a.bin", "store --from a.bin k", "set k --from 'a.bin'"] {
        check(text, Command::StoreFile { key: key(), file: "a.bin".into() });
    }
    wrong("store k --from", "--from needs a word behind it");
    wrong("store k --from a b", "a value and --from exclude each other");
    wrong("store --from a", "the key is missing");
    let hex = ScanRequest { show: Show::Values, hex: true, ..scan(Extent::Prefix(key())) };
    check("prefix k --hex --values", Command::Scan(hex));
    wrong("scan --keys --values", "exclude each other");
    check("count", Command::Count { extent: between(None, None), at: None });
    check("count a b", Command::Count { extent: between(Some("a"), Some("b")), at: None });
    check("size --prefix k", Command::Size { extent: Extent::Prefix(key()) });
    wrong("count a --prefix k", "--prefix and FROM exclude each other");
    check("source a b".trim_end_matches(" b"), Command::Source { file: "a".into() });
    check("timer ON", Command::Timer { on: true });
    wrong("timer maybe", "write on or off, and not maybe");
}

#[test]
fn columns_and_encodings_of_an_import() {
    let import = |columns: Columns| {
        Command::Import(ImportRequest { file: "a".into(), columns, ..ImportRequest::default() })
    };
    let columns = Columns::default;
    check("import a --key 2", import(Columns { key: Some(KeyColumn::Number(1)), ..columns() }));
    let named = Some(KeyColumn::Named(b"id".to_vec()));
    check("import a --key id", import(Columns { key: named, ..columns() }));
    check("import a --delimiter ';'", import(Columns { delimiter: Some(b';'), ..columns() }));
    check("import a --delimiter tab", import(Columns { delimiter: Some(b'\t'), ..columns() }));
    check("import a --delimiter \\t", import(Columns { delimiter: Some(b'\t'), ..columns() }));
    wrong("import a --delimiter ab", "takes one character or tab, not ab");
    wrong("import a --delimiter '\"'", "takes one character or tab");
    wrong("import a --key 0", "columns are counted from 1");
    wrong("import a --encoding ebcdic", "or latin-1, not ebcdic");
    let encoding = Some(Encoding::Utf16Le);
    let skip_bad = true;
    check("import a --skip-bad --encoding UTF-16LE", {
        let request = ImportRequest { file: "a".into(), encoding, skip_bad, ..Default::default() };
        Command::Import(request)
    });
}

#[test]
fn every_command_reads_its_own_example() {
    for spec in SPECS {
        let got = parse(spec.example.as_bytes());
        assert!(matches!(got, Ok(Some(_))), "{}: {got:?}", spec.example);
    }
}
