//! Which edits are legal, and that a snapshot says everything.

use super::*;

pub(crate) fn bound(keyspace: u32, key: &str) -> BoundKey {
    BoundKey { keyspace: KeyspaceId(keyspace), key: key.as_bytes().to_vec() }
}

pub(crate) fn segment(number: u64, first: &str, last: &str) -> SegmentRefMeta {
    let segment = SegmentMeta {
        number: FileNumber(number),
        uuid: Uuid([number as u8; 16]),
        bytes: 4096,
        entries: 10,
        first: bound(0, first),
        last: bound(0, last),
        smallest: Sequence(1),
        largest: Sequence(10),
        created_ms: 5,
    };
    SegmentRefMeta { segment, from: None, to: None }
}

fn part(number: u64, ends: (&str, &str), from: Option<&str>, to: Option<&str>) -> SegmentRefMeta {
    let from = from.map(|key| bound(0, key));
    let to = to.map(|key| bound(0, key));
    SegmentRefMeta { from, to, ..segment(number, ends.0, ends.1) }
}

pub(crate) fn run(id: u64, segments: Vec<SegmentRefMeta>) -> RunMeta {
    RunMeta { id: RunId(id), segments, sequence_override: None }
}

pub(crate) fn keyspace(id: u32, name: &str) -> KeyspaceMeta {
    KeyspaceMeta {
        id: KeyspaceId(id),
        name: name.to_owned(),
        options: KeyspaceOptions::default(),
        created_at: Sequence(5),
        dropped_at: None,
    }
}

fn drop_at(id: u32, at: u64) -> Change {
    Change::DropKeyspace { id: KeyspaceId(id), at: Sequence(at) }
}

fn replace(remove: &[u64], add: Vec<RunMeta>) -> Change {
    Change::ReplaceRuns { remove: remove.iter().copied().map(RunId).collect(), add }
}

fn floor(number: u64, exists: bool) -> Change {
    Change::LogFloor { number: LogNumber(number), exists }
}

fn edit(changes: Vec<Change>) -> Edit {
    Edit { time_ms: 9, changes }
}

/// Keyspaces 0, 1 (`users`) and 2 (`gone`, dropped at 8); runs 3, 2, 1; floor 4; ceiling 100.
fn sample() -> ManifestState {
    let mut state = ManifestState::new(Uuid([7; 16]));
    let changes = vec![
        Change::AddKeyspace(keyspace(1, "users")),
        Change::AddKeyspace(keyspace(2, "gone")),
        drop_at(2, 8),
        Change::AddRun(run(1, vec![segment(1, "a", "f"), segment(2, "g", "m")])),
        Change::AddRun(run(2, vec![segment(3, "a", "z")])),
        Change::AddRun(run(3, vec![segment(4, "c", "d")])),
        floor(4, false),
        Change::SequenceCeiling(Sequence(100)),
    ];
    state.apply(&edit(changes)).unwrap();
    state
}

/// Applies the changes to the sample. What is refused, or taken back, leaves no trace.
fn check(legal: bool, changes: Vec<Change>) -> ManifestState {
    let before = sample();
    let mut state = before.clone();
    let result = state.apply(&edit(changes.clone()));
    assert_eq!(result.is_ok(), legal, "{changes:?}: {result:?}");
    let after = state.clone();
    if let Ok(undo) = result {
        assert_eq!(state.edits, before.edits + 1);
        assert_eq!(ManifestState::from_snapshot(&state.to_snapshot()), Ok(after.clone()));
        state.undo(undo);
    }
    assert_eq!(state, before, "after {changes:?}");
    after
}

fn runs(state: &ManifestState) -> Vec<u64> {
    state.runs.iter().map(|run| run.id.0).collect()
}

/// I14.
#[test]
fn keyspace_ids_are_burnt_for_good() {
    let add = |id, name: &str| Change::AddKeyspace(keyspace(id, name));
    check(true, vec![add(3, "new")]);
    check(true, vec![add(9, "gone")]);
    check(false, vec![add(3, "users")]);
    check(false, vec![add(3, "default")]);
    check(false, vec![add(2, "new")]);
    check(false, vec![add(0, "new")]);
    check(false, vec![add(u32::MAX, "new")]);
    check(false, vec![add(3, "new"), add(3, "other")]);
    let dropped = KeyspaceMeta { dropped_at: Some(Sequence(9)), ..keyspace(3, "new") };
    check(false, vec![Change::AddKeyspace(dropped)]);
    let forget = Change::ForgetKeyspace { id: KeyspaceId(2) };
    assert_eq!(check(true, vec![forget.clone()]).next_keyspace, KeyspaceId(3));
    check(false, vec![forget.clone(), add(2, "new")]);
    check(false, vec![forget.clone(), forget]);
}

