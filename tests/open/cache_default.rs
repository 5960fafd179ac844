//! How large the block cache is where nobody has said it, against what this machine's files say,
//! read in another way than the engine's.

use std::process::Command;

use alluvium::Db;

use crate::limits::MIB;

/// Set for a child: say the default of the block cache.
const CHILD_VARIABLE: &str = "ALLUVIUM_CACHE_DEFAULT_CHILD";

fn text(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What this process may use: installed, left by its control groups, and by its limits.
fn memory_bytes() -> u64 {
    let installed = text("/proc/meminfo").split_whitespace().nth(1).unwrap().to_owned();
    let mut found = vec![installed.parse::<u64>().unwrap() * 1024];
    for group in text("/proc/self/cgroup").lines() {
        let [_, controllers, path] = group.splitn(3, ':').collect::<Vec<_>>()[..] else { continue };
        let of_memory = controllers.split(',').any(|controller| controller == "memory");
        if !controllers.is_empty() && !of_memory {
            continue;
        }
        let mount = if of_memory { "/sys/fs/cgroup/memory" } else { "/sys/fs/cgroup" };
        let mut path = path.trim_end_matches('/');
        loop {
            let names = ["memory.max", "memory.high", "memory.limit_in_bytes"];
            let names = if of_memory { &names[2..] } else { &names[..2] };
            let limits = names.iter().map(|name| text(&format!("{mount}{path}/{name}")));
            found.extend(limits.flat_map(|limit| limit.trim().parse::<u64>()));
            let Some((above, _)) = path.rsplit_once('/') else { break };
            path = above;
        }
    }
    for limit in text("/proc/self/limits").lines() {
        let names = ["Max address space", "Max data size"];
        let value = names.iter().find_map(|name| limit.strip_prefix(name));
        let soft = value.and_then(|value| value.split_whitespace().next());
        found.extend(soft.and_then(|soft| soft.parse::<u64>().ok()));
    }
    if cfg!(target_pointer_width = "32") {
        found.push(1024 * MIB);
    }
    found.into_iter().min().unwrap()
}

fn quarter(bytes: u64) -> u64 {
    (bytes / 4).clamp(16 * MIB, 4096 * MIB)
}

#[test]
fn the_block_cache_gets_a_quarter_of_what_the_process_may_use() {
    let found = Db::temporary().unwrap().stats().cache_bytes_max;
    if std::env::var_os(CHILD_VARIABLE).is_some() {
        println!("\nchild: {found}");
        return;
    }
    let here = memory_bytes();
    assert_eq!(found, quarter(here), "of {here}");
    // What is left of that by a limit of the process.
    for (limit, mib) in [("-v", 1536), ("-v", 1200), ("-d", 800)] {
        let script = format!("ulimit -S {limit} {} && exec \"$0\" \"$@\"", mib << 10);
        let mut child = Command::new("sh");
        child.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
        let name = "cache_default::the_block_cache_gets_a_quarter_of_what_the_process_may_use";
        let output = child.args([name, "--exact", "--nocapture"]).env(CHILD_VARIABLE, "1");
        let output = output.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        let want = format!("child: {}\n", quarter(here.min(mib * MIB)));
        assert!(out.contains(&want), "{limit} {mib}: {out}, not {want}");
    }
}
