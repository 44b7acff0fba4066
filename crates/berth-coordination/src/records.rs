//! What workers say of themselves, and what they are asked to hold. Unknown fields are ignored, so that neighbors one
//! version apart understand each other.

use std::collections::BTreeMap;

use berth_domain::clock::Timestamp;
use berth_domain::deployment::{Batching, DeviceKind};
use berth_domain::id::{OrganizationId, ReplicaId, VersionId, WorkerId};
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;
use serde::{Deserialize, Serialize};

/// A worker that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// The worker.
    pub id: WorkerId,
    /// Where its control service answers: `unix:` and the path of a socket.
    pub control_address: String,
    /// The machine on which its sockets are, by an id that lasts until the machine is started anew.
    #[serde(default)]
    pub machine: Option<String>,
    /// `host:port` by which it is reached from other machines.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What that machine is called.
    pub hostname: String,
    /// What it can compute on.
    pub devices: Vec<Device>,
    /// The execution providers that it uses, by preference: `tensorrt`, `cuda`, `cpu`. A worker of an older release names none,
    /// and has the processor alone.
    #[serde(default)]
    pub providers: Vec<String>,
    /// What its operator calls it by, for deployments that want such a worker.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Memory that its replicas may use together.
    pub memory_bytes: u64,
    /// Version of the ONNX Runtime library it loaded.
    pub library_version: String,
    /// Version of the protocol it speaks.
    pub protocol: u32,
    /// It takes no new work and will leave.
    #[serde(default)]
    pub draining: bool,
    /// When it started.
    pub started_at: Timestamp,
}

impl WorkerRecord {
    /// What kind of node it is, by which measurements are kept: what it prefers to compute on, and what the maker calls that.
    pub fn node_kind(&self) -> String {
        let provider = self.providers.first().map_or("cpu", String::as_str);
        let device = self
            .devices
            .iter()
            .find(|device| (device.kind == "cpu") == (provider == "cpu"))
            .or_else(|| self.devices.first());
        format!("{provider}: {}", device.map_or("", |device| device.name.as_str()))
    }
}

/// Something a worker can compute on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `cpu`, `cuda`, …
    pub kind: String,
    /// What the maker calls it.
    pub name: String,
    /// Its memory.
    pub memory_bytes: u64,
}

/// How far a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ReplicaState {
    /// Its files are being fetched.
    Fetching,
    /// Its runner is starting.
    Loading,
    /// It answers.
    Ready,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// Loading it failed, or its runner ended, several times in a row. Its worker goes on trying, ever more rarely.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

/// One loaded copy of a version on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRecord {
    /// The replica.
    pub id: ReplicaId,
    /// Where it is.
    pub worker: WorkerId,
    /// Whose version it is.
    pub organization: OrganizationId,
    /// What it holds.
    pub version: VersionId,
    /// How far it is.
    #[serde(flatten)]
    pub state: ReplicaState,
    /// Why the last attempt to load it came to nothing, in words, while others follow.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Where its runner answers, once it does: `unix:` and the path of a socket.
    #[serde(default)]
    pub address: Option<String>,
    /// How often in a row its runner ended by itself or could not load it, through no fault of the worker.
    #[serde(default)]
    pub crashes: u32,
    /// The execution providers that it really runs on, the preferred first; empty before it is loaded.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Memory that its runner was last seen to use; 0 before it was measured.
    #[serde(default)]
    pub resident_bytes: u64,
    /// How long it took from the start of the runner until it answered; 0 before it did.
    #[serde(default)]
    pub load_ms: u64,
    /// The generation of the assignment that it fulfills, and the threads that were asked for: whoever has lost what this
    /// worker was told asks for the same again.
    #[serde(default)]
    pub generation: u64,
    /// See `generation`.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Whether its runner may hold other models of its organization; then it is asked by the replica's id.
    #[serde(default)]
    pub shared: bool,
}

/// A version that a worker is asked to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Whose version it is; its files lie under this organization in the artifact store.
    pub organization: OrganizationId,
    /// The version.
    pub version: VersionId,
    /// How its files are used.
    pub manifest: Manifest,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// How many threads compute one request, as far as the worker's machine has them; else as the worker is set up.
    #[serde(default)]
    pub threads: Option<u32>,
    /// How requests are joined to batches; what is not said is the worker's choice.
    #[serde(default)]
    pub batching: Batching,
    /// What it must be computed on: a worker that cannot says that it failed, and takes nothing else instead.
    #[serde(default)]
    pub device: DeviceKind,
    /// Whether it has a process of its own, even where small models of one organization share one.
    #[serde(default)]
    pub own_runner: bool,
    /// Memory that it took when it was measured, by which its runner's ceiling is set; 0 where that is not known.
    #[serde(default)]
    pub resident_bytes: u64,
    /// Grows when the worker should replace the replica that it has by a fresh one.
    pub generation: u64,
}

/// What one node sees of those who call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemandRecord {
    /// The versions that were called lately.
    #[serde(default)]
    pub versions: Vec<VersionDemand>,
}

/// What one node sees of those who call a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionDemand {
    /// The version.
    pub version: VersionId,
    /// How long ago it was called last.
    pub idle_ms: u64,
    /// Requests under way.
    #[serde(default)]
    pub outstanding: u32,
    /// Requests that found no copy: held, or told to come back and still expected.
    #[serde(default)]
    pub waiting: u32,
    /// How long a request waited in a runner lately, on average.
    #[serde(default)]
    pub queue_wait_us: u64,
    /// The replicas that work on requests.
    #[serde(default)]
    pub busy: Vec<ReplicaId>,
}

/// What the planner did last, and what has no place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// Versions of which copies are missing.
    #[serde(default)]
    pub short: Vec<ShortRecord>,
    /// The last loads and unloads, the latest first.
    #[serde(default)]
    pub moves: Vec<MoveRecord>,
}

/// A version of which copies are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortRecord {
    /// The version.
    pub version: VersionId,
    /// How many.
    pub missing: u32,
    /// Memory that each needs.
    pub resident_bytes: u64,
    /// Why, in words.
    pub reason: String,
}

/// A load or an unload that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// When.
    pub at: Timestamp,
    /// The worker.
    pub worker: WorkerId,
    /// The version.
    pub version: VersionId,
    /// `load` or `unload`.
    pub action: String,
    /// Why, by a stable name.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::ManualClock;
    use berth_domain::random::SeededRandom;

    use super::*;

    #[test]
    fn replica_with_fields_of_a_later_version_is_understood() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let random = SeededRandom::new(1);
        let replica = ReplicaRecord {
            id: ReplicaId::new(&clock, &random),
            worker: WorkerId::new(&clock, &random),
            organization: OrganizationId::new(&clock, &random),
            version: VersionId::new(&clock, &random),
            state: ReplicaState::Failed {
                reason: "the runner ended".to_owned(),
            },
            trouble: None,
            address: None,
            crashes: 0,
            providers: Vec::new(),
            resident_bytes: 0,
            load_ms: 0,
            generation: 0,
            threads: None,
            shared: false,
        };
        let mut json = serde_json::to_value(&replica).expect("serializes");
        assert_eq!(json["state"], "failed");
        assert_eq!(json["reason"], "the runner ended");
        json["promoted"] = serde_json::Value::Bool(true);
        assert_eq!(
            serde_json::from_value::<ReplicaRecord>(json).expect("parses"),
            replica
        );
    }
}
