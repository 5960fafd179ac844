//! What is offered, by what was typed so far.

use super::*;

/// The texts of what is offered.
fn texts(text: &str, names: &Names) -> (usize, Vec<String>) {
    let (start, offers) = complete(text, names);
    (start, offers.into_iter().map(|offer| offer.text).collect())
}

fn names() -> Names {
    let db = Db::in_memory().unwrap();
    let keyspace = db.keyspace("users").unwrap();
    for key in ["ann", "anna", "bob", "with blank", "say \"hi\"", "it's"] {
        keyspace.put(key, "").unwrap();
    }
    keyspace.put(b"\xff", "").unwrap();
    let snapshots = vec!["s1".into(), "before".into()];
    Names { db, keyspace, snapshots, savepoints: vec!["p1".into(), "half".into()] }
}

#[test]
fn words_are_offered_where_they_fit() {
    let names = names();
    let check = |text: &str, start: usize, want: &[&str]| {
        assert_eq!(
            texts(text, &names),
            (start, want.iter().map(|s| (*s).into()).collect()),
            "{text}"
        );
    };
    check("sto", 0, &["store "]);
    check("  ST", 2, &["stats ", "store "].map(str::trim_end));
    check("snap", 0, &["snapshot", "snapshots"]);
    check("frob", 0, &[]);
    check("frob a", 5, &[]);
    check("help del", 5, &["delete "]);
    check("use ", 4, &["default", "users"]);
    check("drop u", 5, &["users "]);
    check("get ann", 4, &["ann", "anna"]);
    check("get w", 4, &["\"with blank\" "]);
    check("get \"wi", 4, &["\"with blank\" "]);
    check("get 'wi", 4, &["\"with blank\" "]);
    check("get say", 4, &["\"say \\\"hi\\\"\" "]);
    check(r"get \xff", 4, &[r"\xff "]);
    check("get it", 4, &["it's "]);
    check("get ann --at ", 13, &["before", "s1"]);
    check("get --at s", 9, &["s1 "]);
    check("rollback h", 9, &["half "]);
    check("get --at s1 b", 12, &["bob "]);
    check("get bob -", 8, &["--at", "--raw"]);
    check("put ann\t", 8, &[]);
    check("timer o", 6, &["off", "on"]);
    check("help quo", 5, &["quoting "]);
    check("ls --ke", 3, &["--keys "]);
    check("scan a b --", 9, &["--at", "--hex", "--keys", "--limit", "--reverse", "--values"]);
    check("scan --reverse --r", 15, &[]);
    check("scan --limit ", 13, &[]);
    check("scan --reverse bo", 15, &["bob "]);
    check("get '--", 4, &[]);
    check("get bob ", 8, &["--at", "--raw"]);
    check("store ann ", 10, &[]);
    check("import a --format c", 18, &["csv "]);
    check(r"get \q", 6, &[]);
}

#[test]
fn every_offered_key_is_read_back() {
    let names = names();
    let (start, offers) = texts("get ", &names);
    assert_eq!((start, offers.len()), (4, 7));
    for offer in offers {
        let key = Words::new(offer.as_bytes()).next().unwrap().unwrap().bytes;
        assert!(names.keyspace.get(key).unwrap().is_some(), "{offer}");
    }
}

#[test]
fn files_are_offered_by_their_path() {
    let names = names();
    let dir = tempfile::tempdir().unwrap();
    for file in ["a.csv", "ab.tsv", "b c.txt", ".hidden"] {
        fs::write(dir.path().join(file), "").unwrap();
    }
    fs::create_dir(dir.path().join("sub dir")).unwrap();
    let root = dir.path().to_str().unwrap();
    let check = |partial: &str, want: &[&str]| {
        let text = format!("import {root}/{partial}");
        let want: Vec<String> = want.iter().map(|name| name.replace('@', root)).collect();
        assert_eq!(texts(&text, &names), (7, want), "{text}");
    };
    check("a", &["@/a.csv", "@/ab.tsv"]);
    check("ab", &["@/ab.tsv "]);
    check("b", &["\"@/b c.txt\" "]);
    check("s", &["\"@/sub dir/"]);
    check(".h", &["@/.hidden "]);
    check("", &["\"@/b c.txt\"", "\"@/sub dir/", "@/a.csv", "@/ab.tsv"]);
    check("absent/", &[]);
}

#[test]
fn a_hint_shows_what_comes_next() {
    assert_eq!(hint("store ").as_deref(), Some("KEY VALUE | KEY --from FILE"));
    assert_eq!(hint("del ").as_deref(), Some("KEY"));
    assert_eq!(hint(" GET ").as_deref(), Some("KEY [--raw] [--at SNAPSHOT]"));
    for nothing in ["store", "store k ", "stats ", "frob ", ""] {
        assert_eq!(hint(nothing), None, "{nothing}");
    }
}
