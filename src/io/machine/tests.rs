//! What files of a machine and of its control groups come to.

use super::*;
use crate::io::SimFs;

const MIB: u64 = 1 << 20;
const MEMINFO: &str = "MemTotal:        8388608 kB\nMemFree:         1048576 kB\n";

/// What files below a root say, in MiB.
#[track_caller]
fn check(files: &[(&str, &str)], want_mib: u64) {
    let fs = SimFs::new();
    for (path, text) in files {
        fs.write_file(format!("root/{path}"), text.as_bytes());
    }
    assert_eq!(memory_below(&fs, Path::new("root")), want_mib * MIB, "{files:?}");
}

#[test]
fn what_is_installed_counts_where_nothing_limits_it() {
    check(&[], MEMORY_BYTES_ASSUMED / MIB);
    check(&[("proc/meminfo", MEMINFO)], 8 << 10);
    for text in ["", "MemTotal: x kB\n", "MemTotal:\n", "MemTotal: 0 kB\n", "MemFree: 1 kB\n"] {
        check(&[("proc/meminfo", text)], MEMORY_BYTES_ASSUMED / MIB);
    }
    check(&[("proc/meminfo", "MemTotal: 2048 kB")], 2);
    check(&[("proc/meminfo", "MemTotal:\t2048 kB\n")], 2);
}

#[test]
fn the_lowest_limit_on_the_way_up_counts() {
    let check = |groups: &str, limits: &[(&str, &str)], want_mib| {
        let mut files = vec![("proc/meminfo", MEMINFO), ("proc/self/cgroup", groups)];
        let limits: Vec<_> =
            limits.iter().map(|(path, text)| (format!("sys/fs/cgroup/{path}"), *text)).collect();
        files.extend(limits.iter().map(|(path, text)| (path.as_str(), *text)));
        check(&files, want_mib);
    };
    // Version 2: a limit of its own, of one above it, none, and none that is a number.
    check("0::/a/b\n", &[("a/b/memory.max", "1073741824\n")], 1 << 10);
    check("0::/a/b\n", &[("a/b/memory.max", "max\n"), ("a/memory.max", "536870912\n")], 512);
    check("0::/a/b\n", &[("a/b/memory.max", "2097152"), ("a/memory.max", "1048576")], 1);
    check("0::/a/b\n", &[("a/b/memory.max", "max\n"), ("a/b/memory.high", "3145728\n")], 3);
    check("0::/a\n", &[("b/memory.max", "1048576\n"), ("a/memory.max", "none of it\n")], 8 << 10);
    check("0::/a\n", &[], 8 << 10);
    // A container's own group is at the mount, whatever its name is outside.
    check("0::/\n", &[("memory.max", "1048576\n")], 1);
    check("0::/../c\n", &[("memory.max", "1048576\n")], 1);
    check("0::/docker/4f5e\n", &[("memory.max", "1048576\n")], 1);
    // Version 1, alone and beside the other; no limit is a huge number there.
    let one = "5:cpu:/x\n4:hugetlb,memory:/a/b\n0::/\n";
    check(one, &[("memory/a/b/memory.limit_in_bytes", "4194304\n")], 4);
    let none = ("memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    check(one, &[none], 8 << 10);
    check(one, &[none, ("memory/memory.limit_in_bytes", "5242880\n")], 5);
    check(one, &[none, ("memory.max", "6291456\n")], 6);
    // Another controller's group is none of memory's.
    check("4:cpu,memoryless:/a\n", &[("memory/a/memory.limit_in_bytes", "1048576\n")], 8 << 10);
    // More than is installed, and what is no such file.
    check("0::/a\n", &[("a/memory.max", "99999999999999\n")], 8 << 10);
    for broken in ["", "0:\n", "memory\n", "::::\n", "4:memory\n"] {
        check(broken, &[("memory/a/memory.limit_in_bytes", "1048576\n")], 8 << 10);
    }
    // A path with a colon in it.
    check("0::/a:b\n", &[("a:b/memory.max", "1048576\n")], 1);
}

/// Symptom: a group's limit was passed over. Mechanism: the name of some group was no UTF-8, so all
/// of the file counted as unread. Fix: such a name is a name.
#[test]
fn a_name_that_is_no_text_hides_no_other_line() {
    let fs = SimFs::new();
    fs.write_file("root/proc/meminfo", MEMINFO.as_bytes());
    fs.write_file("root/proc/self/cgroup", b"5:cpu:/\xff\xfe\n4:memory:/a\n0::/\xff\n");
    fs.write_file("root/sys/fs/cgroup/memory/a/memory.limit_in_bytes", b"4194304\n");
    assert_eq!(memory_below(&fs, Path::new("root")), 4 * MIB);
    // Its own limit is not found by that name; those above it are.
    fs.write_file("root/sys/fs/cgroup/memory.max", b"2097152\n");
    assert_eq!(memory_below(&fs, Path::new("root")), 2 * MIB);
}

/// Symptom: a process of 32 bits gave the cache up to 1 GiB of its two to four. Mechanism: what the
/// machine has counted as what the process may use, up to all addresses. Fix: a quarter of them.
#[test]
fn a_pointer_reaches_no_more_than_its_addresses() {
    let check = |bytes, last, want| assert_eq!(within_addresses(bytes, last), want, "{bytes}");
    let last_of_32 = u64::from(u32::MAX);
    check(8192 * MIB, last_of_32, 1024 * MIB);
    check(1024 * MIB, last_of_32, 1024 * MIB);
    check(1000 * MIB, last_of_32, 1000 * MIB);
    check(1 << 61, u64::MAX, 1 << 61);
}

/// The files that tests write are those that there are.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn this_machine_says_what_it_has() {
    let text = read(&DiskFs, Path::new("/proc/meminfo")).unwrap();
    let installed = bytes_installed(&text).unwrap();
    let found = memory_below(&DiskFs, Path::new("/"));
    assert!(found <= installed && found > 0, "{found} of {installed}");
    assert!(limit_of_process() > 0 && memory_bytes() == MEMORY_BYTES_ASSUMED);
}
