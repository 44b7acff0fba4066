//! What the planner is shown: rows, records and what workers are told, put together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use berth_coordination::records::{Assignment, DemandRecord, ReplicaRecord, ReplicaState, WorkerRecord};
use berth_domain::deployment::{Batching, Device, Residency, Settings};
use berth_domain::id::{ReplicaId, VersionId, WorkerId};
use berth_serving::planner::{Copy, Demand, Phase, Rollout, Seat, Setup, Version, Wanted};
use berth_store::system::placements::{Unreadable, WantedVersion};

/// What workers are told to hold, or hold.
pub(super) type Held = BTreeMap<WorkerId, Vec<Assignment>>;

/// What callers do, put together from all nodes.
pub(super) struct Callers {
    by_version: HashMap<VersionId, Demand>,
    busy: HashSet<ReplicaId>,
    /// Nobody tells anything.
    pub(super) blind: bool,
}

impl Callers {
    pub(super) fn new(now_ms: u64, records: &[DemandRecord]) -> Self {
        let mut by_version: HashMap<VersionId, Demand> = HashMap::new();
        let mut busy = HashSet::new();
        for seen in records.iter().flat_map(|record| &record.versions) {
            let demand = by_version.entry(seen.version).or_default();
            let last_use_ms = now_ms.saturating_sub(seen.idle_ms);
            demand.last_use_ms = demand.last_use_ms.max(Some(last_use_ms));
            demand.outstanding = demand.outstanding.saturating_add(seen.outstanding);
            demand.waiting = demand.waiting.saturating_add(seen.waiting);
            demand.queue_wait_us = demand.queue_wait_us.max(seen.queue_wait_us);
            busy.extend(&seen.busy);
        }
        Self {
            by_version,
            busy,
            blind: records.is_empty(),
        }
    }

    fn of(&self, version: VersionId) -> Demand {
        self.by_version.get(&version).copied().unwrap_or_default()
    }
}

pub(super) fn seat(worker: &WorkerRecord) -> Seat {
    let device = |device: &berth_coordination::records::Device| (device.kind.clone(), device.memory_bytes);
    Seat {
        worker: worker.id,
        memory_bytes: worker.memory_bytes,
        draining: worker.draining,
        providers: worker.providers.clone(),
        devices: worker.devices.iter().map(device).collect(),
        labels: worker.labels.clone(),
    }
}

/// What each worker is to be taken to hold: what it is told, and where coordination has lost that, what it says it has. (A
/// version that nobody wants any more is none of it.)
pub(super) fn seeded(told: &Held, replicas: &[ReplicaRecord], wanted: &BTreeMap<VersionId, Wanted>) -> Held {
    let mut current = told.clone();
    for replica in replicas {
        if told.contains_key(&replica.worker) || replica.state == ReplicaState::Draining {
            continue;
        }
        let Some(wanted) = wanted.get(&replica.version) else {
            continue;
        };
        let held = current.entry(replica.worker).or_default();
        let other = held.iter().position(|held| held.version == replica.version);
        // Of an old and a fresh copy the fresh one is what was asked for last.
        if let Some(place) = other {
            if held[place].generation >= replica.generation {
                continue;
            }
            held.swap_remove(place);
        }
        held.push(Assignment {
            organization: wanted.organization,
            version: wanted.version,
            manifest: wanted.manifest.clone(),
            files: wanted.files.clone(),
            threads: replica.threads,
            batching: wanted.setup.batching,
            device: wanted.setup.device,
            own_runner: wanted.setup.own_runner,
            resident_bytes: wanted.resident_bytes,
            generation: replica.generation,
        });
    }
    current
}

/// Each pair of worker and version once, by what the worker is taken to hold and what it says.
pub(super) fn copies(current: &Held, replicas: &[ReplicaRecord], callers: &Callers) -> Vec<Copy> {
    let mut copies: BTreeMap<(WorkerId, VersionId), Copy> = BTreeMap::new();
    let blank = |worker, version, phase, assigned| Copy {
        worker,
        version,
        phase,
        assigned,
        in_use: false,
        resident_bytes: 0,
    };
    for (worker, held) in current {
        for assignment in held {
            let place = (*worker, assignment.version);
            copies.insert(place, blank(*worker, assignment.version, Phase::Told, true));
        }
    }
    for replica in replicas {
        let place = (replica.worker, replica.version);
        let copy = copies
            .entry(place)
            .or_insert_with(|| blank(replica.worker, replica.version, Phase::Draining, false));
        copy.resident_bytes = copy.resident_bytes.saturating_add(replica.resident_bytes);
        copy.in_use |= callers.busy.contains(&replica.id);
        if !copy.assigned {
            continue;
        }
        // Of an old and a fresh copy the one that is further counts; one that drains is started again when it has ended.
        copy.phase = match (&replica.state, copy.phase) {
            (ReplicaState::Ready, _) | (_, Phase::Ready) => Phase::Ready,
            (ReplicaState::Fetching | ReplicaState::Loading, _) | (_, Phase::Loading) => Phase::Loading,
            (ReplicaState::Failed { .. }, _) | (_, Phase::Failed) => Phase::Failed,
            (ReplicaState::Draining, phase) => phase,
        };
    }
    copies.into_values().collect()
}

