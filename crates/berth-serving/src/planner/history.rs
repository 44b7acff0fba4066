//! What the planner remembers from one moment to the next. All of it can be lost: who begins anew unloads later than it might.

use std::collections::{BTreeMap, VecDeque};

use berth_domain::id::{VersionId, WorkerId};

use super::rules::Rules;
use super::situation::{Copy, Situation, Version};

/// What the planner remembers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    versions: BTreeMap<VersionId, Track>,
    /// Since when copies answer.
    ready_since: BTreeMap<(WorkerId, VersionId), u64>,
}

/// What is remembered of a version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Track {
    /// When it was last looked at.
    seen_ms: u64,
    /// When it was last called; at first, when it was first seen.
    pub(super) last_use_ms: u64,
    /// Whether it was ever called.
    pub(super) used: bool,
    /// Since when callers find no copy.
    pub(super) waiting_since_ms: Option<u64>,
    /// Seconds in which it was called, the later ones weighing more.
    heat: f64,
    /// Requests under way, averaged.
    concurrency: f64,
    /// How many copies were needed, and when; ever fewer.
    needed: VecDeque<(u64, u32)>,
    /// The most memory that a copy was seen to take.
    pub(super) resident_bytes: u64,
}

impl Track {
    /// The heat at `now_ms`.
    pub(super) fn heat(&self, now_ms: u64, rules: &Rules) -> f64 {
        self.heat * decay(now_ms.saturating_sub(self.seen_ms), rules.half_life_ms)
    }

    /// How many copies were needed at any moment that still counts.
    pub(super) fn needed(&self) -> u32 {
        self.needed.front().map_or(0, |(_, copies)| *copies)
    }

    fn note_needed(&mut self, now_ms: u64, copies: u32, window_ms: u64) {
        while self.needed.back().is_some_and(|(_, earlier)| *earlier <= copies) {
            self.needed.pop_back();
        }
        self.needed.push_back((now_ms, copies));
        while self
            .needed
            .front()
            .is_some_and(|(at, _)| now_ms.saturating_sub(*at) > window_ms)
        {
            self.needed.pop_front();
        }
    }
}

impl History {
    /// Takes note of what is seen at `now_ms`. Seeing the same twice at one moment is as good as once.
    pub fn observe(&mut self, now_ms: u64, situation: &Situation, rules: &Rules) {
        let by_version = by_version(situation);
        let nothing = Vec::new();
        let mut versions = std::mem::take(&mut self.versions);
        for version in &situation.versions {
            let copies = by_version.get(&version.version).unwrap_or(&nothing);
            let begun = !versions.contains_key(&version.version);
            let mut track = versions.remove(&version.version).unwrap_or_default();
            if begun {
                track.seen_ms = now_ms;
                track.last_use_ms = now_ms;
                // Who begins anew takes what there is for what was needed.
                let there = copies.iter().filter(|copy| copy.assigned).count();
                track.note_needed(
                    now_ms,
                    u32::try_from(there).unwrap_or(u32::MAX),
                    rules.scale_down_after_ms,
                );
            }
            track.look(now_ms, version, copies, rules);
            self.versions.insert(version.version, track);
        }
        let ready = situation.copies.iter().filter(|copy| copy.is_ready());
        let before = std::mem::take(&mut self.ready_since);
        self.ready_since = ready
            .map(|copy| {
                let place = (copy.worker, copy.version);
                (place, before.get(&place).copied().unwrap_or(now_ms))
            })
            .collect();
    }

    pub(super) fn of(&self, version: VersionId) -> Option<&Track> {
        self.versions.get(&version)
    }

    /// For how long a copy answers.
    pub(super) fn resided_ms(&self, now_ms: u64, copy: &Copy) -> u64 {
        self.ready_since
            .get(&(copy.worker, copy.version))
            .map_or(0, |since| now_ms.saturating_sub(*since))
    }
}

impl Track {
    fn look(&mut self, now_ms: u64, version: &Version, copies: &[&Copy], rules: &Rules) {
        let demand = version.demand;
        let busy = demand.outstanding > 0 || demand.waiting > 0;
        let passed_ms = now_ms.saturating_sub(self.seen_ms);
        let called = match demand.last_use_ms {
            Some(at) => at > self.last_use_ms || !self.used,
            None => false,
        };
        self.heat = self.heat(now_ms, rules);
        if called || (busy && passed_ms > 0) {
            // A second counts once, however many calls there were in it.
            let since_ms = now_ms.saturating_sub(self.last_use_ms);
            self.heat += if self.used {
                seconds(since_ms.min(passed_ms)).min(1.0)
            } else {
                1.0
            };
            self.used = true;
            let at = if busy { Some(now_ms) } else { demand.last_use_ms };
            self.last_use_ms = at.unwrap_or(now_ms).max(self.last_use_ms);
        }

        let there = copies.iter().any(|copy| copy.is_ready());
        self.waiting_since_ms = match self.waiting_since_ms {
            _ if demand.waiting == 0 || there => None,
            Some(since) => Some(since),
            None => Some(now_ms),
        };

        let under_way = f64::from(demand.outstanding.saturating_add(demand.waiting));
        let kept = decay(passed_ms, rules.average_over_ms);
        self.concurrency = if self.concurrency == 0.0 {
            under_way
        } else {
            self.concurrency * kept + under_way * (1.0 - kept)
        };
        if self.concurrency < 0.01 {
            self.concurrency = 0.0;
        }
        let needed = needed(self.concurrency, version, copies, rules);
        self.note_needed(now_ms, needed, rules.scale_down_after_ms);
        self.resident_bytes = copies
            .iter()
            .map(|copy| copy.resident_bytes)
            .fold(self.resident_bytes, u64::max);
        self.seen_ms = now_ms;
    }
}

/// How many copies so many requests under way need: so many for each, and one more while requests wait too long in those that
/// there are.
fn needed(concurrency: f64, version: &Version, copies: &[&Copy], rules: &Rules) -> u32 {
    let target = f64::from(
        version
            .target_concurrency
            .unwrap_or(rules.target_concurrency)
            .max(1),
    );
    // A tenth too many is put up with.
    let by_concurrency = whole((concurrency / target - 0.1).ceil());
    let ready = u32::try_from(copies.iter().filter(|copy| copy.is_ready()).count()).unwrap_or(u32::MAX);
    let by_wait = if ready > 0 && version.demand.queue_wait_us > rules.queue_wait_limit_us {
        ready.saturating_add(1)
    } else {
        0
    };
    by_concurrency.max(by_wait).min(version.max)
}

fn by_version(situation: &Situation) -> BTreeMap<VersionId, Vec<&Copy>> {
    let mut by_version: BTreeMap<VersionId, Vec<&Copy>> = BTreeMap::new();
    for copy in &situation.copies {
        by_version.entry(copy.version).or_default().push(copy);
    }
    by_version
}

/// What is left of something after a time, where half is left after `half_life_ms`.
fn decay(passed_ms: u64, half_life_ms: u64) -> f64 {
    (-seconds(passed_ms) / seconds(half_life_ms.max(1))).exp2()
}

#[expect(clippy::cast_precision_loss, reason = "a weight needs no more than 52 bits")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is brought within the bounds first"
)]
fn whole(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX)) as u32
}
