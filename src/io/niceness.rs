//! How readily a thread yields the processor to others (D49).
//!
//! Only on Linux, where it is a thread's own. On other systems it is the whole process's, which is
//! not ours to set, or there is no such number.

/// There is none above.
#[cfg(target_os = "linux")]
const NICE_MAX: i32 = 19;

/// By how many of these steps the calling thread, or one that it starts, can become nicer: none
/// where the system has no such thing.
#[cfg(target_os = "linux")]
pub(crate) fn steps_of(steps: u8) -> u8 {
    // Miri has no such call.
    if steps == 0 || cfg!(miri) {
        return 0;
    }
    let Ok(before) = rustix::process::getpriority_process(None) else { return 0 };
    let after = (before + i32::from(steps)).min(NICE_MAX);
    u8::try_from(after - before).unwrap_or(0)
}

/// Makes the calling thread nicer by that many steps, as far as they go. Returns by how many it is
/// then: those of [`steps_of`], or none where the system refuses. There is no way back without a
/// privilege.
#[cfg(target_os = "linux")]
pub(crate) fn yield_readily(steps: u8) -> u8 {
    use rustix::process::{getpriority_process, setpriority_process};
    let steps = steps_of(steps);
    if steps == 0 {
        return 0;
    }
    // Of "process 0", which is the calling thread here.
    let nicer = |before: i32| setpriority_process(None, before + i32::from(steps));
    getpriority_process(None).and_then(nicer).map_or(0, |()| steps)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn steps_of(_steps: u8) -> u8 {
    0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn yield_readily(_steps: u8) -> u8 {
    0
}
