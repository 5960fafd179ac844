//! What a crash leaves: from the state at the crash, a mode and a seed to the medium that the next
//! start finds. Pure: the same three give the same medium.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fastrand::Rng;

use super::fault::FaultGate;
use super::state::{Content, FsChange, Inode, NameChange, Names, Pending, State};

/// What a disk writes in one step; a pending write may survive in any selection of these.
const SECTOR_BYTES: usize = 512;

/// What a crash leaves of what was not synced. What was synced is always there.
///
/// "Pending" is a change to a file's bytes or length since its last successful `sync_data`, or to a
/// directory's names since its last successful `sync_dir`.
///
/// ```
/// # use std::path::Path;
/// # use alluvium::io::{CrashMode, Fs, OpenMode, SimFs};
/// let fs = SimFs::new();
/// fs.write_file("f", b"");
/// fs.open(Path::new("f"), OpenMode::ReadWrite)?.write_all_at(b"abc", 0)?;
/// let after = |mode| fs.crash(mode, 0).read_file("f").unwrap();
/// assert_eq!(after(CrashMode::Process), b"abc");
/// assert_eq!(after(CrashMode::PowerLoseAll), b"");
/// assert_eq!(after(CrashMode::PowerZeros), b"\0\0\0");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrashMode {
    /// The process dies, the system lives: everything written is there, and what was pending stays
    /// pending, so that a power loss later can still take it. The interrupted write ends at a
    /// random byte.
    Process,
    /// Power loss: nothing pending survives.
    PowerLoseAll,
    /// Power loss: everything pending survives, the interrupted write too.
    PowerKeepAll,
    /// Power loss: a random number of the oldest pending changes survives, over all files and
    /// directories in the order they were made; the next one, if a write, up to a random byte.
    PowerPrefix,
    /// Power loss: each 512-byte sector of each pending write survives or not, at random, and so
    /// does each pending change of a length. A change of names survives at random if each earlier
    /// one of the same paths did.
    PowerSubset,
    /// Power loss: names and lengths survive, the bytes that pending writes change read as zeros.
    /// One that was durable with the very value that is written again keeps it.
    PowerZeros,
    /// Power loss: names and lengths survive, the bytes that pending writes change are random.
    PowerGarbage,
}

impl CrashMode {
    /// Every mode.
    ///
    /// ```
    /// # use alluvium::io::{CrashMode, SimFs};
    /// for &mode in CrashMode::ALL {
    ///     let fs = SimFs::new();
    ///     fs.write_file("f", b"durable");
    ///     assert_eq!(fs.crash(mode, 1).files("."), ["f"]);
    /// }
    /// ```
    pub const ALL: &'static [Self] = &[
        Self::Process,
        Self::PowerLoseAll,
        Self::PowerKeepAll,
        Self::PowerPrefix,
        Self::PowerSubset,
        Self::PowerZeros,
        Self::PowerGarbage,
    ];
}

/// The medium after the crash: no handles, no locks, no plan, counters at zero.
pub(super) fn after_crash(state: &State, mode: CrashMode, seed: u64) -> State {
    let mut random = Rng::with_seed(seed);
    let mut image = match mode {
        CrashMode::Process => after_process_death(state, &mut random),
        _ => after_power_loss(state, mode, &mut random),
    };
    image.dirs.clone_from(&state.dirs);
    image.stamp = state.stamp;
    image.capacity = state.capacity;
    image.gate = FaultGate::default();
    image.gate.set_trace(state.gate.trace().is_some());
    image.collect();
    image
}

fn after_process_death(state: &State, random: &mut Rng) -> State {
    let mut image = State {
        names: state.names.clone(),
        names_durable: state.names_durable.clone(),
        names_pending: state.names_pending.clone(),
        contents: state.contents.clone(),
        ..State::default()
    };
    for content in image.contents.values_mut() {
        (content.handles, content.locked, content.locks_shared) = (0, false, 0);
    }
    if let Some((inode, Pending { stamp, change })) = &state.interrupted {
        let change = torn(change, random);
        // It is gone if it had no name and its last handle was closed after the crash.
        if let Some(content) = image.contents.get_mut(inode) {
            change.apply(&mut content.visible);
            content.pending.push(Pending { stamp: *stamp, change });
        }
    }
    image
}

fn after_power_loss(state: &State, mode: CrashMode, random: &mut Rng) -> State {
    let changes = pending_in_order(state);
    let kept = random.usize(..changes.len() + 1);
    let mut survivor = Survivor {
        names: state.names_durable.clone(),
        files: state.contents.iter().map(|(&inode, file)| (inode, file.durable.clone())).collect(),
        paths_lost: BTreeSet::new(),
        // One odds per crash: with fixed ones every crash would lose about the same share.
        keep_in_256: [16, 128, 224, 252][random.usize(..4)],
    };
    for (index, (_, change)) in changes.iter().enumerate() {
        match mode {
            CrashMode::Process | CrashMode::PowerLoseAll => {}
            CrashMode::PowerKeepAll => survivor.keep(change),
            CrashMode::PowerPrefix if index < kept => survivor.keep(change),
            CrashMode::PowerPrefix if index == kept => survivor.keep_torn(change, random),
            CrashMode::PowerPrefix => {}
            CrashMode::PowerSubset => survivor.keep_some(change, random),
            CrashMode::PowerZeros => {
                survivor.keep_filled(change, &state.contents, |data| data.fill(0));
            }
            CrashMode::PowerGarbage => {
                survivor.keep_filled(change, &state.contents, |data| random.fill(data));
            }
        }
    }
    let Survivor { names, files, .. } = survivor;
    State {
        names_durable: names.clone(),
        names,
        contents: files.into_iter().map(|(inode, it)| (inode, Content::durable(it))).collect(),
        ..State::default()
    }
}

