//! Random thread switches, for tests: histories whose operations overlap.
//!
//! An operation is a microsecond, a thread's turn on the processor some milliseconds, so that on
//! few cores most operations run whole, whatever they race with. Once a test asks for it
//! ([`switch_threads`]), one in so many steps of the seam gives the processor away or takes its
//! time. Steps are: before and after a lock is taken, after it is given back, and before each
//! operation on an atomic or a published cell. Only debug builds with the feature `sim` have any of
//! this, and until they are asked it costs them a load a step.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static ONE_IN: AtomicU32 = AtomicU32::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
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
            _ => std::thread::yield_now(),
        }
    }
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
