//! A directory that is removed with everything in it.

use std::io;
use std::path::{Path, PathBuf};

use crate::event::event;
use crate::io::Process;
use crate::io::files::Files;

/// A fresh directory below the system's temporary one, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct TemporaryDir {
    /// In full, so that it is the same wherever the process goes.
    path: PathBuf,
    /// The process that made it. In a forked child it is the parent's.
    process: Process,
    /// Kept open, to tell it from another that has its name.
    #[cfg(unix)]
    handle: std::fs::File,
}

impl TemporaryDir {
    /// Makes one that nobody else has, and that nobody else may enter.
    pub(crate) fn create() -> io::Result<Self> {
        Files::of_process().with_room(Self::make)
    }

    fn make() -> io::Result<Self> {
        let builder = private_builder();
        loop {
            let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
            let path = std::path::absolute(std::env::temp_dir())?;
            let path = path.join(format!("alluvium-{number:016x}"));
            match builder.create(&path) {
                Ok(()) => {
                    return Ok(Self {
                        process: Process::this(),
                        #[cfg(unix)]
                        handle: std::fs::File::open(&path).inspect_err(|_| {
                            // It is empty, and nobody else's.
                            let _ = std::fs::remove_dir(&path);
                        })?,
                        path,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its name still leads to it.
    fn is_there(&self) -> bool {
        #[cfg(unix)]
        return super::at::leads_to(super::at::CWD, &self.path, &self.handle);
        #[cfg(not(unix))]
        true
    }
}

/// What makes a directory that only its owner may enter, where there is such a thing.
#[cfg(unix)]
fn private_builder() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(not(unix))]
fn private_builder() -> std::fs::DirBuilder {
    std::fs::DirBuilder::new()
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if !self.process.is_this() {
            return;
        }
        let removed = match self.is_there() {
            true => std::fs::remove_dir_all(&self.path),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = removed {
            let path = self.path.display();
            event!(warn, %error, %path, "a temporary directory was left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_everything_in_it_and_takes_nothing_else() {
        let one = TemporaryDir::create().unwrap();
        let other = TemporaryDir::create().unwrap();
        let path = one.path().to_path_buf();
        let kept = other.path().to_path_buf();
        assert!(path.is_absolute() && path != kept);
        std::fs::create_dir_all(path.join("below")).unwrap();
        std::fs::write(path.join("below/f"), "x").unwrap();
        drop(one);
        assert!(!path.exists() && kept.is_dir());
        // One that somebody has removed, and made again, is somebody's.
        std::fs::remove_dir(&kept).unwrap();
        std::fs::create_dir(&kept).unwrap();
        drop(other);
        assert!(kept.is_dir() || !cfg!(unix));
        let _ = std::fs::remove_dir(&kept);
    }
}
