//! The decision: what stays, what goes, what comes, and why.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use berth_domain::deployment::Residency;
use berth_domain::id::{VersionId, WorkerId};

use super::history::{History, Track};
use super::rooms::{Room, Rooms};
use super::rules::Rules;
use super::situation::{Copy, Phase, Rollout, Situation, Version};
use super::{Decision, Lack, Load, LoadReason, Short, Unload, UnloadReason};

/// How urgent copies are, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Callers wait, and no copy answers or comes.
    Waited,
    Pinned,
    /// A change from one version to another waits for it.
    Coming,
    /// It should always be there.
    Kept,
    /// There should be more of it.
    More,
}

pub(super) struct Planner<'s> {
    rules: &'s Rules,
    now_ms: u64,
    situation: &'s Situation,
    history: &'s History,
    rooms: Rooms<'s>,
    copies: BTreeMap<(WorkerId, VersionId), &'s Copy>,
    versions: BTreeMap<VersionId, &'s Version>,
    /// Where copies are that failed, and stay if there is no better place.
    failed: BTreeMap<VersionId, Vec<WorkerId>>,
    decision: Decision,
}

/// A version of which copies are missing.
#[derive(Clone, Copy)]
struct Missing<'s> {
    version: &'s Version,
    urgency: Urgency,
    copies: u32,
}

impl<'s> Planner<'s> {
    pub(super) fn new(now_ms: u64, situation: &'s Situation, history: &'s History, rules: &'s Rules) -> Self {
        let mut rooms: Rooms<'s> = situation
            .seats
            .iter()
            .map(|seat| (seat.worker, Room::new(seat)))
            .collect();
        let versions: BTreeMap<VersionId, &Version> = situation
            .versions
            .iter()
            .map(|version| (version.version, version))
            .collect();
        let mut copies = BTreeMap::new();
        for copy in &situation.copies {
            let Some(room) = rooms.get_mut(&copy.worker) else {
                continue;
            };
            let bytes = taken(copy, versions.get(&copy.version).copied(), history);
            room.occupy(copy.version, bytes, copy.is_coming());
            copies.insert((copy.worker, copy.version), copy);
        }
        Self {
            rules,
            now_ms,
            situation,
            history,
            rooms,
            copies,
            versions,
            failed: BTreeMap::new(),
            decision: Decision::default(),
        }
    }

    pub(super) fn decide(mut self) -> Decision {
        let mut missing = Vec::new();
        for copy in self.copies.values().copied().collect::<Vec<_>>() {
            if !self.versions.contains_key(&copy.version) {
                self.unload(copy, UnloadReason::NotWanted);
            }
        }
        for version in &self.situation.versions {
            missing.extend(self.keep(version));
        }
        // Larger ones first, so that small ones do not take the only room that fits.
        missing.sort_by_key(|missing| {
            let bytes = self.needs_bytes(missing.version);
            (missing.urgency, Reverse(bytes), missing.version.version)
        });
        self.shed();
        for missing in missing {
            self.place(missing);
        }
        // What failed and has another place now.
        for (version, workers) in std::mem::take(&mut self.failed) {
            for worker in workers {
                if let Some(copy) = self.copies.get(&(worker, version)).copied() {
                    self.unload(copy, UnloadReason::Failed);
                }
            }
        }
        self.place_the_driven_out();
        self.decision.holdings = self
            .rooms
            .into_iter()
            .map(|(worker, room)| (worker, room.holds))
            .collect();
        self.decision
    }

