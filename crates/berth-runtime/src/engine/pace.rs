//! When to wait for more before a run.
//!
//! Dispatching whatever is there as soon as a run ends falls into step with callers who ask again when they are answered:
//! one of them runs alone while the others wait, then all but that one, and so on; half of the runs are tiny and the
//! slowest answers take twice the usual time. A fixed wait cures that and costs a single caller that much each time. So the
//! wait is only there when it pays: after a run has left, its callers are probably back soon. It ends when as many wait as
//! were recently there together, and at the latest after a small part of the time that a run takes. A caller who is alone is
//! never kept waiting; and where callers do not come back (requests that arrive whatever the answers are), that is learned,
//! and nobody waits.

use std::time::{Duration, Instant};

/// The wait is at most this part of a run.
const PART_OF_RUN: u32 = 4;

/// A wait that is shorter is not worth a thread's sleep.
const SHORTEST: Duration = Duration::from_micros(100);

/// Callers wait for others when at least this part of them is known to come back.
const ENOUGH: f64 = 0.5;

/// Decides about one model.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    /// The part of those answered that came back in time, lately.
    returning: f64,
    /// The last run that left.
    left: Option<Left>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    answered: usize,
    returned: usize,
    /// Until then callers count as those that came back.
    until: Instant,
    /// How many should wait before the next run begins; 0 for no wait.
    expected: usize,
}

impl Pace {
    /// A pace that never waits longer than this.
    pub(super) const fn new(longest: Duration) -> Self {
        Self {
            longest,
            returning: 1.0,
            left: None,
        }
    }

    /// Somebody asks.
    pub(super) fn arrive(&mut self, now: Instant) {
        if let Some(left) = &mut self.left
            && now <= left.until
        {
            left.returned += 1;
        }
    }

    /// A run that answers so many ends, while others wait. Runs take about `run`.
    pub(super) fn leave(&mut self, now: Instant, answered: usize, waiting: usize, run: Option<Duration>) {
        if let Some(left) = self.left
            && left.answered > 0
        {
            #[expect(clippy::cast_precision_loss, reason = "there are not that many callers")]
            let returned = left.returned.min(left.answered) as f64 / left.answered.max(1) as f64;
            self.returning += 0.25 * (returned - self.returning);
        }
        let wait = run
            .map_or(Duration::ZERO, |run| run / PART_OF_RUN)
            .min(self.longest);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "there are not that many callers"
        )]
        let coming = (answered as f64 * self.returning).round() as usize;
        let pays = wait >= SHORTEST && self.returning >= ENOUGH;
        self.left = Some(Left {
            answered,
            returned: 0,
            until: now + wait,
            expected: if pays { waiting + coming } else { 0 },
        });
    }

    /// Until when to wait although so many are there; `None` to begin.
    pub(super) fn hold(&self, now: Instant, waiting: usize) -> Option<Instant> {
        let left = self.left?;
        (waiting < left.expected && now < left.until).then_some(left.until)
    }

    /// A run of so many began after a wait, out of so many that were there: when they could not share it, the wait was in
    /// vain.
    pub(super) fn held(&mut self, taken: usize, waiting: usize) {
        if taken == 1 && waiting > 1 {
            self.returning *= 0.5;
        }
    }

    /// Whether several callers were there together lately.
    pub(super) fn is_crowded(&self) -> bool {
        self.left.is_some_and(|left| left.answered > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Option<Duration> = Some(Duration::from_millis(40));

    fn pace() -> (Pace, Instant) {
        (Pace::new(Duration::from_millis(5)), Instant::now())
    }

    #[test]
    fn caller_alone_never_waits() {
        let (mut pace, now) = pace();
        assert_eq!(pace.hold(now, 1), None);
        pace.leave(now, 1, 0, RUN);
        pace.arrive(now);
        assert_eq!(pace.hold(now, 1), None);
    }

    #[test]
    fn wait_ends_when_all_are_back_and_never_lasts() {
        let (mut pace, now) = pace();
        // Seven are answered and one waits: eight were there.
        pace.leave(now, 7, 1, RUN);
        let until = pace.hold(now, 1).expect("waits");
        assert_eq!(until, now + Duration::from_millis(5));
        assert!(pace.hold(now, 7).is_some());
        assert_eq!(pace.hold(now, 8), None);
        assert_eq!(pace.hold(until, 1), None);
        // A quarter of a short run is shorter.
        pace.leave(now, 8, 0, Some(Duration::from_millis(4)));
        assert_eq!(pace.hold(now, 1), Some(now + Duration::from_millis(1)));
        pace.leave(now, 8, 0, Some(Duration::from_micros(40)));
        assert_eq!(pace.hold(now, 1), None, "not worth it");
    }

    #[test]
    fn callers_who_do_not_come_back_are_not_waited_for() {
        let (mut pace, mut now) = pace();
        let mut waits = Vec::new();
        for _ in 0..12 {
            pace.leave(now, 4, 0, RUN);
            waits.push(pace.hold(now, 1).is_some());
            // One of four comes in time, the others later.
            pace.arrive(now);
            now += Duration::from_millis(40);
            for _ in 0..3 {
                pace.arrive(now);
            }
        }
        assert!(waits[0]);
        assert!(!waits[11], "{waits:?}");
        // They do again.
        for _ in 0..12 {
            pace.leave(now, 4, 0, RUN);
            for _ in 0..4 {
                pace.arrive(now);
            }
            now += Duration::from_millis(40);
        }
        assert!(pace.hold(now, 0).is_none());
        pace.leave(now, 4, 0, RUN);
        assert!(pace.hold(now, 1).is_some());
    }

    #[test]
    fn wait_for_those_who_cannot_share_is_given_up() {
        let (mut pace, now) = pace();
        pace.leave(now, 4, 0, RUN);
        assert!(pace.hold(now, 2).is_some());
        pace.held(1, 4);
        pace.held(1, 4);
        pace.leave(now, 4, 0, RUN);
        assert!(pace.hold(now, 2).is_none());
    }
}
