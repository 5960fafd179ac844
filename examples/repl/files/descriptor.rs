//! Descriptors that this program was given: standard output, or what a shell has opened for it as
//! in `3>file`, under the names `-`, `/dev/stdout`, `/dev/fd/3`.
//!
//! They are written to by a copy of the descriptor and not by name: a name opens the file a second
//! time, at its start, and each of the two would overwrite what the other has written.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// The directories in which each descriptor has its name.
const DIRECTORIES: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Those that were open when the program began.
static GIVEN: OnceLock<Vec<u32>> = OnceLock::new();

/// Notes which descriptors there are. To be called before anything else is opened.
pub(crate) fn remember() {
    GIVEN.get_or_init(|| {
        let mut given = vec![0, 1, 2];
        let listed = DIRECTORIES.iter().find_map(|dir| Some((dir, fs::read_dir(dir).ok()?)));
        let Some((dir, entries)) = listed else { return given };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let found: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
        // The listing itself took one, which is closed by now.
        given.extend(found.into_iter().filter(|number| {
            *number > 2 && fs::symlink_metadata(Path::new(dir).join(number.to_string())).is_ok()
        }));
        given
    });
}

/// The descriptor that a path stands for, if it is the name of one.
pub(crate) fn named(path: &Path) -> Option<u32> {
    let mut path = path.to_path_buf();
    // As many links as the system would follow.
    for _ in 0..40 {
        match path.to_str() {
            Some("/dev/stdin") => return Some(0),
            Some("/dev/stdout") => return Some(1),
            Some("/dev/stderr") => return Some(2),
            _ => {}
        }
        let directory = fs::canonicalize(path.parent().filter(|dir| !dir.as_os_str().is_empty())?);
        let directory = directory.ok()?;
        let is_one = |dir: &&str| fs::canonicalize(dir).is_ok_and(|dir| dir == directory);
        if DIRECTORIES.iter().any(is_one) {
            return path.file_name()?.to_str()?.parse().ok();
        }
        path = directory.join(fs::read_link(&path).ok()?);
    }
    None
}

/// A copy of a descriptor that the program was given.
#[cfg(unix)]
#[allow(unsafe_code, reason = "a number is all that there is of an inherited descriptor")]
pub(crate) fn copy(number: u32) -> io::Result<File> {
    use std::os::fd::BorrowedFd;
    let given = GIVEN.get().is_some_and(|given| given.contains(&number));
    let raw = i32::try_from(number).ok().filter(|_| given);
    let Some(raw) = raw else {
        // One that was opened later may be the database's.
        return Err(io::Error::other("this program was given no such descriptor"));
    };
    // SAFETY: it was open when the program began, and nothing in the program closes what it has
    // not opened itself; so it is open still, for longer than this borrow.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
pub(crate) fn copy(_number: u32) -> io::Result<File> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn names_of_descriptors_are_known_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/stderr", &link).unwrap();
        fs::write(dir.path().join("7"), "").unwrap();
        let own = format!("/proc/{}/fd/12", std::process::id());
        for (path, want) in [
            ("/dev/stdin", Some(0)),
            ("/dev/stdout", Some(1)),
            ("/dev/fd/9", Some(9)),
            ("/proc/self/fd/3", Some(3)),
            (&own, Some(12)),
            (link.to_str().unwrap(), Some(2)),
            (dir.path().join("7").to_str().unwrap(), None),
            ("/dev/null", None),
            ("9", None),
            ("absent", None),
        ] {
            assert_eq!(named(Path::new(path)), want, "{path}");
        }
    }
}
