//! The system calls of one thread, counted while it runs: a seccomp filter of its own hands each to
//! another thread of this process, which counts it and lets it go on.
//!
//! That needs no privilege, no tracer and no second process. Where the system refuses it, nothing
//! is known, and the tests say so. The watching thread must do nothing that the watched one could
//! hold up, which may be anywhere: it allocates nothing and takes no lock.

use std::fmt;
use std::io::{Error, Write};
use std::mem::zeroed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::allocations;

/// Numbers of system calls are below this on all machines, or share a counter.
const NUMBERS: usize = 512;

/// In the place of a number: a `futex` call that the C library makes for itself, which is for a
/// lock of its allocator. Locks and channels of Rust's call by `libc::syscall`.
pub(crate) const ALLOCATOR_LOCK: i64 = NUMBERS as i64 - 1;

/// More bytes of machine code than `libc::syscall` has.
const SYSCALL_BYTES: u64 = 128;

/// No filter yet, or none to be had.
const NONE_YET: i32 = -1;
const REFUSED: i32 = -2;

/// What a watched thread counts with.
pub(crate) struct Meter {
    counting: AtomicBool,
    counts: [AtomicU64; NUMBERS],
    listener: AtomicI32,
    ended: AtomicBool,
}

/// What a piece of work has cost its thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    /// System calls by number, and how often.
    pub(crate) calls: Vec<(i64, u64)>,
    pub(crate) allocations: u64,
    pub(crate) frees: u64,
}

impl Cost {
    /// How many calls there were of one of these numbers.
    pub(crate) fn of(&self, numbers: &[i64]) -> u64 {
        let counted = self.calls.iter().filter(|(number, _)| numbers.contains(number));
        counted.map(|(_, count)| count).sum()
    }

    /// How many there were in all.
    pub(crate) fn calls_all(&self) -> u64 {
        self.calls.iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for &(number, count) in &other.calls {
            match self.calls.iter_mut().find(|(known, _)| *known == number) {
                Some((_, counted)) => *counted += count,
                None => self.calls.push((number, count)),
            }
        }
        self.allocations += other.allocations;
        self.frees += other.frees;
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} allocations, {} frees, {} system calls", self.allocations, self.frees, {
            self.calls_all()
        })?;
        self.calls
            .iter()
            .try_for_each(|(number, count)| write!(f, ", {count} of {}", name(*number)))
    }
}

/// The name of a call that is to be expected here, or its number.
fn name(number: i64) -> String {
    let names = [
        (libc::SYS_futex, "futex"),
        (libc::SYS_brk, "brk"),
        (libc::SYS_mmap, "mmap"),
        (libc::SYS_munmap, "munmap"),
        (libc::SYS_mprotect, "mprotect"),
        (libc::SYS_madvise, "madvise"),
        (libc::SYS_pread64, "pread64"),
        (libc::SYS_pwrite64, "pwrite64"),
        (libc::SYS_sched_yield, "sched_yield"),
        (ALLOCATOR_LOCK, "futex for the allocator"),
    ];
    let known = names.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned())
}

impl Meter {
    /// Does `work` on the watched thread, and says what it has cost.
    pub(crate) fn cost<R>(&self, work: impl FnOnce() -> R) -> (R, Cost) {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        let before = allocations::of_this_thread();
        // SeqCst, as below: the watcher reads it while this thread is in a call that it has made
        // after this.
        self.counting.store(true, Ordering::SeqCst);
        let result = work();
        self.counting.store(false, Ordering::SeqCst);
        let after = allocations::of_this_thread();
        let counts = self.counts.iter().map(|count| count.load(Ordering::SeqCst));
        let calls = (0..).zip(counts).filter(|(_, count)| *count > 0).collect();
        let allocations = after.allocations - before.allocations;
        (result, Cost { calls, allocations, frees: after.frees - before.frees })
    }