    /// Says which copies stay; tells what is missing.
    fn keep(&mut self, version: &'s Version) -> Vec<Missing<'s>> {
        let goal = self.goal(version);
        let mut holders: Vec<&Copy> = Vec::new();
        let mut failed: Vec<WorkerId> = Vec::new();
        let mine: Vec<&Copy> = self
            .copies
            .values()
            .copied()
            .filter(|copy| copy.version == version.version)
            .collect();
        for copy in mine {
            let room = &self.rooms[&copy.worker];
            if !copy.assigned {
                self.gone(copy);
            } else if version.quarantined {
                self.unload(copy, UnloadReason::Quarantined);
            } else if room.seat.draining {
                self.unload(copy, UnloadReason::WorkerDrains);
            } else if !room.suits(version) {
                self.unload(copy, UnloadReason::Unsuitable);
            } else if self.situation.failed.contains(&(copy.worker, copy.version))
                || copy.phase == Phase::Failed
            {
                failed.push(copy.worker);
            } else {
                holders.push(copy);
            }
        }
        if version.quarantined {
            return Vec::new();
        }
        // Those that answer first, then those on the emptiest workers.
        holders.sort_by_key(|copy| {
            let left = self.rooms[&copy.worker].left();
            (!copy.is_ready(), !copy.in_use, -left, copy.worker)
        });
        let mut kept = 0;
        for copy in holders {
            let too_many = kept >= goal;
            let protected = kept < version.max && (copy.in_use || copy.is_coming());
            if too_many && !protected {
                let reason = if goal == 0 {
                    UnloadReason::Idle
                } else {
                    UnloadReason::ScaledDown
                };
                self.unload(copy, reason);
            } else {
                self.change(copy.worker, |room| room.stays(copy.version));
                kept += 1;
            }
        }
        let missing = goal.saturating_sub(kept);
        if missing == 0 {
            for worker in failed {
                if let Some(copy) = self.copies.get(&(worker, version.version)).copied() {
                    self.unload(copy, UnloadReason::Failed);
                }
            }
            return Vec::new();
        }
        self.failed.insert(version.version, failed);
        let waited = self.waited_ms(version).is_some();
        let mut urgent: BTreeMap<Urgency, u32> = BTreeMap::new();
        for place in kept..goal {
            *urgent.entry(urgency(version, place, waited)).or_default() += 1;
        }
        let missing = urgent.into_iter().map(|(urgency, copies)| Missing {
            version,
            urgency,
            copies,
        });
        missing.collect()
    }

    /// How many copies of a version there should be.
    fn goal(&self, version: &Version) -> u32 {
        if version.rollout == Rollout::Leaving {
            let there = self
                .situation
                .copies
                .iter()
                .filter(|copy| copy.version == version.version && copy.assigned);
            return u32::try_from(there.count()).unwrap_or(u32::MAX);
        }
        let track = self.history.of(version.version);
        let waited = self.waited_ms(version).is_some();
        let used = track.is_some_and(|track| track.used) || self.has_copy(version);
        let recent = |within_ms: u64| {
            let idle = track.map_or(0, |track| self.now_ms.saturating_sub(track.last_use_ms));
            waited || self.situation.blind || version.demand.outstanding > 0 || idle < within_ms
        };
        let least = match version.residency {
            Residency::Pinned => version.min.max(1),
            Residency::Shared if version.min > 0 => version.min,
            Residency::Shared => u32::from(used && recent(self.rules.idle_unload_ms)),
            Residency::Idle { unload_after_s } if recent(u64::from(unload_after_s) * 1000) => {
                version.min.max(u32::from(used))
            }
            Residency::Idle { .. } => 0,
        };
        let least = least.max(u32::from(waited || version.rollout == Rollout::Coming));
        let idle = least == 0;
        let needed = track.map_or(0, Track::needed);
        if idle {
            0
        } else {
            needed.max(least).min(version.max.max(least))
        }
    }

    fn has_copy(&self, version: &Version) -> bool {
        self.situation
            .copies
            .iter()
            .any(|copy| copy.version == version.version && copy.assigned)
    }

    /// Places what is missing, as far as it can be.
    fn place(&mut self, missing: Missing<'s>) {
        let Missing {
            version,
            urgency,
            copies,
        } = missing;
        let bytes = self.needs_bytes(version);
        let reason = match urgency {
            Urgency::Waited => LoadReason::CallersWait,
            Urgency::Coming => LoadReason::NewVersion,
            Urgency::More => LoadReason::ScaledUp,
            Urgency::Pinned | Urgency::Kept => LoadReason::Wanted,
        };
        let mut short = 0;
        let mut lack = None;
        for _ in 0..copies {
            if let Some(worker) = self.best(version, bytes, false) {
                self.load(worker, version, bytes, reason);
                continue;
            }
            // It has failed wherever there is room: it stays, since the fault may be its own.
            let failed = self.failed.get_mut(&version.version);
            if let Some(worker) = failed.and_then(Vec::pop) {
                self.change(worker, |room| room.stays(version.version));
                continue;
            }
            let may_take = matches!(urgency, Urgency::Waited | Urgency::Pinned);
            if may_take && self.make_place(version, bytes, urgency) {
                continue;
            }
            if let Some(worker) = self.best(version, bytes, true) {
                self.load(worker, version, bytes, reason);
                continue;
            }
            short += 1;
            lack = lack.or_else(|| self.lack(version, bytes));
        }
        // Who only waits for a turn to load lacks nothing.
        if let Some(lack) = lack {
            let told = self.decision.short.iter_mut();
            match told.into_iter().find(|told| told.version == version.version) {
                Some(told) => told.missing += short,
                None => self.decision.short.push(Short {
                    version: version.version,
                    missing: short,
                    resident_bytes: bytes,
                    lack,
                }),
            }
        }
    }

    /// Finds other places for what had to make room, where there are any.
    fn place_the_driven_out(&mut self) {
        let driven_out: Vec<VersionId> = self
            .decision
            .unloads
            .iter()
            .filter(|unload| matches!(unload.reason, UnloadReason::MadeRoom | UnloadReason::OverBudget))
            .map(|unload| unload.version)
            .collect();
        for version in &self.situation.versions {
            if !driven_out.contains(&version.version) {
                continue;
            }
            let rooms = self.rooms.values();
            let left = rooms.filter(|room| room.holds.contains(&version.version)).count();
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            let copies = self.goal(version).saturating_sub(left);
            self.place(Missing {
                version,
                urgency: Urgency::Kept,
                copies,
            });
        }
    }

    /// The worker with the most free memory of those that can load a copy now: of those on which it has not failed, or of all.
    fn best(&self, version: &Version, bytes: u64, even_failed: bool) -> Option<WorkerId> {
        self.rooms
            .iter()
            .filter(|(_, room)| room.is_open(version, self.rules) && room.fits(bytes))
            .filter(|(worker, _)| {
                even_failed || !self.situation.failed.contains(&(**worker, version.version))
            })
            .max_by_key(|(worker, room)| (room.left(), Reverse(**worker)))
            .map(|(worker, _)| *worker)
    }

    /// Sees to it that there will be room for a copy: by waiting for what is on its way out, or by unloading what is worth
    /// least. Tells whether there will be.
    fn make_place(&mut self, version: &Version, bytes: u64, urgency: Urgency) -> bool {
        let open = |room: &Room<'_>| room.is_open(version, self.rules);
        let leaving = self
            .rooms
            .iter()
            .filter(|(_, room)| open(room) && room.left() >= i128::from(bytes))
            .min_by_key(|(_, room)| room.left())
            .map(|(worker, _)| *worker);
        if let Some(worker) = leaving {
            self.change(worker, |room| room.promise(bytes));
            return true;
        }
        let cheapest = self
            .rooms
            .iter()
            .filter(|(_, room)| open(room))
            .filter_map(|(worker, room)| {
                let lacking = i128::from(bytes) - room.left();
                let (victims, worth) = self.victims(*worker, lacking, Some((version, urgency)))?;
                Some((worth, *worker, victims))
            })
            .min_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let Some((_, worker, victims)) = cheapest else {
            return false;
        };
        for copy in victims {
            self.unload(copy, UnloadReason::MadeRoom);
        }
        self.change(worker, |room| room.promise(bytes));
        true
    }

    /// The copies on a worker that are worth least and together take so much, and what they are worth.
    fn victims(
        &self,
        worker: WorkerId,
        lacking: i128,
        for_whom: Option<(&Version, Urgency)>,
    ) -> Option<(Vec<&'s Copy>, f64)> {
        let room = &self.rooms[&worker];
        let mut candidates: Vec<(f64, &Copy)> = room
            .holds
            .iter()
            .filter_map(|version| self.copies.get(&(worker, *version)).copied())
            .filter_map(|copy| Some((self.worth(self.versions.get(&copy.version)?), copy)))
            .filter(|(worth, copy)| self.may_go(copy, *worth, for_whom))
            .collect();
        candidates.sort_by(|one, other| {
            one.0
                .total_cmp(&other.0)
                .then(one.1.version.cmp(&other.1.version))
        });
        let mut victims = Vec::new();
        let mut given = 0;
        let mut worth = 0.0;
        for (value, copy) in candidates {
            if given >= lacking {
                break;
            }
            given += i128::from(self.bytes_of(copy));
            worth += value * weight(self.bytes_of(copy));
            victims.push(copy);
        }
        (given >= lacking).then_some((victims, worth))
    }

    /// Whether a copy may be unloaded to make room.
    fn may_go(&self, copy: &Copy, worth: f64, for_whom: Option<(&Version, Urgency)>) -> bool {
        let Some(version) = self.versions.get(&copy.version) else {
            return false;
        };
        let settled = match copy.phase {
            Phase::Ready => self.history.resided_ms(self.now_ms, copy) >= self.rules.min_residency_ms,
            Phase::Failed => true,
            Phase::Told | Phase::Loading | Phase::Draining => false,
        };
        let patience_ended = for_whom.is_some_and(|(waiting, _)| {
            self.waited_ms(waiting)
                .is_some_and(|waited| waited >= self.rules.patience_ms)
        });
        let quiet = patience_ended
            || self.history.of(copy.version).is_none_or(|track| {
                !track.used || self.now_ms.saturating_sub(track.last_use_ms) >= self.rules.quiet_ms
            });
        let worth_less = for_whom.is_none_or(|(waiting, urgency)| {
            urgency == Urgency::Pinned || patience_ended || worth < self.worth(waiting)
        });
        settled
            && quiet
            && worth_less
            && !copy.in_use
            && version.demand.waiting == 0
            && !self.situation.blind
            && version.residency != Residency::Pinned
            && version.rollout == Rollout::None
    }

    /// What a copy is worth for each byte: what it costs to load it again, times how likely that is soon.
    fn worth(&self, version: &Version) -> f64 {
        let heat = self
            .history
            .of(version.version)
            .map_or(0.0, |track| track.heat(self.now_ms, self.rules));
        let copies = self.situation.copies.iter();
        let ready = copies.filter(|copy| copy.version == version.version && copy.is_ready());
        let copies = f64::from(u32::try_from(ready.count()).unwrap_or(u32::MAX).max(1));
        heat * weight(version.load_ms) / weight(self.needs_bytes(version)) / copies
    }

    /// Unloads what is worth least where copies have grown beyond what the worker may use.
    fn shed(&mut self) {
        let over: Vec<(WorkerId, i128)> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.left() < 0)
            .map(|(worker, room)| (*worker, -room.left()))
            .collect();
        for (worker, lacking) in over {
            let victims = self.victims(worker, lacking, None);
            for copy in victims.map(|(victims, _)| victims).unwrap_or_default() {
                self.unload(copy, UnloadReason::OverBudget);
            }
        }
    }

