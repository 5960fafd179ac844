//! `begin`, `savepoint`, `commit` and `rollback`.

use crate::Place;

/// Runs a script and checks each line that it prints.
#[track_caller]
fn check(place: &Place, script: &str, want: &[&str]) {
    let out = place.input(script).ok();
    assert_eq!(out.lines().collect::<Vec<_>>(), want);
}

#[test]
fn a_transaction_reads_what_it_has_written() {
    let place = Place::new();
    check(
        &place,
        "store a 1\nstore b 2\nsnapshot\nuse users --create\nstore u 3\nuse default\n\
         begin\nstore a 9\ndelete b\nstore c 4\nuse users\nstore v 5\nscan\ncount\nuse default\n\
         get a\nexists b\nmget b c\nscan\nscan --reverse\nscan b --keys\nprefix c\ncount a b\n\
         scan --at s1\nget b --at s1\ncommit\nscan\nuse users\nscan\n",
        &[
            "ok",
            "ok",
            "s1 at sequence 2",
            "now in users, which is new",
            "ok",
            "now in default",
            "a transaction at sequence 3, until commit or rollback",
            "in the transaction, 1 so far",
            "in the transaction, 2 so far",
            "in the transaction, 3 so far",
            "now in users",
            "in the transaction, 4 so far",
            "u\t3",
            "v\t5",
            "2",
            "now in default",
            "9",
            "no",
            "b (not found)",
            "c\t4",
            "a\t9",
            "c\t4",
            "c\t4",
            "a\t9",
            "c",
            "c\t4",
            "1",
            "a\t1",
            "b\t2",
            "2",
            "committed 4 at sequence 7",
            "a\t9",
            "c\t4",
            "now in users",
            "u\t3",
            "v\t5",
        ],
    );
}

#[test]
fn an_export_has_what_the_transaction_sees() {
    let place = Place::new();
    place.input("store a 1\nstore b 2\nbegin\nstore a 9\ndelete b\nexport it.csv\ncommit\n").ok();
    assert_eq!(place.read("it.csv"), b"a,9\n");
}

#[test]
fn a_rollback_gives_up_all_of_it_or_back_to_a_savepoint() {
    let place = Place::new();
    check(
        &place,
        "begin\nstore a 1\nsavepoint half\nstore a 2\nsavepoint\nstore b 3\nscan\n\
         rollback p1\nscan\nrollback half\nscan\nstore c 4\nsavepoint half\nstore d 5\n\
         rollback half\ncommit\nscan\n\
         begin\nstore a 6\nrollback\nget a\nbegin\nrollback\nbegin\nabort\n",
        &[
            "a transaction at sequence 0, until commit or rollback",
            "in the transaction, 1 so far",
            "savepoint half",
            "in the transaction, 2 so far",
            "savepoint p1",
            "in the transaction, 3 so far",
            "a\t2",
            "b\t3",
            "undid 1, 2 left",
            "a\t2",
            "undid 1, 1 left",
            "a\t1",
            "in the transaction, 2 so far",
            "savepoint half",
            "in the transaction, 3 so far",
            "undid 1, 2 left",
            "committed 2 at sequence 2",
            "a\t1",
            "c\t4",
            "a transaction at sequence 2, until commit or rollback",
            "in the transaction, 1 so far",
            "rolled back 1",
            "1",
            "a transaction at sequence 2, until commit or rollback",
            "rolled back 0",
            "a transaction at sequence 2, until commit or rollback",
            "rolled back 0",
        ],
    );
}

#[test]
fn what_cannot_be_is_said() {
    let place = Place::new();
    place.write("rows.csv", "a,1\n");
    for (script, want) in [
        ("savepoint", "there is no transaction: begin begins one"),
        ("batch\nsavepoint", "there is no transaction: begin begins one"),
        ("batch\nrollback p1", "there is no transaction: begin begins one"),
        ("rollback p1", "there is no transaction: begin begins one"),
        ("begin\nrollback p1", "there is no savepoint p1; savepoint begins one"),
        ("begin\nsavepoint a\nsavepoint b\nrollback a\nrollback b", "there is no savepoint b"),
        ("begin\nstore a 1\nbegin", "there is a transaction of 1 already: commit or roll it back"),
        ("begin\nbatch", "there is a transaction of 0 already: commit or roll it back"),
        ("batch\nbegin", "there is a batch of 0 already: commit or abort it"),
        (
            "begin\nstore a 1\nimport rows.csv",
            "a transaction of 1 is open: commit or roll it back first",
        ),
        ("begin\nexport - --skip-damaged", "commit or roll it back first"),
    ] {
        let err = place.e(script).failed(1);
        assert!(err.contains(want), "{script}: {err}");
    }
    let err = place.input(format!("begin\nstore {} v", "k".repeat(65_536))).failed(1);
    assert!(err.contains("65535"), "{err}");
}

#[test]
fn a_conflict_is_told_and_ends_the_transaction() {
    let place = Place::new();
    let script = "use gone --create\nstore a 1\nbegin\nget a\nuse default\nstore b 2\ndrop gone\n\
                  commit\nget b\ncommit\n";
    let ran = place.run(&["--keep-going"], script);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.ends_with("\ndropped gone\n(not found)\n"), "{}", ran.out);
    let errors: Vec<&str> = ran.err.lines().collect();
    assert_eq!(errors.len(), 2, "{}", ran.err);
    for want in [
        "keyspace \"gone\", which the transaction has read, was dropped since",
        "; the transaction is rolled back: nothing of it is stored",
    ] {
        assert!(errors[0].contains(want), "{want}: {}", errors[0]);
    }
    assert!(errors[1].contains("nothing is open"), "{}", errors[1]);
}

#[test]
fn a_transaction_left_open_is_rolled_back_and_told() {
    let place = Place::new();
    for script in ["begin\nstore a 1\n", "begin\nstore a 1\nexit\n", "begin\nstore a 1\nfrob\n"] {
        let err = place.input(script).failed(1);
        let told = "error: the transaction of 1 was rolled back: nothing of it is stored\n";
        assert!(err.ends_with(told), "{err}");
    }
    // One that has written nothing loses nothing.
    place.input("begin\nget a\n").ok();
    assert_eq!(place.input("get a\n").ok(), "(not found)\n");
    // It goes on in the next text, as all else does.
    assert!(place.run(&["-e", "begin\nstore a 1", "-e", "commit"], "").ok().contains("committed"));
    assert_eq!(place.e("get a").ok(), "1\n");
}
