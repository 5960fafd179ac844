//! The simulated medium: what is durable, what is pending, and what running code sees of both.
//!
//! Plain data under the one mutex of [`SimFs`](super::SimFs): nothing here locks, counts or fails
//! on purpose. A change goes to the visible state at once and to a list of pending changes; a sync
//! applies the list to the durable state. Pending changes carry a stamp, so that a crash can put
//! those of all files and directories into the one order in which they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::path::{Component, Path, PathBuf};

use super::fault::FaultGate;

/// The largest file held, so that a wild offset is an error and not an allocation.
const FILE_BYTES_MAX: u64 = 1 << 31;

/// A file's identity, whatever its name.
pub(super) type Inode = u64;

/// Which file each path names.
pub(super) type Names = BTreeMap<PathBuf, Inode>;

/// A change to a file's bytes. Offsets and lengths are checked before one is made.
#[derive(Clone, Debug)]
pub(super) enum FsChange {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

impl FsChange {
    /// A write, if it ends within the largest file held.
    pub(super) fn write(offset: u64, data: &[u8]) -> io::Result<Self> {
        let end = offset.checked_add(data.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        position(end)?;
        Ok(Self::Write { offset: position(offset)?, data: data.to_vec() })
    }

    /// A new length, if the largest file held is as long.
    pub(super) fn set_len(len: u64) -> io::Result<Self> {
        Ok(Self::SetLen(position(len)?))
    }

    /// How long a file of `len` bytes is afterwards.
    fn len_after(&self, len: usize) -> usize {
        match self {
            // POSIX: a write of nothing does not extend the file to its offset.
            Self::Write { data, .. } if data.is_empty() => len,
            Self::Write { offset, data } => len.max(offset + data.len()),
            Self::SetLen(new) => *new,
        }
    }

    /// What of it concerns bytes below `len`, and what those from there on.
    fn split(self, len: usize) -> [Option<Self>; 2] {
        match self {
            Self::Write { offset, mut data } => {
                let above = data.split_off(len.saturating_sub(offset).min(data.len()));
                let part = |offset, data: Vec<u8>| {
                    (!data.is_empty()).then_some(Self::Write { offset, data })
                };
                [part(offset, data), part(offset.max(len), above)]
            }
            Self::SetLen(_) => [Some(self), None],
        }
    }

    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.len_after(bytes.len()), 0);
        if let Self::Write { offset, data } = self
            && !data.is_empty()
        {
            bytes[*offset..offset + data.len()].copy_from_slice(data);
        }
    }
}

fn position(offset: u64) -> io::Result<usize> {
    let offset = Some(offset).filter(|&offset| offset <= FILE_BYTES_MAX);
    let offset = offset.and_then(|offset| usize::try_from(offset).ok());
    offset.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// A change to the names: a creation and a link have no `from`, a removal no `to`, a rename both.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) from: Option<PathBuf>,
    pub(super) to: Option<PathBuf>,
    pub(super) inode: Inode,
}

impl NameChange {
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.from.iter().chain(&self.to)
    }

    pub(super) fn apply(&self, names: &mut Names) {
        if let Some(from) = &self.from
            && names.get(from) == Some(&self.inode)
        {
            names.remove(from);
        }
        if let Some(to) = &self.to {
            names.insert(to.clone(), self.inode);
        }
    }
}

/// A change and its place in the order of all changes to the medium.
#[derive(Clone, Debug)]
pub(super) struct Pending<C> {
    pub(super) stamp: u64,
    pub(super) change: C,
}

/// A file's bytes and who uses them.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What survives a power loss whatever happens.
    pub(super) durable: Vec<u8>,
    /// What a read sees.
    pub(super) visible: Vec<u8>,
    /// What the next sync makes durable. After a failed sync that lost its writes, `durable` plus
    /// this is less than `visible`.
    pub(super) pending: Vec<Pending<FsChange>>,
    /// Open handles, held locks included: they keep a file without a name.
    pub(super) handles: usize,
    pub(super) locked: bool,
    pub(super) locks_shared: usize,
}

impl Content {
    /// A file all of whose bytes are durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { visible: bytes.clone(), durable: bytes, ..Self::default() }
    }

    pub(super) fn sync(&mut self) {
        for Pending { change, .. } in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Makes no more durable than it must: not even the rest of the same write. Changes of the
    /// length take along what was written before them.
    pub(super) fn sync_below(&mut self, len: usize) {
        let is_length = |pending: &Pending<FsChange>| matches!(pending.change, FsChange::SetLen(_));
        let whole = self.pending.iter().rposition(is_length).map_or(0, |last| last + 1);
        for (index, Pending { stamp, change }) in
            mem::take(&mut self.pending).into_iter().enumerate()
        {
            let len = if index < whole { usize::MAX } else { len };
            let [below, above] = change.split(len);
            below.iter().for_each(|change| change.apply(&mut self.durable));
            self.pending.extend(above.map(|change| Pending { stamp, change }));
        }
    }

    /// The page cache's answer to a failed sync: pages count as clean. Lengths are not in pages.
    pub(super) fn lose_pending_writes(&mut self) {
        self.pending.retain(|pending| matches!(pending.change, FsChange::SetLen(_)));
    }

    /// Flips bits of one byte wherever it is stored. Returns whether the file has that byte.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        let Some(byte) = self.visible.get_mut(offset) else { return false };
        *byte ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
        for pending in &mut self.pending {
            if let FsChange::Write { offset: start, data } = &mut pending.change
                && let Some(index) = offset.checked_sub(*start)
                && let Some(byte) = data.get_mut(index)
            {
                *byte ^= mask;
            }
        }
        true
    }
}

