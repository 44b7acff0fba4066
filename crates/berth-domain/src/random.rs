//! Randomness, passed in.

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// A source of unpredictable bytes for ids, keys and tokens.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// `N` random bytes.
    fn bytes<const N: usize>(&self) -> [u8; N]
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator, fit for secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system for randomness"
    )]
    #[expect(
        clippy::expect_used,
        reason = "without the system's generator no secret can be made; stopping is right"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system's random generator works");
    }
}

/// A repeatable source for tests: SHA-256 of the seed and a counter. Clones share the counter. Never for secrets.
#[derive(Debug, Clone)]
pub struct SeededRandom(Arc<Mutex<(u64, u64)>>);

impl SeededRandom {
    /// A source whose output is determined by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new((seed, 0))))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(state.0.to_le_bytes())
                .chain_update(state.1.to_le_bytes());
            chunk.copy_from_slice(&block.finalize()[..chunk.len()]);
            state.1 += 1;
        }
    }
}

impl<R: Random + ?Sized> Random for Arc<R> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}
