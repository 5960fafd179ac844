//! Asking the processor for memory before it is looked at, so that several misses of its caches are
//! under way at a time.
//!
//! Changes nothing but how long things take. Nothing where the processor has no stable way to be
//! asked.
#![allow(unsafe_code)]

/// Asks for `lines` cache lines from `address` on, which may be any address.
#[inline(always)]
pub(crate) fn prefetch(address: usize, lines: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        use std::ptr::without_provenance;
        let line = without_provenance::<i8>(address.wrapping_add(64 * line));
        // SAFETY: a prefetch may be given any address; it reads nothing that the program sees.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = (address, lines);
}
