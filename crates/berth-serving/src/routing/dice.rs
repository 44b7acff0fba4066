//! Cheap random choices on the hot path.

use std::sync::atomic::{AtomicU64, Ordering};

use berth_domain::random::Random;

/// A shared stream of numbers that are spread evenly; not for secrets. SplitMix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014) over an atomic counter, so threads never wait for each other.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    /// Dice that start at a random place.
    pub(super) fn new(random: &dyn Random) -> Self {
        let mut seed = [0; 8];
        random.fill(&mut seed);
        Self(AtomicU64::new(u64::from_le_bytes(seed)))
    }

    /// A number below `bound`, which must not be 0.
    pub(super) fn below(&self, bound: usize) -> usize {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from((u128::from(z) * bound as u128) >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::random::SeededRandom;

    use super::*;

    #[test]
    fn every_side_comes_up_about_equally_often() {
        let dice = Dice::new(&SeededRandom::new(3));
        let mut counts = [0u32; 6];
        for _ in 0..6000 {
            counts[dice.below(6)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