    /// Puts a filter on this thread that nothing takes off again. Returns whether it is there.
    fn begin(&self) -> bool {
        let mut every = libc::sock_filter {
            code: (libc::BPF_RET | libc::BPF_K) as u16,
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_USER_NOTIF,
        };
        let program = libc::sock_fprog { len: 1, filter: &raw mut every };
        // SAFETY: the arguments are as `prctl` and `seccomp` want them; the program outlives the
        // call, which copies it.
        let listener = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
            let set = libc::SECCOMP_SET_MODE_FILTER;
            libc::syscall(libc::SYS_seccomp, set, flags, &raw const program)
        };
        let listener = i32::try_from(listener).unwrap_or(NONE_YET);
        let refused = listener < 0;
        self.listener.store(if refused { REFUSED } else { listener }, Ordering::SeqCst);
        !refused
    }

    /// Counts, and lets each call go on, until the watched thread has ended.
    fn watch(&self) {
        let listener = loop {
            match self.listener.load(Ordering::SeqCst) {
                NONE_YET => thread::sleep(Duration::from_millis(1)),
                REFUSED => return,
                listener => break listener,
            }
        };
        while !self.ended.load(Ordering::SeqCst) {
            let mut ready = libc::pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
            // SAFETY: one descriptor, ours.
            let polled = unsafe { libc::poll(&raw mut ready, 1, 10) };
            if polled > 0 && ready.revents & libc::POLLIN != 0 {
                self.let_one_go_on(listener);
            }
        }
        // SAFETY: ours, and nobody else knows it.
        unsafe { libc::close(listener) };
    }

    fn let_one_go_on(&self, listener: i32) {
        // SAFETY: plain numbers, of which the kernel wants zeros.
        let (mut call, mut answer): (libc::seccomp_notif, libc::seccomp_notif_resp) =
            unsafe { (zeroed(), zeroed()) };
        // SAFETY: the kernel fills in a notification of this layout.
        if unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) } != 0 {
            // A signal came, or the call is gone.
            return;
        }
        if self.counting.load(Ordering::SeqCst) {
            let from = libc::syscall as *const () as u64;
            let by_rust = (from..from + SYSCALL_BYTES).contains(&call.data.instruction_pointer);
            let number = match i64::from(call.data.nr) {
                libc::SYS_futex if !by_rust => ALLOCATOR_LOCK,
                number => number,
            };
            self.counts[number as usize % NUMBERS].fetch_add(1, Ordering::SeqCst);
        }
        answer.id = call.id;
        answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        // SAFETY: the kernel reads an answer of this layout.
        let sent =
            unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
        if sent != 0 && Error::last_os_error().raw_os_error() != Some(libc::ENOENT) {
            // Before Linux 5.5; the watched thread would wait for ever.
            std::process::abort();
        }
    }
}

/// Does `work` on a watched thread. `None` if the system lets none be watched.
pub(crate) fn watched<R: Send>(work: impl FnOnce(&Meter) -> R + Send) -> Option<R> {
    let meter = Meter {
        counting: AtomicBool::new(false),
        counts: [const { AtomicU64::new(0) }; NUMBERS],
        listener: AtomicI32::new(NONE_YET),
        ended: AtomicBool::new(false),
    };
    let result = thread::scope(|scope| {
        scope.spawn(|| meter.watch());
        let result = scope.spawn(|| meter.begin().then(|| work(&meter))).join();
        meter.ended.store(true, Ordering::SeqCst);
        result
    });
    let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if result.is_none() {
        say("SKIPPED: this system lets no thread be watched (seccomp is refused)");
    }
    result
}

/// What an allocator calls: for memory, and for its own locks, which threads share.
pub(crate) const ALLOCATOR: [i64; 6] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    ALLOCATOR_LOCK,
];

/// Says something that is seen though the test passes.
pub(crate) fn say(what: &str) {
    // A closed pipe is no reason to fail.
    let _ = writeln!(std::io::stderr(), "system_calls: {what}");
}