#[test]
fn a_drop_is_of_a_known_keyspace_and_may_be_told_twice() {
    let state = check(true, vec![drop_at(1, 50), drop_at(1, 50)]);
    assert_eq!(state.keyspaces[&KeyspaceId(1)].dropped_at, Some(Sequence(50)));
    check(true, vec![drop_at(2, 8)]);
    check(false, vec![drop_at(2, 9)]);
    check(false, vec![drop_at(1, 4)]);
    check(false, vec![drop_at(0, 50)]);
    check(false, vec![drop_at(3, 50)]);
    check(false, vec![Change::ForgetKeyspace { id: KeyspaceId(1) }]);
    check(false, vec![Change::ForgetKeyspace { id: KeyspaceId(7) }]);
}

/// I15.
#[test]
fn floor_and_ceiling_do_not_sink() {
    check(true, vec![floor(4, false)]);
    check(true, vec![floor(4, true)]);
    check(true, vec![floor(5, false)]);
    check(false, vec![floor(3, true)]);
    check(false, vec![floor(4, true), floor(4, false)]);
    check(true, vec![Change::SequenceCeiling(Sequence(100))]);
    check(false, vec![Change::SequenceCeiling(Sequence(99))]);
}

/// I6.
#[test]
fn runs_are_added_in_front_and_replaced_in_place() {
    let new = || vec![segment(9, "a", "b")];
    assert_eq!(runs(&check(true, vec![Change::AddRun(run(4, new()))])), [4, 3, 2, 1]);
    assert_eq!(runs(&check(true, vec![replace(&[3, 2], vec![run(4, new())])])), [4, 1]);
    assert_eq!(runs(&check(true, vec![replace(&[2, 1], vec![])])), [3]);
    let pair = vec![run(5, new()), run(2, vec![segment(3, "a", "z")])];
    let state = check(true, vec![replace(&[2], pair)]);
    assert_eq!((runs(&state), state.next_run), (vec![3, 5, 2, 1], RunId(6)));
    check(false, vec![replace(&[2, 3], vec![])]);
    check(false, vec![replace(&[3, 1], vec![])]);
    check(false, vec![replace(&[1, 2], vec![])]);
    check(false, vec![replace(&[9], vec![])]);
    check(false, vec![replace(&[], vec![run(4, new())])]);
}

/// I14.
#[test]
fn run_ids_are_new_or_kept() {
    let new = |id| run(id, vec![segment(9, "a", "b")]);
    check(false, vec![Change::AddRun(new(3))]);
    check(false, vec![Change::AddRun(new(u64::MAX))]);
    check(false, vec![replace(&[3], vec![new(2)])]);
    check(false, vec![replace(&[3], vec![]), Change::AddRun(new(3))]);
    check(false, vec![replace(&[3, 2], vec![new(4), run(4, vec![segment(8, "a", "b")])])]);
    check(true, vec![replace(&[3], vec![new(3)])]);
}

/// I17.
#[test]
fn a_run_is_disjoint_and_ascending() {
    let add = |segments| vec![Change::AddRun(run(4, segments))];
    check(true, add(vec![segment(8, "a", "b"), segment(9, "c", "c")]));
    check(false, add(vec![]));
    check(false, add(vec![segment(8, "c", "d"), segment(9, "a", "b")]));
    check(false, add(vec![segment(8, "a", "c"), segment(9, "c", "d")]));
    check(false, add(vec![segment(8, "b", "a")]));
    let ends = ("a", "k");
    check(true, add(vec![part(8, ends, None, Some("c")), segment(9, "c", "d")]));
    check(true, add(vec![segment(9, "a", "b"), part(8, ends, Some("c"), None)]));
    check(false, add(vec![segment(9, "a", "c"), part(8, ends, Some("c"), None)]));
    check(false, add(vec![part(8, ends, None, Some("a"))]));
    check(false, add(vec![part(8, ends, Some("l"), None)]));
    check(false, add(vec![part(8, ends, Some("c"), Some("c"))]));
    let mut sequences = segment(8, "a", "b");
    sequences.segment.smallest = Sequence(11);
    check(false, add(vec![sequences]));
}

