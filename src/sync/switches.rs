//! Random thread switches, for tests: histories whose operations overlap.
//!
//! An operation is a microsecond, a thread's turn on the processor some milliseconds, so that on
//! few cores most operations run whole, whatever they race with. Once a test asks for it
//! ([`switch_threads`]), one in so many steps of the seam gives the processor away or takes its
//! time. Steps are: before and after a lock is taken, after it is given back, and before each
//! operation on an atomic or a published cell. Only debug builds with the feature `sim` have any of
//! this, and until they are asked it costs them a load a step.
//!
//! Where other processes want the processor, too, to give it away takes whole turns of theirs,
//! milliseconds for what is a microsecond else: beside four that were always busy, on one core,
//! histories of a second took over a minute. Their turns switch the threads of this process well
//! enough, so after one as many switches are left out as it has paid for ([`left_out`]).

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

static ONE_IN: AtomicU32 = AtomicU32::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
    /// Switches that are still to be left out.
    static LEFT_OUT: Cell<u32> = const { Cell::new(0) };
}

/// Has one in `one_in` steps switch, in all threads of the process from now on; zero: none, as it
/// is at first. Threads draw from `seed`, each in its own way.
#[doc(hidden)]
pub fn switch_threads(seed: u64, one_in: u32) {
    // Relaxed, here and below: nothing is ordered by whether, or how, a thread switches.
    SEED.store(seed, Ordering::Relaxed);
    ONE_IN.store(one_in, Ordering::Relaxed);
}

/// A step that another thread could see, or see the lack of.
#[inline]
pub(crate) fn step() {
    let one_in = ONE_IN.load(Ordering::Relaxed);
    if one_in != 0 {
        switch_at_times(u64::from(one_in));
    }
}

fn switch_at_times(one_in: u64) {
    // A thread that ends has no state any more, and need not switch.
    let drawn = STATE.try_with(|state| {
        let mut x = state.get();
        if x == 0 {
            x = SEED.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) | 1;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x >> 16
    });
    let Ok(drawn) = drawn else { return };
    if drawn % one_in == 0 {
        // Mostly away from the processor; at times only late, by less than a turn.
        match drawn / one_in % 4 {
            0 => (0..drawn % 512).for_each(|_| std::hint::spin_loop()),
            _ => give_away(),
        }
    }
}

/// Gives the processor away, unless that is paid for.
fn give_away() {
    let paid = LEFT_OUT.try_with(|left| left.replace(left.get().saturating_sub(1)));
    if paid != Ok(0) {
        return;
    }
    let start = Instant::now();
    std::thread::yield_now();
    let _ = LEFT_OUT.try_with(|left| left.set(left_out(start.elapsed())));
}

/// How many switches are left out after one that took so long: so many that one takes 50
/// microseconds on average. Within the process one takes less, and nothing is left out. A turn pays
/// for a thousand at most: after an hour for which the process was suspended a thread would
/// otherwise not switch for the rest of a test.
fn left_out(took: Duration) -> u32 {
    u32::try_from(took.as_micros() / 50).unwrap_or(u32::MAX).saturating_sub(1).min(1_000)
}

/// The standard library's atomics, each of whose operations is a step.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;

    macro_rules! stepped {
        ($($name:ident $value:ty),*) => {$(
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub(crate) struct $name(std::sync::atomic::$name);

            #[allow(dead_code, reason = "the same for each")]
            impl $name {
                pub(crate) const fn new(value: $value) -> Self {
                    Self(std::sync::atomic::$name::new(value))
                }

                pub(crate) fn into_inner(self) -> $value {
                    self.0.into_inner()
                }
            }

            impl std::ops::Deref for $name {
                type Target = std::sync::atomic::$name;

                #[inline]
                fn deref(&self) -> &std::sync::atomic::$name {
                    crate::sync::switches::step();
                    &self.0
                }
            }
        )*};
    }

    stepped!(AtomicBool bool, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symptom: a test of eleven seconds took 620 on a machine with a load of ten. Mechanism: each
    /// of its 380,000 switches gave away whole turns to other processes. Fix: a switch that took
    /// long pays for those after it. It pays for a thousand at most: a process may be suspended.
    #[test]
    fn a_long_turn_of_somebody_else_pays_for_later_switches() {
        let check = |took_us, want| assert_eq!(left_out(Duration::from_micros(took_us)), want);
        check(0, 0);
        check(40, 0);
        check(99, 0);
        check(4_000, 79);
        check(50_000, 999);
        check(3_600_000_000, 1_000);
        assert_eq!(left_out(Duration::MAX), 1_000);
    }
}
