//! How large a run is best, learned from the runs that were.
//!
//! More rows in a run are not always better: on a processor the values of many rows fall out of its caches, and a run of
//! sixteen can take longer than sixteen runs of one; on a device large runs are cheaper by far. So the cost of a weight is
//! kept for each size (powers of two), and runs are as large as the smallest size that is about as cheap as the cheapest.
//! The next smaller and the next larger one are tried at once when they never were, and again from time to time. What waits
//! is divided into runs of about that size, so that none is left with the crumbs.

use std::time::Duration;

/// What is no more than this dearer than the cheapest counts as cheap: smaller runs answer sooner and share better.
const ABOUT: f64 = 1.03;

/// After so many runs of the best size a neighbor is tried.
const TRY_AFTER: u32 = 1000;

/// What is known about the sizes of one model's runs.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Nanoseconds for a weight, in runs of about `2^index`.
    costs: Vec<Option<f64>>,
    most: u64,
    best: usize,
    since_try: u32,
    larger_next: bool,
    /// Nanoseconds for a weight, in the runs that were.
    recent: Option<f64>,
    /// Nanoseconds of a whole run.
    run: Option<f64>,
    runs: u32,
}

impl Sizes {
    /// Nothing is known yet, runs of about this weight are a good guess, and none may weigh more than `most`.
    pub(super) fn starting_at(weight: u64, most: u64) -> Self {
        Self {
            most: most.max(1),
            costs: Vec::new(),
            best: size_of(weight.min(most)),
            since_try: 0,
            larger_next: false,
            recent: None,
            run: None,
            runs: 0,
        }
    }

    /// The most that the next run should weigh, when so much waits.
    pub(super) fn limit(&self, waiting: u64) -> u64 {
        let usual = self.usual();
        // As many runs as come closest to the best size, all alike.
        let runs = (waiting + usual / 2) / usual;
        waiting.div_ceil(runs.max(1)).max(usual)
    }

    /// Whether what waits needs more than one run anyway, so that there is no use in waiting for more.
    pub(super) fn is_plenty(&self, waiting: u64) -> bool {
        let usual = self.usual();
        waiting >= usual + usual / 2
    }

    /// What a run should weigh.
    pub(super) fn usual(&self) -> u64 {
        let smaller = self.best.saturating_sub(1);
        let larger = (self.best + 1).min(size_of(self.most));
        let size = if !self.is_known(self.best) {
            self.best
        } else if !self.is_known(smaller) {
            smaller
        } else if !self.is_known(larger) {
            larger
        } else if self.since_try < TRY_AFTER {
            self.best
        } else if self.larger_next {
            larger
        } else {
            smaller
        };
        (1u64 << size.min(40)).min(self.most)
    }

    /// A run of this weight took so long.
    pub(super) fn learn(&mut self, weight: u64, took: Duration) {
        let weight = weight.max(1);
        let size = size_of(weight);
        #[expect(clippy::cast_precision_loss, reason = "weights are far below 2^52")]
        let cost = took.as_secs_f64() * 1e9 / weight as f64;
        if self.costs.len() <= size {
            self.costs.resize(size + 1, None);
        }
        // Slow runs are often the machine's doing, quick ones never.
        let slot = &mut self.costs[size];
        *slot = Some(match *slot {
            None => cost,
            Some(known) if cost < known => known + 0.3 * (cost - known),
            Some(known) => known + 0.1 * (cost.min(4.0 * known) - known),
        });
        blend(&mut self.recent, cost);
        blend(&mut self.run, took.as_secs_f64() * 1e9);
        self.runs = self.runs.saturating_add(1);
        if self.since_try >= TRY_AFTER && size != self.best {
            self.since_try = 0;
            self.larger_next = !self.larger_next;
        } else {
            self.since_try = self.since_try.saturating_add(1);
        }
        self.choose();
    }

