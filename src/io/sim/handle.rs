//! Open files and held locks: each keeps its file from being forgotten until it is dropped.
//!
//! Checks arguments and asks the gate; the medium itself is in `state`. Called from any thread.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::fault::{OpKind, Refusal};
use super::state::{Content, FsChange, Inode, Pending, State};
use super::{FsFile, FsLock, SimFs};
use crate::io::memory::read_of;
use crate::sync::Arc;

/// Keeps an open file from being forgotten.
pub(super) struct Handle {
    fs: SimFs,
    inode: Inode,
}

impl Handle {
    /// Counts the handle in; the caller holds the mutex of `fs`.
    pub(super) fn new(fs: &SimFs, state: &mut State, inode: Inode) -> Self {
        state.content(inode).handles += 1;
        Self { fs: fs.clone(), inode }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A poisoned mutex is someone else's panic; a second one here would abort the test.
        if let Ok(mut state) = self.fs.state.lock() {
            state.close(self.inode);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inode({})", self.inode)
    }
}

/// A held lock. Dropping it in a crashed instance changes nothing in what the crash left.
#[derive(Debug)]
pub(super) struct SimLock {
    pub(super) handle: Handle,
    pub(super) shared: bool,
}

impl FsLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Ok(mut state) = self.handle.fs.state.lock() {
            let content = state.content(self.handle.inode);
            if self.shared {
                content.locks_shared -= 1;
            } else {
                content.locked = false;
            }
        }
    }
}

/// An open file, under the path it was opened at.
#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) handle: Handle,
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

impl SimFile {
    fn begin(
        &self,
        state: &mut State,
        kind: OpKind,
        detail: fmt::Arguments<'_>,
    ) -> Result<(), Refusal> {
        state.gate.begin(kind, &self.path, None, detail)
    }

    /// What `sync` does to the file, unless it fails.
    fn sync(&self, detail: fmt::Arguments<'_>, sync: impl FnOnce(&mut Content)) -> io::Result<()> {
        let mut state = self.handle.fs.state();
        let begun = self.begin(&mut state, OpKind::Sync, detail);
        let content = state.content(self.handle.inode);
        match begun {
            Ok(()) => sync(content),
            Err(refusal) => {
                if refusal.sync_loss {
                    content.lose_pending_writes();
                }
                return Err(refusal.error);
            }
        }
        Ok(())
    }

    /// Writing through a handle opened for reading is a mistake, not an operation to count.
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl FsFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.handle.fs.state();
        self.begin(&mut state, OpKind::Read, format_args!(" @{offset}+{}", buf.len()))?;
        let bytes = &state.content(self.handle.inode).visible;
        Ok(read_of(bytes, buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        let mut state = self.handle.fs.state();
        let detail = format_args!(" @{offset}+{}", buf.len());
        let begun = self.begin(&mut state, OpKind::Write, detail);
        let inode = self.handle.inode;
        match begun {
            Ok(()) => {
                state.change(inode, FsChange::write(offset, buf)?)?;
                Ok(buf.len())
            }
            Err(refusal) => {
                if refusal.interrupted {
                    let change = FsChange::write(offset, buf)?;
                    let stamp = state.next_stamp();
                    state.interrupted = Some((inode, Pending { stamp, change }));
                } else if refusal.torn {
                    state.change(inode, FsChange::write(offset, &buf[..buf.len() / 2])?)?;
                }
                Err(refusal.error)
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(format_args!(""), Content::sync)
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        let end = usize::try_from(len).unwrap_or(usize::MAX);
        self.sync(format_args!(" below {len}"), |content| content.sync_below(end))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.handle.fs.state();
        self.begin(&mut state, OpKind::SetLen, format_args!(" {len}"))?;
        state.change(self.handle.inode, FsChange::set_len(len)?)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.handle.fs.state();
        self.begin(&mut state, OpKind::Read, format_args!(" (length)"))?;
        Ok(state.content(self.handle.inode).visible.len() as u64)
    }

    fn names(&self) -> io::Result<u64> {
        let state = self.handle.fs.state();
        let names = state.names.values();
        Ok(names.filter(|inode| **inode == self.handle.inode).count() as u64)
    }

    /// A second handle: what is written through it is like every other write.
    fn overwriter(&self, _len: u64) -> Option<Arc<dyn FsFile>> {
        let handle = Handle::new(&self.handle.fs, &mut self.handle.fs.state(), self.handle.inode);
        Some(Arc::new(Self { handle, path: self.path.clone(), writable: self.writable }))
    }
}
