//! Where a merge step ends, which inputs it takes whole, and what it leaves.

use super::*;
use crate::ids::KeyspaceId;

/// Capitals are of keyspace 1, and digits of keyspace 2.
fn bound(key: &str) -> BoundKey {
    let keyspace = match key.as_bytes()[0] {
        b'A'..=b'Z' => KeyspaceId(1),
        b'0'..=b'9' => KeyspaceId(2),
        _ => KeyspaceId(0),
    };
    BoundKey { keyspace, key: key.as_bytes().to_vec() }
}

/// `a-c` with 100 bytes, `a-c!` to be rewritten, `a-c)` cut before c, `.` in front: 1 byte,
/// `:` in front: 5 bytes. What begins with a digit is of another group.
fn piece(text: &'static str) -> Piece<&'static str> {
    let bytes = match text.as_bytes()[0] {
        b'.' => 1,
        b':' => 5,
        _ => 100,
    };
    let plain = text.trim_start_matches(['.', ':']).trim_end_matches(['!', ')']);
    let (first, last) = plain.split_once('-').unwrap();
    Piece {
        first: bound(first),
        last: bound(last),
        cut: text.contains(')'),
        bytes,
        rewrite: text.contains('!'),
        group: usize::from(first.starts_with(|first: char| first.is_ascii_digit())),
        part: text,
    }
}

#[track_caller]
fn check(pieces: &[&'static str], moved: &[&'static str], merge: Option<(&str, Option<&str>)>) {
    let joining = Joining { small_bytes: 10, keyspace_cut_bytes: 5 };
    let plan = plan(pieces.iter().map(|text| piece(text)).collect(), joining);
    assert_eq!(plan.moved, moved);
    let want = merge.map(|(from, to)| (bound(from), to.map(bound)));
    assert_eq!(plan.from.map(|from| (from, plan.to)), want);
}

#[test]
fn plans() {
    check(&[], &[], None);
    // Alone: moved, whichever run they are of.
    check(&["c-d", "a-b"], &["a-b", "c-d"], None);
    // The same key at two ends is an overlap, a cut end is none.
    check(&["a-c", "c-d"], &[], Some(("a", None)));
    check(&["a-c)", "c-d"], &["a-c)", "c-d"], None);
    check(&["a-d", "b-c", "d-e", "f-g"], &[], Some(("a", Some("f"))));
    check(&["a-d)", "b-c", "d-e", "f-g"], &[], Some(("a", Some("d"))));
    check(&["a-b", "c-e", "d-f", "g-h", "h-i"], &["a-b"], Some(("c", Some("g"))));
    // Rewritten though alone.
    check(&["a-b!", "c-d"], &[], Some(("a", Some("c"))));
    check(&["a-b", "c-d!", "e-f"], &["a-b"], Some(("c", Some("e"))));
    // Small ones: alone among large ones they move, beside small or merged ones they join.
    check(&["a-b", ".c-d", "e-f"], &["a-b", ".c-d", "e-f"], None);
    check(&["a-b", ".c-d", ".e-f", "g-h"], &["a-b"], Some(("c", Some("g"))));
    check(&[".a-b", "c-e", "d-f"], &[], Some(("a", None)));
    check(&[".a-c", ".b-d", ".e-f", "g-h"], &[], Some(("a", Some("g"))));
    check(&[".a-c", ".b-d", "e-f", "g-h"], &[], Some(("a", Some("e"))));
    check(&[".a-b!", ".c-d", "g-h", "h-i"], &[], Some(("a", None)));
}

/// Symptom: small segments of two keyspaces were rewritten by each merge that met them.
/// Mechanism: they were joined, and the writer cut them apart again, since the options differ,
/// or the segment was large enough to end with its keyspace. Fix: the plan knows.
#[test]
fn what_would_be_cut_apart_is_not_joined() {
    check(&[".a-b", ".A-B"], &[], Some(("a", None)));
    check(&[".a-b", ".1-2"], &[".a-b", ".1-2"], None);
    check(&[".a-b", ".c-d", ".1-2", ".3-4"], &[], Some(("a", Some("1"))));
    check(&[".a-c", ".b-d", ".1-2"], &[], Some(("a", Some("1"))));
    check(&[".a-b", ".1-3", ".2-4"], &[".a-b"], Some(("1", None)));
    check(&[":a-b", ".A-B"], &[":a-b", ".A-B"], None);
    check(&[":a-b", ".c-d", ".A-B"], &[], Some(("a", Some("A"))));
    // What overlaps is merged all the same.
    check(&[".a-A", ".A-1", ".1-2"], &[], Some(("a", None)));
}