    /// Why a copy has no place; `None` when it only waits for its turn to load.
    fn lack(&self, version: &Version, bytes: u64) -> Option<Lack> {
        if self.rooms.values().all(|room| room.seat.draining) {
            return Some(Lack::NoWorker);
        }
        let mut suiting = self.rooms.values().filter(|room| room.suits(version)).peekable();
        if suiting.peek().is_none() {
            return Some(Lack::NoSuchWorker);
        }
        let fits_somewhere = self
            .rooms
            .values()
            .any(|room| room.suits(version) && i128::from(room.seat.memory_bytes) >= i128::from(bytes));
        if !fits_somewhere {
            return Some(Lack::TooLarge);
        }
        let waits = suiting.any(|room| {
            !room.is_open(version, self.rules)
                && room.left() >= i128::from(bytes)
                && !room.holds.contains(&version.version)
        });
        (!waits).then_some(Lack::NoRoom)
    }

    fn load(&mut self, worker: WorkerId, version: &Version, bytes: u64, reason: LoadReason) {
        self.change(worker, |room| room.takes(version.version, bytes));
        self.decision.loads.push(Load {
            worker,
            version: version.version,
            reason,
        });
    }

    fn unload(&mut self, copy: &Copy, reason: UnloadReason) {
        self.gone(copy);
        if copy.assigned {
            self.decision.unloads.push(Unload {
                worker: copy.worker,
                version: copy.version,
                reason,
            });
        }
    }

