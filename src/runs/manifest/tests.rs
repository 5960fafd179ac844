//! Torn, damaged and missing files, and failures at every operation.

use super::read::ManifestInfo;
use super::*;
use crate::format::edit::Change;
use crate::format::record::read_record;
use crate::ids::{Sequence, Uuid};
use crate::io::{CrashMode, DiskFs, FaultPlan, FsFile, FsLock, OpKind, SimFs};
use crate::runs::state::tests::{keyspace, run, segment};
use crate::sync::{Mutex, lock};

/// A disk that fails one operation, before or after doing it. Syncs only count.
#[derive(Clone, Debug, Default)]
struct FailingFs(Arc<Mutex<Plan>>);

#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    writes: u64,
    reads: u64,
    fail_write: Option<u64>,
    fail_read: Option<u64>,
    /// Whether the failing write has its effect first.
    after: bool,
}

impl FailingFs {
    fn set(&self, fail_write: Option<u64>, fail_read: Option<u64>, after: bool) {
        *lock(&self.0) = Plan { fail_write, fail_read, after, ..Plan::default() };
    }

    fn counted(&self) -> (u64, u64) {
        let plan = lock(&self.0);
        (plan.writes, plan.reads)
    }

    fn write<T>(&self, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (fail, after) = {
            let mut plan = lock(&self.0);
            plan.writes += 1;
            (plan.fail_write == Some(plan.writes), plan.after)
        };
        if fail && !after {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let done = operation()?;
        if fail { Err(io::Error::other("failed after its effect")) } else { Ok(done) }
    }

    fn read<T>(&self, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut plan = lock(&self.0);
        plan.reads += 1;
        if plan.fail_read == Some(plan.reads) {
            return Err(io::Error::other("could not be read"));
        }
        operation()
    }
}

#[derive(Debug)]
struct FailingFile(FailingFs, Arc<dyn FsFile>);

impl Fs for FailingFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let open = || DiskFs.open(path, mode);
        let file = if mode == OpenMode::Read { self.read(open) } else { self.write(open) };
        Ok(Arc::new(FailingFile(self.clone(), file?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        DiskFs.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.read(|| DiskFs.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.write(|| DiskFs.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.write(|| DiskFs.remove(path))
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.write(|| Ok(()))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        DiskFs.lock(path, shared, create)
    }
}

impl FsFile for FailingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read(|| self.1.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        // Halves, so that a failure leaves a part behind.
        let part = &buf[..buf.len().div_ceil(2)];
        self.0.write(|| self.1.write_at(part, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.write(|| Ok(()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.write(|| self.1.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.0.read(|| self.1.len())
    }
}

/// A database's directory with the files that a test puts there.
struct Fixture {
    fs: FailingFs,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { fs: FailingFs::default(), dir: tempfile::tempdir().unwrap() }
    }

    fn create(&self, state: &ManifestState) -> Result<Manifest> {
        let fs = Arc::new(self.fs.clone());
        let witness = Arc::new(Witness::none());
        Manifest::create(fs, self.dir.path(), FileNumber(1), state, witness)
    }

    fn read(&self) -> Result<Option<(ManifestState, ManifestInfo)>> {
        Manifest::read(&self.fs, self.dir.path())
    }

    /// Reads, and expects a state, and that the file ends with it or does not.
    #[track_caller]
    fn expect(&self, want: &ManifestState, clean_end: bool, context: &str) {
        let (state, info) = self.read().unwrap().expect("there is a database");
        let found = state.edits;
        let edits = want.edits;
        assert!(state == *want, "{context}: found edit {found} where {edits} was expected");
        assert_eq!(info.clean_end, clean_end, "{context}: whether the file ends there");
    }

    /// Whether what the manifest ends with is known synced: the snapshot, or a marked edit.
    fn last_is_certain(&self) -> bool {
        let (_, info) = self.read().unwrap().expect("there is a database");
        let bytes = self.get(FileName::Manifest(info.number));
        let salt = ManifestHeader::decode(&bytes).unwrap().salt;
        let mut at = MANIFEST_HEADER_BYTES;
        let mut last = None;
        while let Some((record, _, next)) = read_record(&bytes, at, salt) {
            (at, last) = (next, Some(record.kind));
        }
        matches!(last, Some(RecordKind::Snapshot | RecordKind::Synced))
    }

    fn is_corrupt(&self) -> bool {
        self.read().is_err_and(|error| error.is_corruption())
    }

    fn get(&self, name: FileName) -> Vec<u8> {
        let path = self.dir.path().join(name.name());
        let file = NamedFile::open(&DiskFs, path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn put(&self, name: FileName, bytes: &[u8]) {
        let path = self.dir.path().join(name.name());
        let _ = DiskFs.remove(&path);
        let file = NamedFile::open(&DiskFs, path, OpenMode::CreateNew).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names = DiskFs.list(self.dir.path()).unwrap();
        names.sort();
        names
    }
}

fn empty() -> ManifestState {
    ManifestState::new(Uuid([3; 16]))
}

/// The edit that comes `step`-th: a keyspace, a run, or a ceiling.
fn edit(step: u64) -> Edit {
    let change = match step % 3 {
        0 => Change::AddKeyspace(keyspace(step as u32 + 1, &format!("keyspace {step}"))),
        1 => Change::AddRun(run(
            step + 1,
            vec![segment(step, "a", "m"), segment(step + 100, "n", "z")],
        )),
        _ => Change::SequenceCeiling(Sequence(step)),
    };
    Edit { time_ms: step, changes: vec![change] }
}

const MANIFEST: FileName = FileName::Manifest(FileNumber(1));

/// A state of a manifest in the making.
struct Stage {
    state: ManifestState,
    /// Where the record ends that led to it.
    edit_end: usize,
    /// Where its mark ends; the snapshot has none.
    end: usize,
}

/// A manifest with five edits, and what led there.
fn five_edits(fixture: &Fixture) -> Vec<Stage> {
    let mut manifest = fixture.create(&empty()).unwrap();
    let len = fixture.get(MANIFEST).len();
    let mut stages = vec![Stage { state: empty(), edit_end: len, end: len }];
    for step in 0..5 {
        manifest.append(&edit(step)).unwrap();
        let state = manifest.state().clone();
        let end = fixture.get(MANIFEST).len();
        stages.push(Stage { state, edit_end: end - RECORD_HEADER_BYTES, end });
    }
    stages
}

#[test]
fn edits_are_read_back_and_illegal_ones_leave_no_trace() {
    let fixture = Fixture::new();
    assert!(fixture.read().unwrap().is_none());
    let mut manifest = fixture.create(&empty()).unwrap();
    fixture.expect(&empty(), true, "new");
    manifest.append(&edit(0)).unwrap();
    let before = fixture.get(MANIFEST);
    let error = manifest.append(&edit(0)).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    assert!(!manifest.broken());
    assert!(fixture.get(MANIFEST) == before, "a refused edit was written");
    manifest.append(&edit(1)).unwrap();
    fixture.expect(manifest.state(), true, "two edits");
    assert_eq!(manifest.state().edits, 2);
    assert_eq!(fixture.names(), ["CURRENT", "MANIFEST-000001"]);
}

#[test]
fn the_records_have_golden_bytes_but_for_their_hashes() {
    let fixture = Fixture::new();
    let stages = five_edits(&fixture);
    let bytes = fixture.get(MANIFEST);
    let check = |at: usize, body: &[u8], first: u8, synced: usize, kind: u8| {
        let mut want = (body.len() as u32).to_le_bytes().to_vec();
        want.extend_from_slice(&[first, 0, 0, 0, 0, 0, 0, 0]);
        want.extend_from_slice(&(synced as u64).to_le_bytes());
        want.extend_from_slice(&[1, 0, 0, 0, kind, 0, 0, 0]);
        assert_eq!(bytes[at + 12..at + 40], want);
        assert!(bytes[at + 40..].starts_with(body));
    };
    check(96, &empty().to_snapshot(), 0, 0, 7);
    let edit_at = stages[1].end;
    let mark_at = stages[2].edit_end;
    check(edit_at, &edit(1).encode(), 2, edit_at, 6);
    check(mark_at, &[], 2, mark_at, 8);
    assert_eq!(stages[2].end, mark_at + 40);
}

#[test]
fn a_manifest_cut_anywhere_holds_a_prefix_of_the_edits() {
    let fixture = Fixture::new();
    let stages = five_edits(&fixture);
    let bytes = fixture.get(MANIFEST);
    for len in 0..bytes.len() {
        fixture.put(MANIFEST, &bytes[..len]);
        let Some(Stage { state, edit_end, end }) =
            stages.iter().rfind(|stage| stage.edit_end <= len)
        else {
            assert!(fixture.is_corrupt(), "cut to {len}: the snapshot was synced");
            continue;
        };
        fixture.expect(state, len == *edit_end || len == *end, &format!("cut to {len}"));
    }
    fixture.put(MANIFEST, &[&bytes[..], &[0; 100]].concat());
    fixture.expect(&stages[5].state, false, "zeros behind the end");
}

/// Flips bits of every byte: below `corrupt` that is `Corruption`, from there on `state`.
fn check_flips(fixture: &Fixture, bytes: &[u8], corrupt: usize, state: &ManifestState) {
    for at in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= mask;
            fixture.put(MANIFEST, &damaged);
            if at < corrupt {
                assert!(fixture.is_corrupt(), "byte {at} ^ {mask:#x} of {}", bytes.len());
            } else {
                fixture.expect(state, false, &format!("byte {at} ^ {mask:#x}"));
            }
        }
    }
}

/// I13: an edit that counts is never taken for the tail of an append.
#[test]
fn damage_to_any_edit_that_counts_is_corruption() {
    let fixture = Fixture::new();
    let stages = five_edits(&fixture);
    let bytes = fixture.get(MANIFEST);
    // All but the last mark itself.
    check_flips(&fixture, &bytes, stages[5].edit_end, &stages[5].state);
    // A crash before the last mark, in it, and in the edit before that: all below stays certain.
    check_flips(&fixture, &bytes[..stages[5].edit_end], stages[4].end, &stages[4].state);
    for cut in [stages[5].edit_end + 13, stages[4].end + 13] {
        let (whole, below) = if cut > stages[5].edit_end { (5, 4) } else { (4, 3) };
        let mut damaged = bytes[..cut].to_vec();
        damaged[stages[below].end + 3] ^= 1;
        fixture.put(MANIFEST, &damaged);
        if whole == 4 {
            assert!(fixture.is_corrupt(), "an edit with a mark, below a torn one");
        } else {
            fixture.expect(&stages[4].state, false, "an edit whose mark is torn");
        }
    }
    let mut hole = bytes.clone();
    hole[stages[0].end..stages[3].end].fill(0);
    fixture.put(MANIFEST, &hole);
    let error = fixture.read().unwrap_err();
    let want = stages[0].end as u64;
    assert!(matches!(error, Error::Corruption { offset, .. } if offset == want), "{error}");
}

#[test]
fn a_record_of_another_place_or_file_is_no_edit() {
    let fixture = Fixture::new();
    let stages = five_edits(&fixture);
    let bytes = fixture.get(MANIFEST);
    let again = [&bytes[..], &bytes[stages[4].end..]].concat();
    fixture.put(MANIFEST, &again);
    fixture.expect(&stages[5].state, false, "the last records twice");
    let other = Fixture::new();
    five_edits(&other);
    let mixed = [&bytes[..stages[4].end], &other.get(MANIFEST)[stages[4].end..]].concat();
    fixture.put(MANIFEST, &mixed);
    fixture.expect(&stages[4].state, false, "another file's records");
}

/// A sound record that does not belong where it is: of another edit, kind or length.
#[test]
fn a_mark_of_something_else_is_corruption() {
    let fixture = Fixture::new();
    let stages = five_edits(&fixture);
    let bytes = fixture.get(MANIFEST);
    let header = ManifestHeader::decode(&bytes).unwrap();
    let at = stages[5].edit_end;
    let check = |kind, edits, body: &[u8]| {
        let record = record_of(body, header.salt, at as u64, (kind, edits, at as u64)).unwrap();
        fixture.put(MANIFEST, &[&bytes[..at], &record].concat());
        fixture.is_corrupt()
    };
    assert!(!check(RecordKind::Synced, 5, b""));
    assert!(check(RecordKind::Synced, 4, b""));
    assert!(check(RecordKind::Synced, 6, b""));
    assert!(check(RecordKind::Synced, 5, b"x"));
    assert!(check(RecordKind::End, 5, b""));
}

#[test]
fn a_damaged_or_cut_current_is_corruption() {
    let fixture = Fixture::new();
    five_edits(&fixture);
    let bytes = fixture.get(FileName::Current);
    for at in 0..bytes.len() {
        fixture.put(FileName::Current, &bytes[..at]);
        assert!(fixture.is_corrupt(), "cut to {at}");
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fixture.put(FileName::Current, &damaged);
        assert!(fixture.is_corrupt(), "byte {at}");
    }
    let check = |uuid, manifest| {
        let current = Current { uuid: Uuid(uuid), manifest: FileNumber(manifest) };
        fixture.put(FileName::Current, &current.encode());
        fixture.is_corrupt()
    };
    assert!(!check([3; 16], 1));
    assert!(check([4; 16], 1), "another database's");
    assert!(check([3; 16], 2), "names a manifest that is not there");
    fixture.put(FileName::Manifest(FileNumber(2)), &fixture.get(MANIFEST));
    assert!(fixture.is_corrupt(), "a manifest under another's name");
}

#[test]
fn a_missing_current_is_corruption_unless_nothing_was_ever_there() {
    let current = FileName::Current;
    let check = |put: &dyn Fn(&Fixture), database: bool| {
        let fixture = Fixture::new();
        put(&fixture);
        let _ = DiskFs.remove(&fixture.dir.path().join(current.name()));
        assert_eq!(fixture.is_corrupt(), database, "{:?}", fixture.names());
        if !database {
            assert!(fixture.read().unwrap().is_none());
            let manifest = fixture.create(&empty()).unwrap();
            fixture.expect(manifest.state(), true, "made again");
            // What is not the database's is not taken for its own.
            let ours =
                |name: &&String| is_ours(&DiskFs, &fixture.dir.path().join(name), Uuid([3; 16]));
            assert_eq!(fixture.names().iter().filter(ours).count(), 1);
        }
    };
    check(&|fixture| fixture.put(FileName::Segment(FileNumber(1)), b"ALLUVSEG torn"), true);
    check(&|fixture| fixture.put(FileName::LogSlot(1), b"ALLUVLOG"), true);
    check(&|fixture| fixture.put(FileName::Segment(FileNumber(1)), b"ALLUV"), false);
    check(&|fixture| fixture.put(FileName::LogSlot(1), b"someone else's"), false);
    check(&|fixture| drop(five_edits(fixture)), true);
    check(&|fixture| drop(fixture.create(&empty()).unwrap()), false);
    check(&|fixture| fixture.put(MANIFEST, b"torn"), false);
    check(&|fixture| fixture.put(FileName::Manifest(FileNumber(41)), b""), false);
    check(&|fixture| fixture.put(FileName::CurrentTmp, b"torn"), false);
    check(&|fixture| fixture.put(FileName::Lock, b""), false);
}

#[test]
fn unknown_features_are_refused_by_name() {
    let fixture = Fixture::new();
    five_edits(&fixture);
    let bytes = fixture.get(MANIFEST);
    let check = |at: usize| {
        let mut changed = bytes.clone();
        changed[at] |= 4;
        let sum = checksum(&changed[..88]);
        changed[88..96].copy_from_slice(&sum.to_le_bytes());
        fixture.put(MANIFEST, &changed);
        fixture.read()
    };
    assert!(!check(16).unwrap().unwrap().1.read_only_compatible);
    assert!(check(24).unwrap().unwrap().1.read_only_compatible);
    assert!(matches!(check(32), Err(Error::UnsupportedFormat { .. })));
}

#[test]
fn an_outgrown_file_gives_way_to_a_new_one_with_the_same_state() {
    let fixture = Fixture::new();
    let mut manifest = fixture.create(&empty()).unwrap();
    for step in 0..200 {
        manifest.append(&edit(step)).unwrap();
        assert_eq!(fixture.names().len(), 2);
    }
    assert!(manifest.number > FileNumber(2), "{:?}", manifest.number);
    fixture.expect(manifest.state(), true, "after 200 edits");
    assert_eq!(manifest.state().edits, 200);
}

/// Creates and appends with one failing operation. At the failure, a reopen finds the state before
/// or after the failed step; once the step succeeds, it finds exactly what the manifest says.
fn fail_one(fail: u64, after: bool) -> bool {
    let fixture = Fixture::new();
    fixture.fs.set(Some(fail), None, after);
    let seen = || fixture.read().unwrap_or_else(|error| panic!("operation {fail}: {error}"));
    let mut failures = 0_u32;
    let mut manifest = loop {
        match fixture.create(&empty()) {
            Ok(manifest) => break manifest,
            Err(_) => failures += 1,
        }
        assert!(seen().is_none_or(|(state, _)| state == empty()));
    };
    for step in 0..30 {
        let before = manifest.state().clone();
        let mut next = before.clone();
        next.apply(&edit(step)).unwrap();
        while manifest.append(&edit(step)).is_err() {
            failures += 1;
            assert!(manifest.broken());
            assert!(*manifest.state() == before, "operation {fail}: a failed edit counts");
            let (state, _) = seen().expect("a database");
            assert!(state == before || state == next, "operation {fail}, step {step}");
        }
        assert!(*manifest.state() == next, "operation {fail}, step {step}");
        let (state, _) = seen().expect("a database");
        assert!(state == next, "operation {fail}, step {step}: read as edit {}", state.edits);
        assert!(!manifest.broken(), "operation {fail}: one failure, and no way on");
        assert!(fixture.last_is_certain(), "operation {fail}, step {step}");
    }
    failures += u32::from(manifest.rotate().is_err());
    let reached = fixture.fs.counted().0 >= fail;
    fixture.fs.set(None, None, false);
    // What could not be removed before goes now.
    manifest.rotate().unwrap();
    // But for an empty file, which does not say whose it is: made, though the system said no.
    let whole = |name: &&String| !std::fs::read(fixture.dir.path().join(name)).unwrap().is_empty();
    let left = fixture.names().iter().filter(whole).count();
    assert_eq!(left, 2, "operation {fail} leaves {:?}", fixture.names());
    assert!(failures <= 1);
    reached
}

/// I13.
#[test]
fn a_failure_at_any_operation_is_survived() {
    for after in [false, true] {
        let fails = (1..).take_while(|&fail| fail_one(fail, after)).count();
        assert!(fails > 100, "only {fails} operations were made to fail");
    }
}

#[test]
fn an_edit_counts_though_neither_its_mark_nor_the_next_file_can_be_written() {
    let dir = Path::new("data");
    for crash in [false, true] {
        let fs = SimFs::new();
        fs.create_dir_all(dir).unwrap();
        let shared = Arc::new(fs.clone());
        let witness = Arc::new(Witness::none());
        let created = Manifest::create(shared, dir, FileNumber(1), &empty(), witness);
        let mut manifest = created.unwrap();
        // The first write is the edit's.
        fs.set_fault(Some(FaultPlan::new(OpKind::Write).on("MANIFEST").nth(1).sticky()));
        manifest.append(&edit(0)).unwrap();
        assert!(fs.fault_fired() > 1 && manifest.broken());
        let check = |fs: &SimFs, manifest: &Manifest| {
            let (found, info) = Manifest::read(fs, dir).unwrap().unwrap();
            assert!(found == *manifest.state(), "crash {crash}: found edit {}", found.edits);
            info.number
        };
        if crash {
            check(&fs.crash(CrashMode::PowerLoseAll, 1), &manifest);
            continue;
        }
        assert_eq!(check(&fs, &manifest), FileNumber(1));
        manifest.append(&edit(1)).unwrap_err();
        fs.set_fault(None);
        manifest.append(&edit(1)).unwrap();
        assert!(!manifest.broken());
        assert_eq!(manifest.state().edits, 2);
        assert!(check(&fs, &manifest) > FileNumber(1));
    }
}

#[test]
fn a_failed_read_is_an_error_and_never_the_end() {
    let fixture = Fixture::new();
    let check = |want: Option<ManifestState>| {
        for fail in 1.. {
            fixture.fs.set(None, Some(fail), false);
            match fixture.read() {
                Err(error) => assert!(matches!(error, Error::Io { .. }), "{error}"),
                Ok(found) => {
                    assert!(fixture.fs.counted().1 < fail, "read {fail} failed unnoticed");
                    assert!(found.map(|(state, _)| state) == want, "read {fail}");
                    return fail;
                }
            }
        }
        0
    };
    assert!(check(None) > 2);
    fixture.fs.set(None, None, false);
    let stages = five_edits(&fixture);
    assert!(check(Some(stages[5].state.clone())) > 6);
    DiskFs.remove(&fixture.dir.path().join(FileName::Current.name())).unwrap();
    fixture.fs.set(None, Some(2), false);
    assert!(matches!(fixture.read(), Err(Error::Io { .. })));
}
