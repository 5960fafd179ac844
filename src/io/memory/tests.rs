//! The file system in memory beside the simulated one: the same calls, the same answers.

use super::*;
use crate::io::SimFs;

/// One step on a file system, and what it came to.
type Step = fn(&dyn Fs) -> io::Result<String>;

fn open(fs: &dyn Fs, path: &str, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
    fs.open(Path::new(path), mode)
}

fn done(result: io::Result<()>) -> io::Result<String> {
    result.map(|()| String::new())
}

const STEPS: &[Step] = &[
    |fs| open(fs, "d/f", OpenMode::CreateNew).map(|_| "made".into()),
    |fs| done(fs.create_dir_all(Path::new("d/below"))),
    |fs| done(fs.create_dir_all(Path::new("d/below"))),
    |fs| open(fs, "d/f", OpenMode::ReadWrite).map(|_| "opened".into()),
    |fs| done(open(fs, "d/f", OpenMode::CreateNew)?.write_all_at(b"abc", 2)),
    |fs| open(fs, "d/f", OpenMode::CreateNew).map(|_| "made".into()),
    |fs| done(open(fs, "d/f", OpenMode::Read)?.write_all_at(b"abc", 2)),
    |fs| done(open(fs, "d/f", OpenMode::Read)?.set_len(0)),
    |fs| done(fs.create_dir_all(Path::new("d/f/g"))),
    |fs| {
        let mut bytes = [9; 8];
        let read = open(fs, "d/f", OpenMode::Read)?.read_at(&mut bytes, 1)?;
        Ok(format!("{read} {bytes:?}"))
    },
    |fs| Ok(format!("{}", open(fs, "d/f", OpenMode::Read)?.read_at(&mut [0; 8], u64::MAX)?)),
    |fs| done(open(fs, "d/f", OpenMode::ReadWrite)?.write_all_at(b"x", u64::MAX)),
    |fs| done(open(fs, "d/f", OpenMode::ReadWrite)?.write_at(b"", 100).map(drop)),
    |fs| done(open(fs, "d/f", OpenMode::ReadWrite)?.set_len(4)),
    |fs| Ok(format!("{}", open(fs, "d/f", OpenMode::Read)?.len()?)),
    |fs| done(fs.hard_link(Path::new("d/f"), Path::new("d/g"))),
    |fs| done(fs.hard_link(Path::new("d/f"), Path::new("d/g"))),
    |fs| done(fs.hard_link(Path::new("d/x"), Path::new("d/h"))),
    |fs| done(fs.rename(Path::new("d/f"), Path::new("d/g"))),
    |fs| Ok(format!("{}", open(fs, "d/g", OpenMode::Read)?.names()?)),
    |fs| done(open(fs, "d/h", OpenMode::CreateNew)?.write_all_at(b"other", 0)),
    |fs| done(fs.rename(Path::new("d/h"), Path::new("d/g"))),
    |fs| done(fs.rename(Path::new("d/x"), Path::new("d/y"))),
    |fs| Ok(format!("{}", open(fs, "d/f", OpenMode::Read)?.names()?)),
    |fs| {
        let file = open(fs, "d/g", OpenMode::Read)?;
        fs.remove(Path::new("d/g"))?;
        Ok(format!("{} {}", file.len()?, file.names()?))
    },
    |fs| done(fs.remove(Path::new("d/g"))),
    |fs| fs.lock(Path::new("d/LOCK"), false, false).map(|_| "locked".into()),
    |fs| {
        let held = fs.lock(Path::new("d/LOCK"), false, true)?;
        let again = fs.lock(Path::new("d/LOCK"), false, true).map(drop);
        drop(held);
        Ok(format!("{again:?} {:?}", fs.lock(Path::new("d/LOCK"), true, false).map(drop)))
    },
    |fs| fs.lock(Path::new("d"), false, false).map(|_| "locked".into()),
    |fs| done(fs.sync_dir(Path::new("d"))),
];

#[test]
fn it_answers_as_the_simulated_one_does() {
    let memory = MemoryFs::default();
    let simulated = SimFs::new();
    for (number, step) in STEPS.iter().enumerate() {
        let answer = |fs: &dyn Fs| step(fs).map_err(|error| error.kind());
        assert_eq!(answer(&memory), answer(&simulated), "step {number}");
        let names = |fs: &dyn Fs| {
            let mut names = fs.list(Path::new("d")).unwrap_or_default();
            names.sort();
            names
        };
        assert_eq!(names(&memory), names(&simulated), "step {number}");
    }
}
