//! Which changes of a counter in the database a node has followed by what was pushed to it.
//!
//! A push carries the value that the counter has after the change. A node that got every push knows, when it reads the
//! counter, that it has missed nothing, and may keep what it has cached of everything else.

use std::collections::BTreeSet;

/// Pushes that came before the ones that precede them wait here; more than this many are not worth keeping.
const AHEAD: usize = 1024;

/// The counter's value up to which every change was followed.
#[derive(Debug, Default)]
pub struct Applied {
    /// `None` before the counter was read for the first time.
    value: Option<i64>,
    /// Values beyond it whose changes were followed too.
    ahead: BTreeSet<i64>,
}

impl Applied {
    /// The change with this value was followed.
    pub fn pushed(&mut self, value: i64) {
        let Some(applied) = self.value else {
            return;
        };
        if value > applied && self.ahead.len() < AHEAD {
            self.ahead.insert(value);
            self.close_up(applied);
        }
    }

    /// Up to where every change was followed; taken before the counter is asked, for [`Applied::read`].
    pub fn value(&self) -> Option<i64> {
        self.value
    }

    /// The counter was found at `value`, by a question that was put when this node had followed up to `known`. Tells
    /// whether every change up to it was followed; if not, the caller must drop all it has cached, and then has
    /// followed them.
    #[must_use]
    pub fn read(&mut self, value: i64, known: Option<i64>) -> bool {
        // A value below the present one is an answer that was overtaken by a push; one below what was known before the
        // question means that the database was set back, and nothing that is known of it holds.
        if self.value.is_some_and(|applied| value <= applied) && known.is_some_and(|known| known <= value) {
            return true;
        }
        self.value = Some(value);
        self.ahead = self.ahead.split_off(&(value + 1));
        self.close_up(value);
        false
    }

    /// Pushes were lost: what comes next is no longer known to follow.
    pub fn missed(&mut self) {
        self.ahead.clear();
    }

    fn close_up(&mut self, mut applied: i64) {
        while self.ahead.first() == Some(&(applied + 1)) {
            self.ahead.pop_first();
            applied += 1;
        }
        self.value = Some(applied);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: i64) -> Applied {
        let mut applied = Applied::default();
        assert!(!read(&mut applied, value), "the first reading knows of nothing");
        applied
    }

    /// Asks and is answered at once.
    fn read(applied: &mut Applied, value: i64) -> bool {
        applied.read(value, applied.value())
    }

    #[test]
    fn counter_that_stands_still_tells_nothing_new() {
        let mut applied = at(5);
        assert!(read(&mut applied, 5));
    }

    #[test]
    fn change_without_its_push_was_missed() {
        let mut applied = at(5);
        assert!(!read(&mut applied, 6));
        assert!(read(&mut applied, 6));
    }

    #[test]
    fn pushed_changes_were_followed_in_whatever_order_they_came() {
        let mut applied = at(5);
        for value in [7, 6, 8] {
            applied.pushed(value);
        }
        assert!(read(&mut applied, 8));
    }

    #[test]
    fn push_that_overtakes_an_answer_is_no_miss() {
        let mut applied = at(5);
        let known = applied.value();
        applied.pushed(6);
        assert!(applied.read(5, known));
        assert!(read(&mut applied, 6));
    }

    #[test]
    fn gap_between_pushes_is_noticed() {
        let mut applied = at(5);
        applied.pushed(7);
        assert!(!read(&mut applied, 7));
        applied.pushed(8);
        assert!(read(&mut applied, 8));
    }

    #[test]
    fn push_ahead_of_the_counter_is_kept_over_a_miss() {
        let mut applied = at(5);
        applied.pushed(8);
        assert!(!read(&mut applied, 7));
        assert!(read(&mut applied, 8));
    }

    #[test]
    fn lost_pushes_leave_what_comes_next_in_doubt() {
        let mut applied = at(5);
        applied.pushed(7);
        applied.missed();
        applied.pushed(6);
        assert!(!read(&mut applied, 7));
    }

    #[test]
    fn database_that_was_set_back_makes_everything_doubtful() {
        let mut applied = at(50);
        assert!(!read(&mut applied, 49));
        assert!(!read(&mut applied, 50));
    }

    #[test]
    fn pushes_before_the_first_reading_do_not_count() {
        let mut applied = Applied::default();
        applied.pushed(1);
        assert!(!read(&mut applied, 1));
    }
}
