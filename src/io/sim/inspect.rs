//! What a test reads and changes past the operations: files as they are, damage, the trace.
//!
//! Nothing here is an operation: it counts nothing, no plan fails it, and it works after a crash.

use std::path::Path;

use super::state::{Content, NameChange, normalize};
use super::{SimFs, names_in};

impl SimFs {
    /// A file's bytes as a read would see them. Not an operation: never fails, counts nothing, and
    /// works after a crash, like the helpers below.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// let fs = SimFs::new();
    /// fs.write_file("f", b"abc");
    /// assert_eq!(fs.read_file("f").as_deref(), Some(&b"abc"[..]));
    /// assert_eq!(fs.read_file("g"), None);
    /// ```
    #[must_use]
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut state = self.state();
        let inode = state.find(&normalize(path.as_ref())).ok()?;
        Some(state.content(inode).visible.clone())
    }

    /// Replaces a file's bytes, or makes the file and its directory, durable at once together with
    /// what is pending in that directory.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// # use alluvium::io::CrashMode;
    /// let fs = SimFs::new();
    /// fs.write_file("d/f", b"abc");
    /// let after = fs.crash(CrashMode::PowerLoseAll, 0);
    /// assert_eq!(after.read_file("d/f").as_deref(), Some(&b"abc"[..]));
    /// ```
    ///
    /// # Panics
    ///
    /// If the path is a directory or leads through a file.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = normalize(path.as_ref());
        let dir = path.parent().expect("the path names a file, not the root");
        let mut state = self.state();
        state.create_dirs(dir).expect("no file stands where the path wants a directory");
        let inode = match state.find(&path) {
            Ok(inode) => inode,
            Err(_) => state.create(&path).expect("the path is not a directory"),
        };
        let old = state.content(inode);
        *old = Content {
            handles: old.handles,
            locked: old.locked,
            locks_shared: old.locks_shared,
            ..Content::durable(bytes.to_vec())
        };
        state.sync_names(dir);
    }

    /// Removes a file, durable at once together with what is pending in its directory. Returns
    /// whether there was one.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// let fs = SimFs::new();
    /// fs.write_file("f", b"abc");
    /// assert!(fs.remove_file("f"));
    /// assert!(!fs.remove_file("f"));
    /// ```
    pub fn remove_file(&self, path: impl AsRef<Path>) -> bool {
        let path = normalize(path.as_ref());
        let mut state = self.state();
        let Ok(inode) = state.find(&path) else { return false };
        state.change_name(NameChange { from: Some(path.clone()), to: None, inode });
        state.sync_names(path.parent().expect("a file has a directory"));
        true
    }

    /// The names of the files in a directory, in order; none if there is no such directory.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// let fs = SimFs::new();
    /// fs.write_file("d/b", b"");
    /// fs.write_file("d/a", b"");
    /// assert_eq!(fs.files("d"), ["a", "b"]);
    /// assert!(fs.files("e").is_empty());
    /// ```
    #[must_use]
    pub fn files(&self, dir: impl AsRef<Path>) -> Vec<String> {
        names_in(&self.state(), &normalize(dir.as_ref()))
    }

    /// Flips the bits of `mask` in one byte of a file, for readers and for every crash from now on.
    /// Returns whether the file has that byte.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// let fs = SimFs::new();
    /// fs.write_file("f", b"abc");
    /// assert!(fs.flip("f", 1, 0x20));
    /// assert_eq!(fs.read_file("f").as_deref(), Some(&b"aBc"[..]));
    /// assert!(!fs.flip("f", 3, 0x20), "the file ends before");
    /// ```
    pub fn flip(&self, path: impl AsRef<Path>, offset: u64, mask: u8) -> bool {
        let mut state = self.state();
        let Ok(inode) = state.find(&normalize(path.as_ref())) else { return false };
        usize::try_from(offset).is_ok_and(|offset| state.content(inode).flip(offset, mask))
    }

    /// Starts or stops remembering the last 10,000 operations; stopping forgets them.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.set_trace(true);
    /// fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// assert_eq!(fs.trace().len(), 1);
    /// fs.set_trace(false);
    /// assert!(fs.trace().is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_trace(&self, on: bool) {
        self.state().gate.set_trace(on);
    }

    /// The remembered operations, oldest first, one line each: `#` and the number as counted by
    /// [`SimFs::op_count`] (or `r` and the number among reads), kind, path, offset and length.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.set_trace(true);
    /// fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.list(Path::new("."))?;
    /// let trace = fs.trace();
    /// assert!(trace[0].starts_with("#0") && trace[1].starts_with("r0"), "{trace:?}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.state().gate.trace().into_iter().flatten().cloned().collect()
    }
}