    /// How long work of this weight is expected to take, in nanoseconds.
    pub(super) fn cost(&self, weight: u64) -> Option<u64> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate, positive and far below 2^52"
        )]
        self.recent.map(|cost| (cost * weight as f64) as u64)
    }

    /// How long a run takes these days.
    pub(super) fn run(&self) -> Option<Duration> {
        self.run
            .map(|nanoseconds| Duration::from_secs_f64(nanoseconds / 1e9))
    }

    /// Whether there were enough runs to turn somebody away for what they say.
    pub(super) const fn is_sure(&self) -> bool {
        self.runs >= 8
    }

    fn is_known(&self, size: usize) -> bool {
        self.costs.get(size).is_some_and(Option::is_some)
    }

    fn choose(&mut self) {
        // Small runs say nothing while there was no reason for larger ones.
        if !self.is_known(self.best) {
            return;
        }
        let cheapest = self.costs.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let cheap = |cost: &Option<f64>| cost.is_some_and(|cost| cost <= cheapest * ABOUT);
        if let Some(best) = self.costs.iter().position(cheap)
            && best != self.best
        {
            self.best = best;
            self.since_try = 0;
        }
    }
}

/// The power of two that this weight is nearest to.
fn size_of(weight: u64) -> usize {
    let weight = weight.max(1);
    let below = weight.ilog2();
    let nearer_above = u128::from(weight).pow(2) >= 2 << (2 * below);
    usize::try_from(below).unwrap_or(0) + usize::from(nearer_above)
}

fn blend(slot: &mut Option<f64>, value: f64) {
    *slot = Some(slot.map_or(value, |known| known + 0.25 * (value - known)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs as large as they may be; gives the limit in the end.
    fn grown(runs: usize, most: u64, cost: impl Fn(u64) -> f64) -> (u64, Sizes) {
        let mut sizes = Sizes::starting_at(4, most);
        for _ in 0..runs {
            let weight = sizes.usual();
            sizes.learn(weight, Duration::from_secs_f64(cost(weight) / 1e6));
        }
        (1 << sizes.best, sizes)
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    #[test]
    fn size_grows_as_long_as_it_pays() {
        // A fixed cost and little for each row: as large as it may be, soon.
        assert_eq!(grown(14, 64, |rows| 20.0 + 0.05 * rows as f64).0, 64);
        // Each row costs the same: one at a time.
        assert_eq!(grown(200, 64, |rows| 50.0 * rows as f64).0, 1);
        // Cheapest at 8.
        let (best, sizes) = grown(500, 64, |rows| {
            5000.0 + 9000.0 * rows as f64 + 150.0 * (rows as f64).powi(2)
        });
        assert!(best == 4 || best == 8, "{best}");
        assert!(sizes.is_sure());
    }

    #[test]
    fn what_waits_is_divided_evenly() {
        let mut sizes = Sizes::starting_at(16, 64);
        for weight in [8, 16, 32] {
            sizes.learn(
                weight,
                Duration::from_micros(if weight == 16 { 10 } else { 1000 }),
            );
        }
        assert_eq!(
            [1, 16, 20, 23].map(|waiting| sizes.limit(waiting)),
            [16, 16, 20, 23]
        );
        assert_eq!([24, 40, 48].map(|waiting| sizes.limit(waiting)), [16, 16, 16]);
        assert_eq!((sizes.is_plenty(23), sizes.is_plenty(24)), (false, true));
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    #[test]
    fn one_slow_run_does_not_keep_a_good_size_from_being_used() {
        let (_, mut sizes) = grown(50, 64, |rows| 100.0 + rows as f64);
        sizes.learn(64, Duration::from_millis(100));
        for _ in 0..8000 {
            let weight = sizes.usual();
            sizes.learn(weight, Duration::from_secs_f64((100.0 + weight as f64) / 1e6));
        }
        assert_eq!(1 << sizes.best, 64);
    }
}
