//! Which process this is, at the cost of a load: how a database knows that it is in a forked child.
//!
//! A child of `fork` has all of the parent's memory and none of its threads. What it would write
//! goes into files that are the parent's, and a lock that another thread held just then is held for
//! ever. So what is opened remembers the process, and each call compares.
//!
//! On Linux a page of memory is zero in each child when it starts (`MADV_WIPEONFORK`); a number is
//! put there by the first who asks, and no child puts one that an ancestor has had before. Where
//! there is no such page the system is asked.

#![allow(unsafe_code, reason = "memory that a fork empties is had no other way")]

#[cfg(target_os = "linux")]
use crate::sync::atomic::Ordering;
#[cfg(target_os = "linux")]
use crate::sync::unchecked::AtomicU64;

/// A process, remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    number: u64,
    /// Where the number is that the running process has; nothing where the system is asked.
    #[cfg(target_os = "linux")]
    page: Option<&'static AtomicU64>,
}

#[cfg(target_os = "linux")]
impl Process {
    /// The one that is running.
    pub(crate) fn this() -> Self {
        let Some(page) = page() else { return Self { number: asked(), page: None } };
        // Relaxed, here and below: a number of its own, and a fork orders everything.
        let mut number = page.load(Ordering::Relaxed);
        if number == 0 {
            let fresh = 1 + NUMBERS.fetch_add(1, Ordering::Relaxed);
            let put = page.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed);
            number = put.map_or_else(|other| other, |_| fresh);
        }
        Self { number, page: Some(page) }
    }

    /// Whether it is running, and not a child.
    #[inline]
    pub(crate) fn is_this(&self) -> bool {
        match self.page {
            Some(page) => page.load(Ordering::Relaxed) == self.number,
            None => asked() == self.number,
        }
    }
}

/// How many numbers were given out. A child goes on from its parent's count.
#[cfg(target_os = "linux")]
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// The page that each child finds empty. Never given back.
#[cfg(target_os = "linux")]
fn page() -> Option<&'static AtomicU64> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    static PAGE: crate::sync::OnceLock<Option<&AtomicU64>> = crate::sync::OnceLock::new();
    *PAGE.get_or_init(|| {
        // Miri has no such page; no test forks there.
        if cfg!(miri) {
            return None;
        }
        // The system rounds it up to a page.
        let len = size_of::<AtomicU64>();
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE;
        // SAFETY: the system picks an address range that nothing else uses.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, rights, flags) }.ok()?;
        // SAFETY: the range was mapped just now, and nothing is in it yet.
        if unsafe { madvise(start, len, Advice::LinuxWipeOnFork) }.is_err() {
            // SAFETY: mapped above with this length, and known to nobody else.
            let _ = unsafe { munmap(start, len) };
            return None;
        }
        // SAFETY: zeros are a number; the page begins at a multiple of its size and stays mapped.
        Some(unsafe { &*start.cast::<AtomicU64>() })
    })
}

#[cfg(all(unix, not(target_os = "linux")))]
impl Process {
    /// The one that is running.
    pub(crate) fn this() -> Self {
        Self { number: asked() }
    }

    /// Whether it is running, and not a child.
    pub(crate) fn is_this(&self) -> bool {
        asked() == self.number
    }
}

#[cfg(unix)]
fn asked() -> u64 {
    u64::from(std::process::id())
}

/// Where no process has a copy of another's memory.
#[cfg(not(unix))]
impl Process {
    /// The one that is running.
    pub(crate) fn this() -> Self {
        Self { number: 0 }
    }

    /// Whether it is running, and not a child.
    pub(crate) fn is_this(&self) -> bool {
        self.number == 0
    }
}
