//! What the process has used so far, and whether it is at rest.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Result;

/// A process whose threads are busy for less than this share of one core is at rest.
const REST_SHARE: f64 = 0.02;

/// Bytes written in a window above which a process is not at rest.
const REST_WRITTEN_BYTES: u64 = 1 << 20;

/// Longer than this nothing is waited for.
const REST_SECONDS_MAX: u64 = 180;

/// What the process has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Bytes of pages that were written to, and will go to the disk; `None` where the system does
    /// not tell.
    pub(crate) written_bytes: Option<u64>,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let usage = resource_usage();
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
        };
        let cpu = time(usage.ru_utime) + time(usage.ru_stime);
        Self { cpu, written_bytes: number_in("/proc/self/io", "write_bytes:") }
    }

    /// Bytes written since then.
    pub(crate) fn written_since(&self, then: &Self) -> Option<u64> {
        Some(self.written_bytes?.saturating_sub(then.written_bytes?))
    }
}

/// The most memory that the process held.
pub(crate) fn peak_bytes() -> u64 {
    if let Some(kib) = number_in("/proc/self/status", "VmHWM:") {
        return kib << 10;
    }
    let max = resource_usage().ru_maxrss as u64;
    // macOS counts bytes, the others KiB.
    if cfg!(target_os = "macos") { max } else { max << 10 }
}

/// Waits until the process has done next to nothing for as long as this. An engine that looks idle
/// for a moment and goes on merging is not at rest.
pub(crate) fn wait_for_rest(window: Duration) {
    let end = Instant::now() + Duration::from_secs(REST_SECONDS_MAX);
    let step = (window / 8).max(Duration::from_millis(5));
    let mut quiet_since = Instant::now();
    let mut last = Usage::now();
    while quiet_since.elapsed() < window && Instant::now() < end {
        std::thread::sleep(step);
        let now = Usage::now();
        let busy = (now.cpu - last.cpu).as_secs_f64() / step.as_secs_f64();
        let written = now.written_since(&last).unwrap_or(0);
        if busy > REST_SHARE || written > REST_WRITTEN_BYTES {
            quiet_since = Instant::now();
        }
        last = now;
    }
}

/// Notices when the process as a whole does not run: stopped by a signal, or asleep with the machine.
/// An engine that stalls does not stop this.
pub(crate) struct Watch {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

/// How often it looks.
const WATCH_STEP: Duration = Duration::from_millis(50);

impl Watch {
    pub(crate) fn start() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            // It is a flag alone.
            while !ended.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(WATCH_STEP);
                longest = longest.max(start.elapsed().saturating_sub(WATCH_STEP));
            }
            longest
        });
        Self { end, thread }
    }

    /// The longest time for which nothing ran.
    pub(crate) fn finish(self) -> Duration {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Bytes that the files of a directory take on disk, those of its directories included.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // A file may go while the directory is read.
        let Ok(metadata) = entry.metadata() else { continue };
        total +=
            if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}

/// The number behind a name in one of the files that Linux has on a process.
fn number_in(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn resource_usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::zeroed();
    // SAFETY: the call fills the struct that it is given a valid pointer to, which is zeroed, a
    // valid value, if it fails.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}
