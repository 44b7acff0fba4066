//! What the planner sees at one moment. Times are milliseconds since any beginning, the same for all.

use std::collections::{BTreeMap, BTreeSet};

use berth_domain::deployment::{Device, DeviceKind, Residency};
use berth_domain::id::{VersionId, WorkerId};

/// What there is and what is wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Situation {
    /// The workers that are alive.
    pub seats: Vec<Seat>,
    /// The versions that deployments ask for.
    pub versions: Vec<Version>,
    /// What workers hold, or are told to hold; each pair of worker and version once.
    pub copies: Vec<Copy>,
    /// Where copies failed lately.
    pub failed: BTreeSet<(WorkerId, VersionId)>,
    /// Nobody tells what is called: nothing is unloaded for want of calls.
    pub blind: bool,
}

/// A worker as the planner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The worker.
    pub worker: WorkerId,
    /// Memory that its replicas may use together.
    pub memory_bytes: u64,
    /// It takes nothing new and will leave.
    pub draining: bool,
    /// The execution providers that it uses; the processor alone where it names none.
    pub providers: Vec<String>,
    /// Its devices: what kind each is, and its memory.
    pub devices: Vec<(String, u64)>,
    /// What it is called by.
    pub labels: BTreeMap<String, String>,
}

impl Seat {
    /// Whether the worker has what a deployment demands.
    pub fn offers(&self, demand: &Device) -> bool {
        let provides = |provider: &str| {
            self.providers.iter().any(|offered| offered == provider)
                || (self.providers.is_empty() && provider == "cpu")
        };
        let enough = |least: u64| {
            self.devices.iter().any(|(kind, memory)| {
                let fits = match demand.kind {
                    DeviceKind::Any => true,
                    DeviceKind::Cpu => kind == "cpu",
                    DeviceKind::Cuda | DeviceKind::Tensorrt => kind != "cpu",
                };
                fits && *memory >= least
            })
        };
        demand.kind.provider().is_none_or(provides)
            && demand.min_memory_bytes.is_none_or(enough)
            && demand
                .labels
                .iter()
                .all(|(label, value)| self.labels.get(label) == Some(value))
    }
}

/// A version that deployments ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The version.
    pub version: VersionId,
    /// Memory that a copy takes, as measured when it was proved.
    pub resident_bytes: u64,
    /// How long it takes to load, as measured.
    pub load_ms: u64,
    /// So many copies there are as long as nothing else is said by `residency`.
    pub min: u32,
    /// So many there may be.
    pub max: u32,
    /// For how long copies stay.
    pub residency: Residency,
    /// What its deployments demand of a worker; all of it holds.
    pub needs: Vec<Device>,
    /// Requests under way for each copy, where a deployment says.
    pub target_concurrency: Option<u32>,
    /// What is known of its callers.
    pub demand: Demand,
    /// What part it has in a change from one version to another.
    pub rollout: Rollout,
    /// It crashed again and again, and is loaded nowhere.
    pub quarantined: bool,
}

/// What part a version has in a change from one version to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rollout {
    /// There is no change.
    #[default]
    None,
    /// It takes the place of others that answer until it does.
    Coming,
    /// Others take its place: it keeps the copies that it has, and gets no more.
    Leaving,
}

/// What is known of a version's callers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// When it was called last.
    pub last_use_ms: Option<u64>,
    /// Requests under way.
    pub outstanding: u32,
    /// Requests that came and found no copy: held, or told to come back a moment ago.
    pub waiting: u32,
    /// How long requests waited in runners lately.
    pub queue_wait_us: u64,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its worker is told to hold it, and has not said that it does.
    Told,
    /// It is fetched or loaded.
    Loading,
    /// It answers.
    Ready,
    /// It failed again and again.
    Failed,
    /// Its worker lets it finish what it has.
    Draining,
}

/// A version on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// The worker.
    pub worker: WorkerId,
    /// The version.
    pub version: VersionId,
    /// How far it is.
    pub phase: Phase,
    /// Its worker is told to hold it; else it is on its way out.
    pub assigned: bool,
    /// It works on requests.
    pub in_use: bool,
    /// Memory that it was seen to take; 0 before it was measured.
    pub resident_bytes: u64,
}

impl Copy {
    /// Whether it is on its way to answering.
    pub fn is_coming(&self) -> bool {
        self.assigned && matches!(self.phase, Phase::Told | Phase::Loading)
    }

    /// Whether it answers.
    pub fn is_ready(&self) -> bool {
        self.assigned && self.phase == Phase::Ready
    }
}