/// A pending change of either kind.
enum Any<'a> {
    Name(&'a NameChange),
    File(Inode, &'a FsChange),
}

/// The pending changes of all files and directories, oldest first, the interrupted write last.
fn pending_in_order(state: &State) -> Vec<(u64, Any<'_>)> {
    let names = state.names_pending.iter();
    let mut changes: Vec<_> =
        names.map(|pending| (pending.stamp, Any::Name(&pending.change))).collect();
    for (&inode, content) in &state.contents {
        let pending = content.pending.iter();
        changes.extend(pending.map(|it| (it.stamp, Any::File(inode, &it.change))));
    }
    if let Some((inode, pending)) = &state.interrupted
        && state.contents.contains_key(inode)
    {
        changes.push((pending.stamp, Any::File(*inode, &pending.change)));
    }
    changes.sort_unstable_by_key(|&(stamp, _)| stamp);
    changes
}

/// The medium as the power comes back, while the pending changes that survive are applied to it.
struct Survivor {
    names: Names,
    files: BTreeMap<Inode, Vec<u8>>,
    /// Paths in a change of names that was lost: later changes of these cannot survive.
    paths_lost: BTreeSet<PathBuf>,
    keep_in_256: usize,
}

impl Survivor {
    fn keep(&mut self, change: &Any<'_>) {
        match change {
            Any::Name(change) => change.apply(&mut self.names),
            Any::File(inode, change) => self.keep_in_file(*inode, change),
        }
    }

    fn keep_in_file(&mut self, inode: Inode, change: &FsChange) {
        change.apply(self.files.get_mut(&inode).expect("a pending change keeps its file"));
    }

    /// A write survives in part, any other change not at all.
    fn keep_torn(&mut self, change: &Any<'_>, random: &mut Rng) {
        if let Any::File(inode, change @ FsChange::Write { .. }) = change {
            self.keep_in_file(*inode, &torn(change, random));
        }
    }

    /// A write leaves what `fill` makes, except where it repeats what is `durable`: whether it
    /// comes to pass or not, such a byte is the same.
    fn keep_filled(
        &mut self,
        change: &Any<'_>,
        contents: &BTreeMap<Inode, Content>,
        fill: impl FnOnce(&mut [u8]),
    ) {
        if let Any::File(inode, FsChange::Write { offset, data }) = change {
            let durable = contents.get(inode).map_or(&[][..], |content| &content.durable);
            let durable = durable.get(*offset..).unwrap_or_default();
            let mut filled = data.clone();
            fill(&mut filled);
            for ((byte, written), kept) in filled.iter_mut().zip(data).zip(durable) {
                if written == kept {
                    *byte = *written;
                }
            }
            self.keep_in_file(*inode, &FsChange::Write { offset: *offset, data: filled });
        } else {
            self.keep(change);
        }
    }

    fn keep_some(&mut self, change: &Any<'_>, random: &mut Rng) {
        match change {
            Any::Name(name) => {
                let lost_before = name.paths().any(|path| self.paths_lost.contains(path));
                if !lost_before && self.toss(random) {
                    self.keep(change);
                } else {
                    self.paths_lost.extend(name.paths().cloned());
                }
            }
            Any::File(inode, FsChange::Write { offset, data }) => {
                let mut start = *offset;
                let mut rest = data.as_slice();
                while !rest.is_empty() {
                    let in_sector = (SECTOR_BYTES - start % SECTOR_BYTES).min(rest.len());
                    let (sector, after) = rest.split_at(in_sector);
                    if self.toss(random) {
                        let change = FsChange::Write { offset: start, data: sector.to_vec() };
                        self.keep_in_file(*inode, &change);
                    }
                    (start, rest) = (start + in_sector, after);
                }
            }
            Any::File(_, FsChange::SetLen(_)) => {
                if self.toss(random) {
                    self.keep(change);
                }
            }
        }
    }

    fn toss(&self, random: &mut Rng) -> bool {
        random.usize(..256) < self.keep_in_256
    }
}

/// The change, up to a random byte if it is a write.
fn torn(change: &FsChange, random: &mut Rng) -> FsChange {
    let mut change = change.clone();
    if let FsChange::Write { data, .. } = &mut change {
        data.truncate(random.usize(..data.len() + 1));
    }
    change
}
