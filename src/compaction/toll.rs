//! When to merge everything down although nothing is due and writes go on: once reads have paid for
//! it (D50).
//!
//! Counted in bytes of merging. A block that is read among `k` runs pays for `k - 1` of them, since
//! their filters were asked or their cursors moved: a flat price, between what gets and what seeks
//! lose by it. Every byte that a merge reads is charged, whatever it is merged for and whatever
//! becomes of it. So merging that nothing but reads asks for costs no more than they have paid, and
//! what is left of the merge that was under way by then, however writes come: beside a burst, which
//! has merges of its own, nothing is left over; and what reads do not pay for is left for a pause.

/// What a block read pays for each further run, in bytes of merging: 0.1 µs at 200 MiB/s. Measured,
/// for each block read and further run: a get loses 0.04 at nine runs and nothing at two, a seek
/// 0.1 at nine and 0.3 at two.
pub(super) const BYTES_PER_READ: u64 = 20;

/// What reads have paid and merges have not been charged for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Toll {
    paid: u64,
    /// Blocks read by the last look.
    block_reads: u64,
    is_due: bool,
}

impl Toll {
    /// Takes in how many blocks reads have asked for since the open, where there are `runs` runs,
    /// of `bytes` in all. Whether to merge down is [`Self::is_due`] until there is one, or all is
    /// charged.
    pub(crate) fn look(&mut self, block_reads: u64, runs: usize, bytes: u64) {
        let new = block_reads.saturating_sub(self.block_reads);
        self.block_reads = block_reads;
        if runs < 2 {
            (self.paid, self.is_due) = (0, false);
            return;
        }
        let paid = new.saturating_mul(runs as u64 - 1).saturating_mul(BYTES_PER_READ);
        // Pairs are read more than once on their way down. What is beyond that was paid while
        // nothing could be merged, and would be spent on runs that nobody has read.
        self.paid = self.paid.saturating_add(paid).min(bytes.saturating_mul(2));
        self.is_due |= self.paid >= bytes;
    }

    /// A merge has read `bytes`. What is more than was paid is forgotten: merges that writes ask
    /// for read many times what reads pay, which would never pay off such a debt.
    pub(crate) fn charge(&mut self, bytes: u64) {
        self.paid = self.paid.saturating_sub(bytes);
        self.is_due &= self.paid > 0;
    }

    /// Whether any pair may be merged, down to one run.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due
    }
}

#[cfg(test)]
mod tests;
