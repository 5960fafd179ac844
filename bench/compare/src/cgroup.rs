//! A control group that bounds the memory of a process, its page cache included: the only fair way
//! to give engines with caches of their own and those that use the system's as much.
//!
//! Linux alone has them, and only root, or whom a part of the tree was given to, may make one.

use std::path::{Path, PathBuf};

use crate::Result;

/// A group that goes away with this.
pub(crate) struct Group {
    dir: PathBuf,
}

/// What a version of control groups calls things.
#[derive(Clone, Copy)]
struct Version {
    limit: &'static str,
    /// Swapping is turned off, where there is a file for it.
    no_swap: (&'static str, &'static str),
}

const V2: Version = Version { limit: "memory.max", no_swap: ("memory.swap.max", "0") };

const V1: Version = Version { limit: "memory.limit_in_bytes", no_swap: ("memory.swappiness", "0") };

impl Group {
    /// Makes a group of at most this many bytes.
    pub(crate) fn make(bytes: u64) -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")
            .map_err(|_| "this system has no control groups")?;
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut last = "no controller of memory is mounted".to_owned();
        for (parent, version) in parents(&mounts, &own) {
            match Self::make_in(&parent, &version, bytes) {
                Ok(group) => return Ok(group),
                Err(error) => last = error.to_string(),
            }
        }
        Err(format!("no control group for a memory limit could be made: {last}").into())
    }

    fn make_in(parent: &Path, version: &Version, bytes: u64) -> Result<Self> {
        // The second version hands its controllers down only when told to.
        let _ = std::fs::write(parent.join("cgroup.subtree_control"), "+memory");
        let group = Self { dir: parent.join(format!("alluvium-compare-{}", std::process::id())) };
        // One that could not be removed serves again.
        std::fs::create_dir(&group.dir).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        std::fs::write(group.dir.join(version.limit), bytes.to_string())?;
        let _ = std::fs::write(group.dir.join(version.no_swap.0), version.no_swap.1);
        Ok(group)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty by now; if it is not, it stays, and does no harm.
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Puts this process into a group.
pub(crate) fn join(group: &Path) -> Result<()> {
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())?;
    Ok(())
}

/// Directories that a group may be made in: our own group, and the top.
fn parents(mounts: &str, own: &str) -> Vec<(PathBuf, Version)> {
    let mut parents = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let at = PathBuf::from(fields.next().unwrap_or_default());
        let kind = fields.next().unwrap_or_default();
        let options = fields.next().unwrap_or_default();
        let version = match kind {
            "cgroup2" => V2,
            "cgroup" if options.split(',').any(|option| option == "memory") => V1,
            _ => continue,
        };
        // The line of the second version names no controllers.
        let ours = |controllers: &str| match kind {
            "cgroup2" => controllers.is_empty(),
            _ => controllers.split(',').any(|name| name == "memory"),
        };
        let path = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            ours(controllers).then_some(path)
        });
        let path = path.unwrap_or_default().trim_start_matches('/');
        if !path.is_empty() {
            parents.push((at.join(path), version));
        }
        parents.push((at, version));
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_found() {
        let mounts = "proc /proc proc rw 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
            cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let own = "4:memory:/box\n1:cpu:/\n0::/user/1000\n";
        let found = parents(mounts, own);
        let found: Vec<_> =
            found.iter().map(|(dir, version)| (dir.to_str().unwrap(), version.limit)).collect();
        assert_eq!(
            found,
            [
                ("/sys/fs/cgroup/memory/box", "memory.limit_in_bytes"),
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                ("/sys/fs/cgroup/unified/user/1000", "memory.max"),
                ("/sys/fs/cgroup/unified", "memory.max"),
            ]
        );
    }
}