/// How long loading takes, in milliseconds: as measured on workers, else when the version was proved.
fn load_ms(version: &WantedVersion, replicas: &[ReplicaRecord]) -> u64 {
    let here = replicas
        .iter()
        .filter(|replica| replica.version == version.version)
        .map(|replica| replica.load_ms)
        .max()
        .unwrap_or(0);
    if here > 0 {
        return here;
    }
    let elsewhere = version.load_times.values().max().copied();
    elsewhere.unwrap_or(version.measured.load_us / 1000)
}

/// A version as the planner weighs it. One that several deployments want has as many copies as the one that wants most, stays
/// as long as the one that keeps it longest, and is where all that they demand can be had.
pub(super) fn version(wanted: &WantedVersion, callers: &Callers, replicas: &[ReplicaRecord]) -> Version {
    let settings = || lasting(wanted);
    let min = settings()
        .map(|settings| settings.replicas.min)
        .max()
        .unwrap_or(1);
    let max = settings()
        .map(|settings| settings.replicas.most())
        .max()
        .unwrap_or(1);
    let mut needs: Vec<Device> = Vec::new();
    for demand in settings().map(|settings| &settings.device) {
        if *demand != Device::default() && !needs.contains(demand) {
            needs.push(demand.clone());
        }
    }
    Version {
        version: wanted.version,
        resident_bytes: wanted.measured.resident_bytes,
        load_ms: load_ms(wanted, replicas),
        min,
        max: max.max(min),
        residency: settings()
            .map(|settings| settings.residency)
            .reduce(longer)
            .unwrap_or_default(),
        needs,
        target_concurrency: settings().filter_map(|settings| settings.batching.max_rows).min(),
        demand: callers.of(wanted.version),
        rollout: Rollout::None,
        quarantined: wanted.quarantined,
    }
}

/// The settings of the deployments that it is behind; where it is behind none any more, of those that it leaves.
fn lasting(wanted: &WantedVersion) -> impl Iterator<Item = &Settings> {
    let leaves = wanted.wanted_by.iter().all(|wish| wish.retiring);
    let wishes = wanted.wanted_by.iter();
    wishes
        .filter(move |wish| leaves || !wish.retiring)
        .map(|wish| &wish.settings)
}

/// The policy that keeps copies longer.
fn longer(one: Residency, other: Residency) -> Residency {
    match (one, other) {
        (Residency::Pinned, _) | (_, Residency::Pinned) => Residency::Pinned,
        (Residency::Shared, _) | (_, Residency::Shared) => Residency::Shared,
        (
            Residency::Idle { unload_after_s: one },
            Residency::Idle {
                unload_after_s: other,
            },
        ) => Residency::Idle {
            unload_after_s: one.max(other),
        },
    }
}

/// What workers are told of a version. One that several deployments want has as many threads as the one that wants most, and
/// joins requests as the one that wants least.
pub(super) fn wanted(version: &WantedVersion) -> Wanted {
    let setup = setup(|| lasting(version));
    Wanted {
        organization: version.organization,
        version: version.version,
        manifest: version.manifest.clone(),
        files: version.files.clone(),
        resident_bytes: version.measured.resident_bytes,
        setup,
    }
}

fn setup<'s, I: Iterator<Item = &'s Settings>>(settings: impl Fn() -> I) -> Setup {
    Setup {
        threads: settings().filter_map(|settings| settings.threads).max(),
        batching: settings()
            .map(|settings| settings.batching)
            .fold(Batching::default(), Batching::tightest),
        device: settings()
            .map(|settings| settings.device.kind)
            .max()
            .unwrap_or_default(),
        own_runner: settings().any(|settings| settings.own_runner),
    }
}

/// What cannot be read stays as it was told: neither is it placed anew, nor taken from those who are served by it.
pub(super) fn stay(
    versions: &mut Vec<Version>,
    wanted: &mut BTreeMap<VersionId, Wanted>,
    unreadable: &[Unreadable],
    told: &Held,
) {
    let mut seen = BTreeSet::new();
    for row in unreadable {
        let holders = || {
            told.values()
                .flatten()
                .filter(|assignment| assignment.version == row.version)
        };
        let Some(kept) = holders().next() else {
            continue;
        };
        let copies = u32::try_from(holders().count()).unwrap_or(u32::MAX);
        if let Some(readable) = versions.iter_mut().find(|version| version.version == row.version) {
            readable.min = readable.min.max(copies);
            readable.max = readable.max.max(copies);
            continue;
        }
        if !seen.insert(row.version) {
            continue;
        }
        versions.push(Version {
            version: row.version,
            resident_bytes: 0,
            load_ms: 0,
            min: copies,
            max: copies,
            residency: Residency::Pinned,
            needs: Vec::new(),
            target_concurrency: None,
            demand: Demand::default(),
            rollout: Rollout::Leaving,
            quarantined: false,
        });
        wanted.insert(
            kept.version,
            Wanted {
                organization: kept.organization,
                version: kept.version,
                manifest: kept.manifest.clone(),
                files: kept.files.clone(),
                resident_bytes: kept.resident_bytes,
                setup: Setup::of(kept),
            },
        );
    }
}
