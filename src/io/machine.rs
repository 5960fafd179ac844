//! How much memory the process may use: what the machine has, or less where a control group or a
//! limit of the process says so. Read once at an open, for a default (D48).
//!
//! | asked | on | says |
//! |---|---|---|
//! | `proc/meminfo` | Linux | what is installed |
//! | `proc/self/cgroup` | Linux | the groups that the process is in |
//! | `memory.max`, `memory.high` of a group and of those above it | Linux, cgroup v2 | limits |
//! | `memory.limit_in_bytes` of the same | Linux, cgroup v1 | limits |
//! | `RLIMIT_AS`, `RLIMIT_DATA` | Unix | limits of the process |
//!
//! The lowest counts, or a quarter of the addresses that a pointer can have. Groups are looked for
//! below `sys/fs/cgroup`, where every distribution mounts them. In a container the names of
//! `proc/self/cgroup` may be those outside, which lead nowhere: the way up from there ends at the
//! mount, which is the container's own group.

use std::path::{Component, Path, PathBuf};

use super::{DiskFs, Fs, OpenMode, RetriedFs};
use crate::sync::Arc;

/// What counts as installed where the system does not say.
pub(crate) const MEMORY_BYTES_ASSUMED: u64 = 1 << 30;

/// Longer files are cut: the largest, `proc/meminfo`, has about 1,500 bytes.
const FILE_BYTES_MAX: usize = 64 << 10;

/// How many bytes of memory the process may use.
pub(crate) fn memory_bytes() -> u64 {
    // Tests are to be alike on all machines, and Miri has no machine.
    if cfg!(any(test, miri)) {
        return MEMORY_BYTES_ASSUMED;
    }
    let disk = RetriedFs::new(Arc::new(DiskFs));
    let bytes = memory_below(&disk, Path::new("/")).min(limit_of_process());
    within_addresses(bytes, usize::MAX as u64)
}

/// At most a quarter of the addresses up to `last`: 1 GiB of those of 32 bits, of which the code,
/// the stacks and the caller's own data take a part that no limit tells.
fn within_addresses(bytes: u64, last: u64) -> u64 {
    bytes.min(last / 4 + 1)
}

/// The same as far as files below `root` say it.
fn memory_below(fs: &dyn Fs, root: &Path) -> u64 {
    let installed = read(fs, &root.join("proc/meminfo"));
    let installed = installed.and_then(|text| bytes_installed(&text));
    let groups = read(fs, &root.join("proc/self/cgroup")).unwrap_or_default();
    let mount = root.join("sys/fs/cgroup");
    let limits = groups.lines().filter_map(|group| limit_of_group(fs, &mount, group));
    limits.fold(installed.unwrap_or(MEMORY_BYTES_ASSUMED), u64::min)
}

/// From `MemTotal:       24683708 kB`.
fn bytes_installed(meminfo: &str) -> Option<u64> {
    let mut words = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split(' ');
    let kib: u64 = words.find(|word| !word.is_empty())?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024)).filter(|bytes| *bytes > 0)
}

/// The lowest limit of a group and of those above it. `group` is a line of `proc/self/cgroup`: a
/// number, controllers with commas between them (none in version 2), and a path.
fn limit_of_group(fs: &dyn Fs, mount: &Path, group: &str) -> Option<u64> {
    let mut parts = group.splitn(3, ':');
    let _number = parts.next()?;
    let controllers = parts.next()?;
    let path = parts.next()?;
    let (mount, files): (_, &[&str]) = match controllers {
        "" => (mount.to_path_buf(), &["memory.max", "memory.high"]),
        some if some.split(',').any(|one| one == "memory") => {
            (mount.join("memory"), &["memory.limit_in_bytes"])
        }
        _ => return None,
    };
    // One that lies outside of what a container sees begins with `..`.
    let names = Path::new(path).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let path: PathBuf = names.collect();
    let files = path.ancestors().flat_map(|group| files.iter().map(|file| group.join(file)));
    // No limit is a word in version 2, and a number larger than any machine in version 1.
    files.filter_map(|file| read(fs, &mount.join(file))?.trim().parse().ok()).min()
}

/// Such files have no length to ask for. The name of a group may be any bytes, and takes nothing
/// from the lines beside it.
fn read(fs: &dyn Fs, path: &Path) -> Option<String> {
    let file = fs.open(path, OpenMode::Read).ok()?;
    let mut bytes = vec![0; FILE_BYTES_MAX];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64).ok()? {
            0 => break,
            read => len += read,
        }
    }
    bytes.truncate(len);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(unix)]
fn limit_of_process() -> u64 {
    use rustix::process::{Resource, getrlimit};
    let limit = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
    let data = limit(Resource::Data);
    #[cfg(target_os = "openbsd")]
    return data;
    #[cfg(not(target_os = "openbsd"))]
    data.min(limit(Resource::As))
}

#[cfg(not(unix))]
fn limit_of_process() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests;