#[test]
fn a_segment_is_referenced_in_disjoint_parts_only() {
    let ends = ("a", "z");
    let parts = |to: &str, from: &str| {
        let newer = run(4, vec![part(3, ends, Some(from), None)]);
        let older = run(5, vec![part(3, ends, None, Some(to))]);
        vec![replace(&[2], vec![newer, older])]
    };
    check(true, parts("c", "c"));
    check(true, parts("c", "f"));
    check(false, parts("d", "c"));
    check(false, vec![Change::AddRun(run(4, vec![segment(3, "a", "z")]))]);
    let mut other = part(3, ends, Some("c"), None);
    other.segment.bytes += 1;
    let whole = run(5, vec![part(3, ends, None, Some("c"))]);
    check(false, vec![replace(&[2], vec![run(4, vec![other]), whole])]);
}

#[test]
fn options_are_set_of_a_living_keyspace_only() {
    let options = crate::options::KeyspaceOptions::new().filter_bits(1);
    let set = |id| Change::SetOptions { id: KeyspaceId(id), options };
    let after = check(true, vec![set(0)]);
    assert_eq!(after.live("default").map(|it| it.options), Some(options));
    check(false, vec![set(999)]);
    let drop = Change::DropKeyspace { id: KeyspaceId(1), at: Sequence(100) };
    check(false, vec![drop, set(1)]);
}

#[test]
fn one_refused_change_refuses_the_edit() {
    check(false, vec![Change::SequenceCeiling(Sequence(500)), floor(1, true)]);
}

#[test]
fn golden_snapshot_of_an_empty_database() {
    let mut want = vec![7; 16];
    want.extend_from_slice(b"\0\x01\x01\x01\0\0\x01\0\x07default\x04\x0a\x80\x20\x02\0\0\0");
    let state = ManifestState::new(Uuid([7; 16]));
    assert_eq!(state.to_snapshot(), want);
    assert_eq!(ManifestState::from_snapshot(&want), Ok(state));
}

#[test]
fn cut_snapshots_are_malformed_and_damaged_ones_never_panic() {
    let bytes = sample().to_snapshot();
    for len in 0..bytes.len() {
        assert!(ManifestState::from_snapshot(&bytes[..len]).is_err(), "cut to {len}");
    }
    assert!(ManifestState::from_snapshot(&[&bytes[..], &[0]].concat()).is_err());
    for at in 0..bytes.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            if let Ok(state) = ManifestState::from_snapshot(&damaged) {
                assert_eq!(state.to_snapshot(), damaged, "byte {at} as {byte}: two spellings");
            }
        }
    }
}

#[test]
fn segments_come_run_by_run() {
    let state = sample();
    let numbers: Vec<u64> = state.segments().map(|segment| segment.number.0).collect();
    assert_eq!(numbers, [4, 3, 1, 2]);
}

#[test]
fn a_living_keyspace_gets_a_free_name_or_keeps_its_own() {
    let rename =
        |id, name: &str| Change::RenameKeyspace { id: KeyspaceId(id), name: name.to_owned() };
    let edit = |changes| Edit { time_ms: 0, changes };
    let start = || {
        let mut state = ManifestState::new(Uuid([7; 16]));
        let added = [keyspace(1, "a"), keyspace(2, "b"), keyspace(3, "c")];
        state.apply(&edit(added.into_iter().map(Change::AddKeyspace).collect())).unwrap();
        let at = Sequence(60);
        state.apply(&edit(vec![Change::DropKeyspace { id: KeyspaceId(3), at }])).unwrap();
        state
    };
    let check = |changes: Vec<Change>, want: Option<[&str; 2]>| {
        let mut state = start();
        let undo = state.apply(&edit(changes.clone()));
        assert_eq!(undo.is_ok(), want.is_some(), "{changes:?}");
        if let (Ok(undo), Some(want)) = (undo, want) {
            let names = [1, 2].map(|id| state.keyspaces[&KeyspaceId(id)].name.clone());
            assert_eq!(names, want);
            for (name, id) in want.iter().zip(1..) {
                assert_eq!(state.live(name).unwrap().id, KeyspaceId(id), "{name}");
            }
            let read = ManifestState::from_snapshot(&state.to_snapshot());
            assert_eq!(read.as_ref(), Ok(&state));
            state.undo(undo);
        }
        assert_eq!(state, start(), "{changes:?}");
    };
    check(vec![rename(1, "x")], Some(["x", "b"]));
    check(vec![rename(1, "c")], Some(["c", "b"]));
    // In one edit two may change places.
    check(vec![rename(1, "x"), rename(2, "a"), rename(1, "b")], Some(["b", "a"]));
    check(vec![rename(1, "b")], None);
    check(vec![rename(1, "a")], None);
    check(vec![rename(0, "x")], None);
    check(vec![rename(3, "x")], None);
    check(vec![rename(4, "x")], None);
    check(vec![rename(1, "x"), rename(2, "x")], None);
}
