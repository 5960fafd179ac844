//! Exports to what is no plain file, and what an export that fails leaves behind.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::{Place, program};

/// A place with keys from 1000 to 2999, and what a scan prints of them.
fn filled() -> (Place, String) {
    let place = Place::new();
    let rows: String = (1000..3000).map(|n| format!("{n}\tvalue {n}\n")).collect();
    place.write("n.tsv", &rows);
    place.e("import n.tsv").ok();
    (place, rows)
}

impl Place {
    /// Runs a line of the system's shell, in which `$R` is this one.
    fn sh(&self, line: &str) -> (Option<i32>, String) {
        let done = Command::new("sh")
            .args(["-c", line])
            .env("R", program())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    }
}

/// Symptom: `export /dev/stdout > f` lost rows under the line that says how many there are.
/// Mechanism: the name opened the file a second time, each opening with a position of its own.
/// Fix: what is a descriptor of the shell is written to as such, and the line goes elsewhere.
#[test]
fn an_export_to_standard_output_is_whole() {
    let (place, rows) = filled();
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let line = format!("$R -e 'get 1000' -e 'export {name} --format tsv' -e 'get 1001' >f");
        let (code, err) = place.sh(&line);
        assert_eq!(code, Some(0), "{name}: {err}");
        assert!(err.starts_with("exported 2,000 rows, "), "{err}");
        let want = format!("value 1000\n{rows}value 1001\n");
        assert!(place.read("f") == want.as_bytes(), "{name}");
    }
    // Without a format it is what scan prints, or JSON where all is JSON.
    assert_eq!(place.sh("$R -e 'export -' >f").0, Some(0));
    assert!(place.read("f") == rows.as_bytes());
    let (code, err) = place.sh("$R --json -e 'export -' >f");
    assert_eq!((code, err.starts_with("{\"")), (Some(0), true), "{err}");
    assert!(place.read("f").starts_with(b"{\"key\":\"1000\","));
}

#[test]
fn an_export_goes_to_the_descriptor_that_was_given() {
    let (place, rows) = filled();
    let line = "exec 3>f; echo first >&3; $R -e 'export /dev/fd/3 --format tsv'; echo last >&3";
    let (_, err) = place.sh(line);
    assert_eq!(err, "");
    assert!(place.read("f") == format!("first\n{rows}last\n").as_bytes());
    // One that the shell has opened itself is none that was given: it may be the database's.
    let close = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-";
    for number in 3..10 {
        let line = format!("{close}; $R -e 'export /dev/fd/{number} --format tsv'");
        let (code, err) = place.sh(&line);
        let refused = err.contains("this program was given no such descriptor")
            || err.contains("is in the database's own directory");
        assert!(refused && code == Some(1), "{number}: {err}");
    }
    assert_eq!(place.e("count").ok(), "2000\n");
}

#[test]
fn an_export_goes_through_a_pipe_with_a_name() {
    let (place, rows) = filled();
    let (code, err) = place.sh("mkfifo p; cat p >f & $R -e 'export p --format tsv'; wait");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(place.read("f") == rows.as_bytes());
    assert!(place.sh("test -p p").0 == Some(0), "the pipe is still one");
}

#[test]
fn a_reader_of_an_export_may_have_enough() {
    let (place, _) = filled();
    place.write("big.txt", (0..50_000).map(|n| format!("x{n}\n")).collect::<String>());
    place.e("import big.txt").ok();
    let (_, err) = place.sh("{ $R -e 'export -'; echo $? >code; } | head -1 >f");
    assert_eq!((err.as_str(), place.read("code")), ("", b"141\n".to_vec()));
    assert_eq!(place.read("f"), b"1000\tvalue 1000\n");
}

#[test]
fn a_failed_export_says_what_it_leaves() {
    let (place, _) = filled();
    if File::options().write(true).open("/dev/full").is_ok() {
        let err = place.e("export /dev/full --format csv").failed(1);
        assert!(err.contains("/dev/full may hold a part of the first "), "{err}");
        for command in ["export -", "get 1000", "scan", "help", "stats", "--version"] {
            let run =
                if command == "--version" { command.into() } else { format!("-e '{command}'") };
            let (code, err) = place.sh(&format!("$R {run} >/dev/full"));
            assert_eq!(code, Some(1), "{command}");
            assert!(err.contains("cannot write the output: "), "{command}: {err}");
        }
    }
    place.write("old.csv", "old");
    // Other names of the database's own files.
    let line =
        "ln \"$(ls alluvium-data/*.seg | head -1)\" hard.tsv && ln -s alluvium-data/LOCK soft.tsv";
    assert_eq!(place.sh(line).0, Some(0));
    for name in ["hard.tsv", "soft.tsv", "alluvium-data/x.tsv"] {
        let err = place.e_unmerged(&format!("export {name}")).failed(1);
        assert!(err.contains("is in the database's own directory"), "{name}: {err}");
    }
    assert_eq!((place.read("old.csv"), place.e("count").ok()), (b"old".to_vec(), "2000\n".into()));
}

#[test]
fn an_export_follows_a_link_and_keeps_it() {
    let (place, rows) = filled();
    let line = "mkdir d; echo old >d/real.tsv; chmod 600 d/real.tsv; ln -s d/real.tsv link.tsv; \
                ln -s d/new.tsv dangling.tsv";
    assert_eq!(place.sh(line).0, Some(0));
    place.e("export link.tsv\nexport dangling.tsv").ok();
    assert!(place.read("d/real.tsv") == rows.as_bytes());
    assert!(place.read("d/new.tsv") == rows.as_bytes());
    assert_eq!(place.sh("test -L link.tsv && test -L dangling.tsv").0, Some(0));
    assert_eq!(place.sh("test \"$(stat -c %a d/real.tsv)\" = 600").0, Some(0));
}

/// Symptom: `save_index_snapshot /dev/stdout >f` wrote the snapshot over what stood in
/// `f`, and a pipe of that name was replaced by a file. Mechanism: it is written beside and
/// renamed. Fix: what is no plain file is refused.
#[test]
fn an_index_is_saved_to_plain_files_only() {
    let (place, _) = filled();
    assert_eq!(place.sh("mkfifo p").0, Some(0));
    for name in ["p", "/dev/null", "."] {
        for command in ["save_index_snapshot", "load_index_snapshot"] {
            let err = place.e(&format!("{command} {name}")).failed(1);
            assert!(err.contains("is no plain file"), "{command} {name}: {err}");
        }
    }
    let (code, err) = place.sh("$R -e 'get 1000' -e 'save_index_snapshot /dev/stdout' >f");
    assert_eq!((code, err.contains("is a descriptor")), (Some(1), true), "{err}");
    assert_eq!((place.read("f"), place.sh("test -p p").0), (b"value 1000\n".to_vec(), Some(0)));
}
