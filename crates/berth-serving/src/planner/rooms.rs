//! The workers' memory while a plan is made.

use std::collections::{BTreeMap, BTreeSet};

use berth_domain::id::{VersionId, WorkerId};

use super::rules::Rules;
use super::situation::{Seat, Version};

/// A worker's memory, and what is on it.
#[derive(Debug)]
pub(super) struct Room<'s> {
    pub(super) seat: &'s Seat,
    /// What is left when everything counts that is there.
    free: i128,
    /// What will be left besides, when everything has gone that is on its way out, and is not promised to anyone.
    coming_free: i128,
    /// How many copies are being loaded.
    loads: u32,
    /// Whatever takes memory here: what stays, what comes and what goes.
    present: BTreeSet<VersionId>,
    /// What the worker is to hold.
    pub(super) holds: BTreeSet<VersionId>,
}

impl<'s> Room<'s> {
    pub(super) fn new(seat: &'s Seat) -> Self {
        Self {
            seat,
            free: i128::from(seat.memory_bytes),
            coming_free: 0,
            loads: 0,
            present: BTreeSet::new(),
            holds: BTreeSet::new(),
        }
    }

    /// A copy that takes so much is there. Whether it stays is said by [`Room::stays`] or [`Room::leaves`].
    pub(super) fn occupy(&mut self, version: VersionId, bytes: u64, coming: bool) {
        self.present.insert(version);
        self.free -= i128::from(bytes);
        self.loads += u32::from(coming);
    }

    /// A copy that is there stays.
    pub(super) fn stays(&mut self, version: VersionId) {
        self.holds.insert(version);
    }

    /// A copy that is there goes, and its memory will be free.
    pub(super) fn leaves(&mut self, version: VersionId, bytes: u64) {
        self.holds.remove(&version);
        self.coming_free += i128::from(bytes);
    }

    /// A new copy comes.
    pub(super) fn takes(&mut self, version: VersionId, bytes: u64) {
        self.occupy(version, bytes, true);
        self.stays(version);
    }

    /// What is on its way out is promised to a copy of that size.
    pub(super) fn promise(&mut self, bytes: u64) {
        self.coming_free -= i128::from(bytes);
        self.loads += 1;
    }

    /// Whether a new copy of `version` can be loaded here at all.
    pub(super) fn suits(&self, version: &Version) -> bool {
        !self.seat.draining && version.needs.iter().all(|demand| self.seat.offers(demand))
    }

    /// Whether one could be loaded here once there is memory for it.
    pub(super) fn is_open(&self, version: &Version, rules: &Rules) -> bool {
        self.suits(version) && !self.present.contains(&version.version) && self.loads < rules.loads_at_once
    }

    /// Whether there is memory for a copy now, of which nothing is promised to others.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        let bytes = i128::from(bytes);
        self.free >= bytes && self.left() >= bytes
    }

    /// What is left in the end.
    pub(super) fn left(&self) -> i128 {
        self.free + self.coming_free
    }
}

/// All rooms.
pub(super) type Rooms<'s> = BTreeMap<WorkerId, Room<'s>>;
