//! How readily a thread yields the processor to others (D49).
//!
//! Only on Linux, where it is a thread's own. On other systems it is the whole process's, which is
//! not ours to set, or there is no such number.

/// There is none above.
#[cfg(target_os = "linux")]
const NICE_MAX: i32 = 19;

/// Makes the calling thread nicer by that many steps, as far as they go. Returns by how many it is
/// then: none where the system has no such thing, or refuses. There is no way back without a
/// privilege.
#[cfg(target_os = "linux")]
pub(crate) fn yield_readily(steps: u8) -> u8 {
    use rustix::process::{getpriority_process, setpriority_process};
    // Miri has no such call.
    if steps == 0 || cfg!(miri) {
        return 0;
    }
    // Of "process 0", which is the calling thread here.
    let Ok(before) = getpriority_process(None) else { return 0 };
    let after = (before + i32::from(steps)).min(NICE_MAX);
    match setpriority_process(None, after) {
        Ok(()) => u8::try_from(after - before).unwrap_or(0),
        Err(_) => 0,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn yield_readily(_steps: u8) -> u8 {
    0
}
