//! Second names for files of the disk, and copies where it can give none.

use std::io;
use std::path::Path;

use super::{Fs, copy};

/// Makes a copy if the system has refused a link in a way that says that there can be none.
pub(super) fn or_copy<F: Fs + ?Sized>(
    linked: io::Result<()>,
    fs: &F,
    from: &Path,
    to: &Path,
) -> io::Result<()> {
    match linked {
        Err(error) if can_be_no_link(&error) => copy(fs, from, to),
        linked => linked,
    }
}

/// Another device, a file system without links (which says that this is not permitted), a file that
/// has as many names as it can have, or one of somebody else's, which can be read and not linked.
fn can_be_no_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    // ERROR_INVALID_FUNCTION, which FAT says.
    let unknown_call = cfg!(windows) && error.raw_os_error() == Some(1);
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
        || unknown_call
}

#[cfg(test)]
mod tests;
