//! Which worker holds which version: a pure function from what is wanted, what there is and what is remembered to what each
//! worker should hold, and why. Run again on its own result it comes to rest: nearly always at once.

mod decide;
mod history;
mod rooms;
mod rules;
pub mod simulation;
mod situation;

use std::collections::{BTreeMap, BTreeSet};

use berth_coordination::records::Assignment;
use berth_domain::deployment::{Batching, DeviceKind};
use berth_domain::id::{OrganizationId, VersionId, WorkerId};
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;

pub use self::history::History;
pub use self::rules::Rules;
pub use self::situation::{Copy, Demand, Phase, Rollout, Seat, Situation, Version};

/// What each worker should hold, what changes by that and why, and what has no place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Every worker that is there, with exactly what it should hold.
    pub holdings: BTreeMap<WorkerId, BTreeSet<VersionId>>,
    /// What is to be loaded now.
    pub loads: Vec<Load>,
    /// What is to be unloaded now.
    pub unloads: Vec<Unload>,
    /// Versions of which fewer copies are placed than wanted.
    pub short: Vec<Short>,
}

/// A copy that is to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Where.
    pub worker: WorkerId,
    /// What.
    pub version: VersionId,
    /// Why.
    pub reason: LoadReason,
}

/// Why a copy is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadReason {
    /// Callers wait for it.
    CallersWait,
    /// A deployment always wants it there.
    Wanted,
    /// It takes the place of another version.
    NewVersion,
    /// Those that there are have too much to do.
    ScaledUp,
}

impl LoadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::CallersWait, Self::Wanted, Self::NewVersion, Self::ScaledUp];

    /// As metrics and answers say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallersWait => "callers_wait",
            Self::Wanted => "wanted",
            Self::NewVersion => "new_version",
            Self::ScaledUp => "scaled_up",
        }
    }
}

/// A copy that is to be unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unload {
    /// Where.
    pub worker: WorkerId,
    /// What.
    pub version: VersionId,
    /// Why.
    pub reason: UnloadReason,
}

/// Why a copy is unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnloadReason {
    /// No deployment wants it any more.
    NotWanted,
    /// Nobody has called it for long enough.
    Idle,
    /// There are more copies than the callers need.
    ScaledDown,
    /// It made room for a version whose callers wait.
    MadeRoom,
    /// What is loaded has grown beyond what the worker may use.
    OverBudget,
    /// Its worker will leave.
    WorkerDrains,
    /// Its worker no longer has what its deployments demand.
    Unsuitable,
    /// It failed there and has another place.
    Failed,
    /// It crashed again and again.
    Quarantined,
}

impl UnloadReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NotWanted,
        Self::Idle,
        Self::ScaledDown,
        Self::MadeRoom,
        Self::OverBudget,
        Self::WorkerDrains,
        Self::Unsuitable,
        Self::Failed,
        Self::Quarantined,
    ];

    /// As metrics and answers say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWanted => "not_wanted",
            Self::Idle => "idle",
            Self::ScaledDown => "scaled_down",
            Self::MadeRoom => "made_room",
            Self::OverBudget => "over_budget",
            Self::WorkerDrains => "worker_drains",
            Self::Unsuitable => "unsuitable",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A version of which copies are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// The version.
    pub version: VersionId,
    /// How many copies have no place.
    pub missing: u32,
    /// Memory that each needs.
    pub resident_bytes: u64,
    /// What it lacks.
    pub lack: Lack,
}

/// Why a copy has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// There is no worker.
    NoWorker,
    /// No worker has what the deployments demand.
    NoSuchWorker,
    /// No worker that has it has so much memory.
    TooLarge,
    /// What would have to make room is in use, pinned, just loaded, or worth more.
    NoRoom,
}

impl Lack {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoWorker => "There is no worker.",
            Self::NoSuchWorker => "No worker has the device and the labels that its deployments demand.",
            Self::TooLarge => "No worker that suits it may use so much memory.",
            Self::NoRoom => "No worker has room for it now.",
        }
    }
}

/// The decision for `situation` at `now_ms`, of which `history` has taken note already.
///
/// A copy stays where it is as long as it is wanted and its worker stays: moving costs a load. A new copy goes to the worker
/// with the most free memory that offers what is demanded, does not hold the version yet, has room, and is not loading too much
/// already. Where there is no room, a version whose callers wait takes it from those that are worth less; see `docs/operating.md`.
///
/// A copy that failed where it is goes to another worker on which it has not, if there is one with room; else it stays,
/// since the fault may be the version's own, and moving it about would only hide that.
pub fn decide(now_ms: u64, situation: &Situation, history: &History, rules: &Rules) -> Decision {
    decide::Planner::new(now_ms, situation, history, rules).decide()
}

/// What workers must be told of a version that they are to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Whose version it is.
    pub organization: OrganizationId,
    /// The version.
    pub version: VersionId,
    /// How its files are used.
    pub manifest: Manifest,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// Memory that a copy takes, as measured when it was proved; 0 where that is not known.
    pub resident_bytes: u64,
    /// How a copy is set up.
    pub setup: Setup,
}

/// How a copy is set up. A copy that is set up otherwise is replaced by a fresh one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setup {
    /// How many threads compute one request, where a deployment says.
    pub threads: Option<u32>,
    /// How requests are joined to batches.
    pub batching: Batching,
    /// What it must be computed on.
    pub device: DeviceKind,
    /// Whether it has a process of its own.
    pub own_runner: bool,
}

impl Setup {
    /// How the copy of an assignment is set up.
    pub const fn of(assignment: &Assignment) -> Self {
        Self {
            threads: assignment.threads,
            batching: assignment.batching,
            device: assignment.device,
            own_runner: assignment.own_runner,
        }
    }
}

/// What a worker is told, that was told `before` about the same version. Its generation grows when the replica that it has
/// cannot be changed to what is wanted now.
pub fn assignment(wanted: &Wanted, before: Option<&Assignment>) -> Assignment {
    let generation = before.map_or(0, |before| {
        before.generation + u64::from(Setup::of(before) != wanted.setup)
    });
    Assignment {
        organization: wanted.organization,
        version: wanted.version,
        manifest: wanted.manifest.clone(),
        files: wanted.files.clone(),
        threads: wanted.setup.threads,
        batching: wanted.setup.batching,
        device: wanted.setup.device,
        own_runner: wanted.setup.own_runner,
        resident_bytes: wanted.resident_bytes,
        generation,
    }
}
