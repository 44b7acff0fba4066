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
    /// Grows when the worker should replace the replica that it has by a fresh one.
    pub generation: u64,
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
            resident_bytes: 0,
            load_ms: 0,
            generation: 0,
            threads: None,
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
