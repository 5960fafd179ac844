//! What the results were taken on, as far as it says anything about them: no names of hosts and
//! directories.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Processor, memory, system and file system in a line.
pub(crate) fn describe(dir: &Path) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once([':', '='])?.1.trim().trim_matches('"').to_owned())
    };
    let processor = value(&read("/proc/cpuinfo"), "model name");
    let processor = processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = value(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(String::new, |kib| format!(", {:.0} GiB of memory", kib / 1_048_576.0));
    let system = value(&read("/etc/os-release"), "PRETTY_NAME");
    let system = system.unwrap_or_else(|| std::env::consts::OS.to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<&str> = kernel.split(['.', '-']).take(2).collect();
    let kernel = match kernel[..] {
        [major, minor] => format!(", Linux {major}.{minor}"),
        _ => String::new(),
    };
    let files = file_system(&read("/proc/self/mounts"), dir);
    format!("{processor}, {cores} cores{memory}, {system}{kernel}, {files}")
}

/// The kind of file system of a directory.
fn file_system(mounts: &str, dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let around = mounts.filter(|(at, _)| dir.starts_with(at));
    let nearest = around.max_by_key(|(at, _)| at.components().count());
    nearest.map_or_else(|| "a file system unknown".to_owned(), |(_, kind)| kind.to_owned())
}

/// Today, in UTC, as 2026-11-30.
pub(crate) fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(since / 86_400)
}

/// The date of a day since 1970.
fn date(days: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut left = days;
    let mut year = 1970;
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        let cases =
            [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_787, "2026-11-30")];
        for (days, want) in cases {
            assert_eq!(date(days), want);
        }
    }

    #[test]
    fn the_nearest_mount_is_that_of_a_directory() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /nowhere tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/nowhere/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/elsewhere")), "ext4");
    }
}