/// Everything one simulated file system is.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) gate: FaultGate,
    /// Directories are durable from the start; those without a parent always exist.
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) names: Names,
    pub(super) names_durable: Names,
    pub(super) names_pending: Vec<Pending<NameChange>>,
    pub(super) contents: BTreeMap<Inode, Content>,
    /// The last stamp or inode handed out; both come from here.
    pub(super) stamp: u64,
    pub(super) capacity: Option<u64>,
    /// The write that the crash interrupted. No read sees it; a crash may leave parts of it.
    pub(super) interrupted: Option<(Inode, Pending<FsChange>)>,
}

impl State {
    pub(super) fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    pub(super) fn content(&mut self, inode: Inode) -> &mut Content {
        self.contents.get_mut(&inode).expect("a named or open file is never collected")
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || self.dirs.contains(path)
    }

    pub(super) fn check_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) {
            Ok(())
        } else if self.names.contains_key(path) {
            Err(io::ErrorKind::NotADirectory.into())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// The file that `path` names.
    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        if self.is_dir(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Checks that `path` can be a file's name: no directory, in a directory.
    pub(super) fn check_name(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if !self.is_dir(path) => self.check_dir(dir),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Inode> {
        let inode = self.next_stamp();
        self.link(path, inode)?;
        self.contents.insert(inode, Content::default());
        Ok(inode)
    }

    /// Gives a file a name that is free.
    pub(super) fn link(&mut self, path: &Path, inode: Inode) -> io::Result<()> {
        if self.is_dir(path) || self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_name(path)?;
        self.change_name(NameChange { from: None, to: Some(path.to_path_buf()), inode });
        Ok(())
    }

    /// Makes a directory and those above it, durable at once with what is pending beside them.
    pub(super) fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().filter(|dir| !self.is_dir(dir)).collect();
        if missing.iter().any(|&dir| self.names.contains_key(dir)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        for dir in missing.into_iter().rev() {
            self.dirs.insert(dir.to_path_buf());
            self.sync_names(dir.parent().expect("a missing directory has a parent"));
        }
        Ok(())
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        let stamp = self.next_stamp();
        self.names_pending.push(Pending { stamp, change });
    }

    /// Changes a file's bytes. Nothing happens if that would exceed the capacity.
    pub(super) fn change(&mut self, inode: Inode, change: FsChange) -> io::Result<()> {
        let len = self.content(inode).visible.len();
        let grown = change.len_after(len).saturating_sub(len) as u64;
        if let Some(capacity) = self.capacity
            && grown > 0
            && self.used().saturating_add(grown) > capacity
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let stamp = self.next_stamp();
        let content = self.content(inode);
        change.apply(&mut content.visible);
        content.pending.push(Pending { stamp, change });
        Ok(())
    }

    /// Bytes in all files that have a name or are open.
    pub(super) fn used(&self) -> u64 {
        let named: BTreeSet<Inode> = self.names.values().copied().collect();
        let counts =
            |inode: &Inode, content: &Content| content.handles > 0 || named.contains(inode);
        let contents = self.contents.iter().filter(|(inode, content)| counts(inode, content));
        contents.map(|(_, content)| content.visible.len() as u64).sum()
    }

    /// Makes a directory's names durable. A rename between directories is one change, so it takes
    /// along what is pending in the other directory up to there.
    pub(super) fn sync_names(&mut self, dir: &Path) {
        let mut dirs = BTreeSet::from([dir.to_path_buf()]);
        let mut synced = Vec::new();
        let mut left = Vec::new();
        for pending in self.names_pending.drain(..).rev() {
            let parents = || pending.change.paths().filter_map(|path| path.parent());
            if parents().any(|parent| dirs.contains(parent)) {
                dirs.extend(parents().map(Path::to_path_buf));
                synced.push(pending);
            } else {
                left.push(pending);
            }
        }
        synced.iter().rev().for_each(|pending| pending.change.apply(&mut self.names_durable));
        left.reverse();
        self.names_pending = left;
        self.collect();
    }

    /// Forgets the files that nothing can reach: no handle, no name, and no name after a crash.
    pub(super) fn collect(&mut self) {
        let pending = self.names_pending.iter().map(|pending| pending.change.inode);
        let named = self.names.values().chain(self.names_durable.values()).copied();
        let reachable: BTreeSet<Inode> = named.chain(pending).collect();
        self.contents.retain(|inode, content| content.handles > 0 || reachable.contains(inode));
    }

    /// Lets go of an open file.
    pub(super) fn close(&mut self, inode: Inode) {
        let content = self.content(inode);
        content.handles -= 1;
        if content.handles == 0 && !self.names.values().any(|&named| named == inode) {
            self.collect();
        }
    }
}

/// One spelling per path: without `.`, and with `..` resolved, as there are no links.
pub(super) fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            component => normal.push(component),
        }
    }
    normal
}
