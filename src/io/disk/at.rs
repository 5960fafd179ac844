//! System calls on names in an open directory, which work wherever that directory is by now.
//!
//! A directory is a handle here; [`CWD`] stands for the process's own, and with it names are paths.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, StatVfs};
use rustix::io::{Errno, retry_on_intr};

pub(super) use rustix::fs::CWD;

use crate::io::OpenMode;

/// A directory, opened.
pub(super) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?)
}

/// A plain file, opened, and whether its name is a symbolic link. Never waits for anyone, whatever
/// stands under that name.
pub(super) fn open(
    dir: BorrowedFd<'_>,
    name: &Path,
    mode: OpenMode,
) -> io::Result<(OwnedFd, bool)> {
    let flags = match mode {
        OpenMode::Read => OFlags::RDONLY,
        OpenMode::ReadWrite => OFlags::RDWR,
        OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
    };
    let (fd, linked) = match open_quickly(dir, name, flags | OFlags::NOFOLLOW) {
        // What a name that is a link says to `NOFOLLOW`.
        Err(Errno::LOOP | Errno::MLINK) => (open_quickly(dir, name, flags)?, true),
        Err(Errno::NXIO) => return Err(not_plain()),
        opened => (opened?, false),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(not_plain());
    }
    Ok((fd, linked))
}

/// What is locked: a plain file, or a directory where none is made.
pub(super) fn open_to_lock(dir: BorrowedFd<'_>, name: &Path, create: bool) -> io::Result<OwnedFd> {
    let flags = if create { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDONLY };
    let fd = open_quickly(dir, name, flags)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    let fits = matches!(kind, FileType::RegularFile | FileType::Directory);
    if fits { Ok(fd) } else { Err(not_plain()) }
}

/// Opens without waiting for the other end of a pipe.
fn open_quickly(dir: BorrowedFd<'_>, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(0o666);
    let open = |flags| retry_on_intr(|| rustix::fs::openat(dir, name, flags, mode));
    match open(flags | OFlags::NONBLOCK) {
        // A lease on a plain file: its holder is asked to give it up, and gets some time.
        Err(Errno::WOULDBLOCK) => open(flags),
        opened => opened,
    }
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")
}

/// The names in a directory of plain files, and of links that do not lead to anything else: one
/// that leads nowhere is an error when it is opened, and none before.
pub(super) fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        // Names that are not Unicode are none of ours.
        let Ok(name) = entry.file_name().to_str() else { continue };
        let plain = match entry.file_type() {
            FileType::RegularFile => true,
            FileType::Symlink | FileType::Unknown => is_plain(dir, name)?,
            _ => false,
        };
        if plain {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn is_plain(dir: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    let kind = |stat: Stat| FileType::from_raw_mode(stat.st_mode);
    match rustix::fs::statat(dir, name, AtFlags::empty()).map(kind) {
        Ok(kind) => Ok(kind == FileType::RegularFile),
        Err(_) => match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(kind) {
            Ok(kind) => Ok(kind == FileType::Symlink),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        },
    }
}

/// Moves a name within a directory.
pub(super) fn rename(dir: BorrowedFd<'_>, from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat(dir, from, dir, to)?)
}

/// Gives a file another name; of a symbolic link, the file that it leads to.
pub(super) fn link(
    dir: BorrowedFd<'_>,
    from: &Path,
    to_dir: BorrowedFd<'_>,
    to: &Path,
) -> io::Result<()> {
    Ok(rustix::fs::linkat(dir, from, to_dir, to, AtFlags::SYMLINK_FOLLOW)?)
}

/// Removes a file's name.
pub(super) fn remove(dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// What a file system has left for those without privileges. One that claims to have no blocks at
/// all does not know.
pub(super) fn free_bytes(system: &StatVfs) -> Option<u64> {
    (system.f_blocks > 0).then(|| system.f_bavail.saturating_mul(system.f_frsize))
}

/// How many names a file has.
#[allow(
    clippy::unnecessary_fallible_conversions,
    clippy::useless_conversion,
    reason = "the width differs between systems"
)]
pub(super) fn links(file: impl AsFd) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_nlink).unwrap_or(u64::MAX))
}

/// Whether a name leads to an open file. Also where the system does not say: what is not known to
/// have changed has not.
pub(super) fn leads_to(dir: BorrowedFd<'_>, name: &Path, file: impl AsFd) -> bool {
    let Ok(open) = rustix::fs::fstat(file) else { return true };
    match rustix::fs::statat(dir, name, AtFlags::empty()) {
        Ok(named) => (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino),
        Err(error) => !matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP),
    }
}
