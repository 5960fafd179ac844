//! Whether an open has room for what it writes, asked before it changes anything.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::names::FileName;
use crate::io::{Fs, NamedFile, OpenMode, sync_dir};
use crate::runs::state::ManifestState;

/// What an open writes beside the state: headers, and three blocks that a file system may round up
/// to.
const OPEN_BYTES: usize = 3 * 4096;

/// Sees whether there is room for the next manifest, `CURRENT`, and the end of the last log. If
/// not, the logs that no recovery needs, which are in these slots, go, and it looks again; but not
/// if the edit that says so may be lost with the power (I13), because then they are needed.
pub(crate) fn make_room(
    fs: &dyn Fs,
    dir: &Path,
    state: &ManifestState,
    durable: bool,
    dead: &mut Vec<u64>,
) -> Result<()> {
    let bytes = vec![0; state.to_snapshot().len() + OPEN_BYTES];
    match try_room(fs, dir, &bytes) {
        Err(Error::StorageFull { .. }) if durable && !dead.is_empty() => {
            // The name of the manifest that needs none of them, which a crash may have left to the
            // system.
            sync_dir(fs, dir)?;
            for slot in dead.drain(..) {
                let path = dir.join(FileName::LogSlot(slot).name());
                fs.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
            }
            try_room(fs, dir, &bytes)
        }
        tried => tried,
    }
}

/// Makes a file of these bytes under the name that the next `CURRENT` has for a moment, and removes
/// it, so that an open without the permission or the room for one fails before it has changed
/// anything.
fn try_room(fs: &dyn Fs, dir: &Path, bytes: &[u8]) -> Result<()> {
    let path = dir.join(FileName::CurrentTmp.name());
    let remove = || match fs.remove(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", &path, error))
        }
        _ => Ok(()),
    };
    remove()?;
    let file = NamedFile::open(fs, path.clone(), OpenMode::CreateNew)?;
    // Some file systems find out only when it is synced.
    let written = file.write_all_at(bytes, 0).and_then(|()| file.sync_data());
    drop(file);
    remove()?;
    written
}