    fn gone(&mut self, copy: &Copy) {
        let bytes = self.bytes_of(copy);
        self.change(copy.worker, |room| room.leaves(copy.version, bytes));
    }

    /// Changes the room of a worker that is there.
    fn change(&mut self, worker: WorkerId, change: impl FnOnce(&mut Room<'s>)) {
        if let Some(room) = self.rooms.get_mut(&worker) {
            change(room);
        }
    }

    fn bytes_of(&self, copy: &Copy) -> u64 {
        taken(copy, self.versions.get(&copy.version).copied(), self.history)
    }

    fn needs_bytes(&self, version: &Version) -> u64 {
        needs(version, self.history)
    }

    /// How long callers have waited for a first copy.
    fn waited_ms(&self, version: &Version) -> Option<u64> {
        if version.demand.waiting == 0 {
            return None;
        }
        let since = self.history.of(version.version)?.waiting_since_ms?;
        Some(self.now_ms.saturating_sub(since))
    }
}

/// What a new copy will take: what was measured when the version was proved, or more if copies took more.
fn needs(version: &Version, history: &History) -> u64 {
    let seen = history
        .of(version.version)
        .map_or(0, |track| track.resident_bytes);
    version.resident_bytes.max(seen)
}

/// What a copy takes: what was measured of it, and before that what a new one will take.
fn taken(copy: &Copy, version: Option<&Version>, history: &History) -> u64 {
    let expected = version.map_or(0, |version| needs(version, history));
    match copy.phase {
        Phase::Ready | Phase::Draining if copy.resident_bytes > 0 => copy.resident_bytes,
        _ => copy.resident_bytes.max(expected),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a weight needs no more than 52 bits")]
fn weight(number: u64) -> f64 {
    number.max(1) as f64
}

/// How urgent the copy of a version is that comes after so many others. Who waits is helped by the first.
fn urgency(version: &Version, place: u32, waited: bool) -> Urgency {
    if place == 0 && waited {
        Urgency::Waited
    } else if place < version.min && version.residency == Residency::Pinned {
        Urgency::Pinned
    } else if place == 0 && version.rollout == Rollout::Coming {
        Urgency::Coming
    } else if place < version.min.max(1) {
        Urgency::Kept
    } else {
        Urgency::More
    }
}
