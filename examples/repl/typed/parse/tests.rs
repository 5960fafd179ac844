//! The grammar as tables: what is typed, and the words that a command gets or the complaint.

use super::*;
use crate::commands::export::ExportRequest;
use crate::commands::import::ImportRequest;
use crate::commands::scan::{ScanRequest, Show, counted_extent};
use crate::rows::{Columns, Encoding, Format, KeyColumn};
use crate::shell::Extent;

/// A command as it was read: its name, its words and its options, `get [k] --at [s1]`.
fn written<T: AsRef<[u8]>>(name: &str, words: &[T], options: &[(&str, T)]) -> String {
    let mut text = name.to_owned();
    for word in words {
        text += &format!(" [{}]", word.as_ref().escape_ascii());
    }
    for (option, value) in options {
        text += &format!(" {option}");
        if !value.as_ref().is_empty() {
            text += &format!(" [{}]", value.as_ref().escape_ascii());
        }
    }
    text
}

fn get(key: impl AsRef<[u8]>) -> String {
    written("get", &[key], &[])
}

fn store(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> String {
    written("store", &[key.as_ref(), value.as_ref()], &[])
}

#[track_caller]
fn given_by(text: &str) -> Given {
    read(text.as_bytes()).unwrap().expect("a command is there").1
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, want: impl AsRef<str>) {
    let text = text.as_ref();
    let got = match read(text) {
        Ok(Some((spec, given))) => written(spec.name, given.words(), given.options()),
        Ok(None) => String::new(),
        Err(error) => panic!("{} gave {error:?}", text.escape_ascii()),
    };
    assert_eq!(got, want.as_ref(), "{}", text.escape_ascii());
    assert!(parse(text).is_ok(), "{}", text.escape_ascii());
}

#[track_caller]
fn wrong(text: impl AsRef<[u8]>, want: &str) {
    match parse(text.as_ref()).map(|command| command.is_some()) {
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
        let open = Err(WordError::Unfinished { quote });
        assert_eq!(parse(text.as_bytes()).map(drop), open, "{text:?}");
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
    for nothing in ["", " \t\r\n", "# store k v", "  # it's", "#", "#\n"] {
        check(nothing, "");
    }
    check("store k # v", store("k", "# v"));
    check("get '#'", get("#"));
    check("get Key", get("Key"));
    check("DELETE Key", "delete [Key]");
    check("scan", "scan");
    check("scan a", "scan [a]");
    check("scan '' \"m m\"", "scan [] [m m]");
    check("prefix 'a b'", "prefix [a b]");
    check("flush", "flush");
    check("LOAD_INDEX", "load_index");
    check("help\n", "help");
    check("help SCAN", "help [SCAN]");
    check("? ls", "help [ls]");
    check("help Quoting", "help [Quoting]");
    check("eXit\r\n", "exit");
    check("timer ON", "timer [ON]");
    check("set_threshold 4MiB", "set_threshold [4MiB]");
    check("compact", "compact");
    check("compact '' \"m m\"", "compact [] [m m]");
    check("compact pause", "compact [pause]");
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
    wrong("compact a b c", "c is one word too many: write compact [FROM] [TO]");
    wrong("pause_compaction now", "now is one word too many: write pause_compaction");
    wrong("set_threshold big", "\"big\" is no size: write bytes, or a number with KiB, MiB or GiB");
    wrong("set_threshold", "the size is missing: write set_threshold SIZE");
    wrong("load_index x", "x is one word too many: write load_index");
    wrong("commit now", "now is one word too many: write commit");
    wrong("timer maybe", "write on or off, and not maybe");
}

#[test]
fn options_stand_anywhere_behind_the_name() {
    check("get --at s1 k", "get [k] --at [s1]");
    check("get k --at 's 1'", "get [k] --at [s 1]");
    check("get --raw k", "get [k] --raw");
    check("get '--at'", get("--at"));
    check("mget a b --at s \"'\"", r"mget [a] [b] [\'] --at [s]");
    check("scan --limit 3 a --at s --reverse b", "scan [a] [b] --limit [3] --at [s] --reverse");
    check("import --ack --format csv data", "import [data] --ack --format [csv]");
    check("import '--ack'", "import [--ack]");
    // What has no such options takes the word as it is.
    check("store --at --limit 3", store("--at", "--limit 3"));
    check("store k --from-x 3", store("k", "--from-x 3"));
    check("store k '--from' ", store("k", "--from"));
    check("delete --at", "delete [--at]");
    for text in ["store k --from a.bin", "store --from a.bin k", "set k --from 'a.bin'"] {
        check(text, "store [k] --from [a.bin]");
    }
    wrong("store k --from", "--from needs a word behind it");
    wrong("store k --from a b", "a value and --from exclude each other");
    wrong("store --from a", "the key is missing");
    wrong("get --limit 3 k", "no option --limit: write get KEY [--raw] [--at SNAPSHOT]");
    wrong("scan --limit many", "--limit takes a number, and got \"many\"");
    wrong("scan --limit -1", "--limit takes a number, and got \"-1\"");
    wrong("scan --limit", "--limit needs a word behind it");
    wrong("scan --limit 1 --limit 2", "--limit is given twice");
    wrong("import a --format", "--format needs a word behind it");
    wrong("import a --ack --ack", "--ack is given twice");
    wrong("import --ack", "the file is missing");
    wrong("import a b", "b is one word too many");
    wrong("import a --fast", "no option --fast");
    wrong(b"get k --at \xff", r"\xff is no name: it is not UTF-8");
    wrong("mget", "the key is missing");
    wrong("prefix", "the prefix is missing: write prefix PREFIX");
    wrong("use", "the keyspace is missing: write use KEYSPACE");
    wrong("release", "the snapshot is missing");
}

#[test]
fn words_of_other_programs_are_taken() {
    check("put k v w", store("k", "v w"));
    check("SET k 'v'", store("k", "v"));
    check("del k", "delete [k]");
    check("rm k", "delete [k]");
    check("ls a", "scan [a]");
    check("keys --limit 3", "scan --limit [3] --keys");
    check("values", "scan --values");
    for leave in ["quit", "q", ".exit", r"\q", r"  \q  "] {
        check(leave, "exit");
    }
    for help in ["?", r"\?", r"\h"] {
        check(help, "help");
    }
    wrong("put k", "the value is missing: write store KEY VALUE");
    wrong(r"get \q", r"\q is not an escape");
}

#[test]
fn what_a_scan_is_to_print() {
    #[track_caller]
    fn check(text: &str, want: ScanRequest) {
        let extent = Extent::Prefix(b"k".to_vec());
        assert_eq!(ScanRequest::read(extent, &mut given_by(text)), Ok(want), "{text}");
    }
    // All of it, forward, as it is now.
    let plain = || ScanRequest {
        extent: Extent::Prefix(b"k".to_vec()),
        show: Show::Pairs,
        hex: false,
        reverse: false,
        limit: None,
        at: None,
    };
    check("prefix k", plain());
    check("prefix k --hex --values", ScanRequest { show: Show::Values, hex: true, ..plain() });
    check("keys --limit 3", ScanRequest { show: Show::Keys, limit: Some(3), ..plain() });
    let at = Some("s 1".to_owned());
    check("scan --at 's 1' --reverse", ScanRequest { at, reverse: true, ..plain() });
    wrong("scan --keys --values", "exclude each other");
    let between = |from: Option<&str>, to: Option<&str>| {
        let bytes = |word: &str| word.as_bytes().to_vec();
        Extent::Between { from: from.map(bytes), to: to.map(bytes) }
    };
    for (text, want) in [
        ("count", between(None, None)),
        ("count a b", between(Some("a"), Some("b"))),
        ("size --prefix k", Extent::Prefix(b"k".to_vec())),
    ] {
        assert_eq!(counted_extent(&mut given_by(text)), Ok(want), "{text}");
    }
    wrong("count a --prefix k", "--prefix and FROM exclude each other");
}

#[test]
fn what_an_import_and_an_export_are_to_do() {
    #[track_caller]
    fn check(text: &str, want: ImportRequest) {
        assert_eq!(ImportRequest::read(&mut given_by(text)), Ok(want), "{text}");
    }
    let plain = || ImportRequest { file: "a".into(), ..ImportRequest::default() };
    let import = |columns: Columns| ImportRequest { columns, ..plain() };
    let columns = Columns::default;
    check("import 'a b'", ImportRequest { file: "a b".into(), ..plain() });
    check("import a --key 2", import(Columns { key: Some(KeyColumn::Number(1)), ..columns() }));
    let named = Some(KeyColumn::Named(b"id".to_vec()));
    check("import a --key id", import(Columns { key: named, ..columns() }));
    check("import a --delimiter ';'", import(Columns { delimiter: Some(b';'), ..columns() }));
    check("import a --delimiter tab", import(Columns { delimiter: Some(b'\t'), ..columns() }));
    check("import a --delimiter \\t", import(Columns { delimiter: Some(b'\t'), ..columns() }));
    check("import a --format csv --ack --progress --header", {
        let format = Some(Format::Csv);
        let columns = Columns { header: true, ..columns() };
        ImportRequest { format, columns, ack: true, progress: true, ..plain() }
    });
    check("import a --skip-bad --encoding UTF-16LE", {
        ImportRequest { encoding: Some(Encoding::Utf16Le), skip_bad: true, ..plain() }
    });
    wrong("import", "the file is missing");
    wrong("import a --format xml", "takes tsv, csv or jsonl, and got \"xml\"");
    wrong("import a --format ''", "takes tsv, csv or jsonl, and got \"\"");
    wrong("import a --delimiter ab", "takes one character or tab, not ab");
    wrong("import a --delimiter '\"'", "takes one character or tab");
    wrong("import a --key 0", "columns are counted from 1");
    wrong("import a --encoding ebcdic", "or latin-1, not ebcdic");
    let plain = ExportRequest { file: "a".into(), ..ExportRequest::default() };
    let format = Some(Format::Csv);
    let at = Some("s1".into());
    let want = ExportRequest { format, at, skip_damaged: true, ..plain };
    let text = "export a --format csv --at s1 --skip-damaged";
    assert_eq!(ExportRequest::read(&mut given_by(text)), Ok(want));
}
