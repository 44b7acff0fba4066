//! How recently this node heard of changes to keys. What it has cached may be used while that is not too long ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Remembers up to which moment every change is known. Two ways lead here: the counter in the database, and the push
/// through coordination; the later of both counts.
#[derive(Debug)]
pub(super) struct Freshness {
    limit: Duration,
    begin: Instant,
    /// Nanoseconds from `begin`; zero while nothing was heard.
    counter: AtomicU64,
    push: AtomicU64,
}

impl Freshness {
    /// Nothing heard yet; what was heard holds for `limit`.
    pub(super) fn new(limit: Duration, begin: Instant) -> Self {
        Self {
            limit,
            begin,
            counter: AtomicU64::new(0),
            push: AtomicU64::new(0),
        }
    }

    /// The counter was read, and changes followed, by a question that was put at `asked`.
    pub(super) fn heard_counter(&self, asked: Instant) {
        self.counter.fetch_max(self.since_begin(asked), Ordering::Release);
    }

    /// A heartbeat that this node published at `sent` came back to it, and so did everything published before.
    pub(super) fn heard_push(&self, sent: Instant) {
        self.push.fetch_max(self.since_begin(sent), Ordering::Release);
    }

    /// Whether everything that changed longer than the limit before `now` is known.
    pub(super) fn holds(&self, now: Instant) -> bool {
        let heard = self
            .counter
            .load(Ordering::Acquire)
            .max(self.push.load(Ordering::Acquire));
        heard > 0 && self.since_begin(now).saturating_sub(heard) <= nanos(self.limit)
    }

    /// Whether the counter was last read longer than `age` before `now`.
    pub(super) fn counter_is_older_than(&self, age: Duration, now: Instant) -> bool {
        self.since_begin(now)
            .saturating_sub(self.counter.load(Ordering::Acquire))
            > nanos(age)
    }

    fn since_begin(&self, moment: Instant) -> u64 {
        // At least one, as zero means that nothing was heard.
        nanos(moment.saturating_duration_since(self.begin)).max(1)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_holds_before_anything_was_heard() {
        let begin = Instant::now();
        let freshness = Freshness::new(SECOND, begin);
        assert!(!freshness.holds(begin));
    }

    #[test]
    fn what_was_heard_holds_for_a_second_from_the_question() {
        let begin = Instant::now();
        let freshness = Freshness::new(SECOND, begin);
        freshness.heard_counter(begin);
        assert!(freshness.holds(begin + SECOND));
        assert!(!freshness.holds(begin + SECOND + Duration::from_millis(1)));
    }

    #[test]
    fn either_way_of_hearing_is_enough() {
        let begin = Instant::now();
        let freshness = Freshness::new(SECOND, begin);
        freshness.heard_counter(begin);
        freshness.heard_push(begin + 3 * SECOND);
        assert!(freshness.holds(begin + 4 * SECOND));
        assert!(freshness.counter_is_older_than(3 * SECOND, begin + 4 * SECOND));
        freshness.heard_counter(begin + 6 * SECOND);
        assert!(freshness.holds(begin + 7 * SECOND));
        assert!(!freshness.counter_is_older_than(3 * SECOND, begin + 7 * SECOND));
    }

    #[test]
    fn late_answer_to_an_early_question_takes_nothing_back() {
        let begin = Instant::now();
        let freshness = Freshness::new(SECOND, begin);
        freshness.heard_counter(begin + 2 * SECOND);
        freshness.heard_counter(begin);
        assert!(freshness.holds(begin + 3 * SECOND));
    }
}
