//! The random numbers of the tests: small, seeded, the same everywhere. What a test draws from them
//! it says in an `impl` of its own.

#[derive(Clone)]
pub(crate) struct Random(fastrand::Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.u64(..)
    }
}
