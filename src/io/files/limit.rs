//! How many files a process may have open, and how many of them the engine takes.
//!
//! The soft limit is what a shell happened to set, 1,024 on most systems and 256 on some; it exists
//! for programs that use `select`. It is raised to the hard one, once, when the first database is
//! opened. A process that must not have that sets its hard limit as well.

/// The part of the limit that may stay open at most; the rest is the program's, and what logs,
/// outputs and reads under way take for a while.
const PART: usize = 4;

/// With fewer every read would open a file; with more nothing is won that could be measured.
const FILES_MIN: usize = 8;
const FILES_MAX: usize = 16 << 10;

/// Nobody needs more, and some programs walk through all numbers up to the limit.
#[cfg(unix)]
const RAISED_MAX: u64 = if cfg!(target_vendor = "apple") { 10_240 } else { 1 << 20 };

/// Raises the limit, and returns how many files may stay open.
pub(super) fn files_max() -> usize {
    // Few, so that tests meet files that were closed. Miri has no limit to ask for.
    if cfg!(any(test, miri)) {
        return 3 * FILES_MIN;
    }
    let limit = raise().unwrap_or(usize::MAX);
    (limit / PART).clamp(FILES_MIN, FILES_MAX)
}

/// The limit, after it was raised; `None` if there is none.
#[cfg(unix)]
fn raise() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut soft = current?;
    let raised = maximum.unwrap_or(RAISED_MAX).min(RAISED_MAX);
    // If that is refused, what is there has to do.
    if raised > soft
        && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok()
    {
        soft = raised;
    }
    usize::try_from(soft).ok()
}

#[cfg(not(unix))]
fn raise() -> Option<usize> {
    // What the C library of Windows has room for.
    Some(8 << 10)
}
