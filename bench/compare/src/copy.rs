//! Copies a directory. Files with holes keep them: LMDB's is as long as its map.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::Result;

const CHUNK_BYTES: usize = 1 << 20;

/// What a hole may be no smaller than, to be left out.
const HOLE_BYTES: usize = 64 << 10;

/// Copies everything in `from` to `to`, which is made if need be, and syncs it if asked to: whoever
/// writes beside it would wait for its pages. For those who only read, and delete it at once, it
/// need never reach the disk.
pub(crate) fn tree(from: &Path, to: &Path, sync: bool) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            tree(&entry.path(), &target, sync)?;
        } else {
            file(&entry.path(), &target, sync)?;
        }
    }
    Ok(())
}

fn file(from: &Path, to: &Path, sync: bool) -> Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    let len = source.metadata()?.len();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while let Some(data) = next_data(&source, at, len) {
        source.seek(SeekFrom::Start(data))?;
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        for (piece, offset) in chunk[..read].chunks(HOLE_BYTES).zip((data..).step_by(HOLE_BYTES)) {
            if piece.iter().any(|&byte| byte != 0) {
                target.seek(SeekFrom::Start(offset))?;
                target.write_all(piece)?;
            }
        }
        at = data + read as u64;
    }
    target.set_len(len)?;
    if sync {
        target.sync_all()?;
    }
    Ok(())
}

/// Where there is data from `at` on, as far as the file system tells.
fn next_data(file: &File, at: u64, len: u64) -> Option<u64> {
    if at >= len {
        return None;
    }
    #[cfg(target_os = "linux")]
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => return Some(data),
        Err(rustix::io::Errno::NXIO) => return None,
        Err(_) => {}
    }
    let _ = file;
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_holes_and_without_come_out_alike() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        std::fs::create_dir_all(from.join("below")).unwrap();
        std::fs::write(from.join("below/small"), b"a few bytes").unwrap();
        let mut holes = File::create(from.join("holes")).unwrap();
        holes.seek(SeekFrom::Start(5 << 20)).unwrap();
        holes.write_all(b"far").unwrap();
        holes.set_len(9 << 20).unwrap();
        let to = dir.path().join("to");
        tree(&from, &to, true).unwrap();
        for name in ["below/small", "holes"] {
            let read = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
            assert!(read(&from) == read(&to), "{name}");
        }
    }
}
