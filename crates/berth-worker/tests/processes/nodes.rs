//! A node under test: its coordination, its artifacts and its settings in temporary folders.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use berth_artifacts::ArtifactStore;
use berth_artifacts::store::Options;
use berth_coordination::memory::Memory;
use berth_coordination::records::{Assignment, ReplicaRecord, ReplicaState, WorkerRecord};
use berth_coordination::{Fleet, remote};
use berth_domain::clock::SystemClock;
use berth_domain::id::{OrganizationId, VersionId};
use berth_domain::random::SystemRandom;
use berth_protocol::worker::worker_client::WorkerClient;
use berth_test_support::{Process, wait_for};
use berth_transport::{Location, Peers, RunnerClient};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::models::Model;
use crate::runners::LIMIT;

/// A fleet without a node yet, and everything that a node needs.
pub(crate) struct Site {
    pub(crate) fleet: Fleet,
    pub(crate) organization: OrganizationId,
    folder: tempfile::TempDir,
    store: ArtifactStore,
    shutdown: CancellationToken,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::new();
        let listener =
            tokio::net::UnixListener::bind(folder.path().join("coordination.sock")).expect("a socket");
        let shutdown = CancellationToken::new();
        tokio::spawn(remote::serve(memory.clone(), listener, shutdown.clone()));
        let store = ArtifactStore::open(&Options::Folder(folder.path().join("artifacts"))).await;
        Self {
            fleet: Fleet::new(Arc::new(memory)),
            organization: OrganizationId::new(&SystemClock, &SystemRandom),
            folder,
            store: store.expect("a folder"),
            shutdown,
        }
    }

    /// Starts a node and waits until it is in the fleet.
    pub(crate) async fn node(&self) -> (Process, WorkerRecord) {
        self.node_of(&mut self.command()).await
    }

    /// The same with other settings.
    pub(crate) async fn node_of(&self, command: &mut Command) -> (Process, WorkerRecord) {
        let process = Process::listen("node", command).await.expect("the node starts").0;
        let worker = wait_for(LIMIT, || async {
            self.fleet.workers().await.expect("the fleet answers").pop()
        });
        (process, worker.await.expect("it joins"))
    }

    pub(crate) fn command(&self) -> Command {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-worker"));
        command
            .arg("node")
            .env("BERTH_COORDINATION__SOCKET", path("coordination.sock"))
            .env("BERTH_ARTIFACTS__FOLDER", path("artifacts"))
            .env("BERTH_WORKER__SOCKET_FOLDER", path("sockets"))
            .env("BERTH_WORKER__CACHE_FOLDER", path("cache"))
            .env("BERTH_WORKER__CACHE_SIZE", "1GiB")
            .env("BERTH_WORKER__THREADS", "1")
            .env("BERTH_WORKER__LEASE", "2s")
            .env(
                "BERTH_WORKER__ONNXRUNTIME_LIBRARY",
                berth_test_support::onnxruntime_library().expect("the library is there"),
            );
        command
    }

    /// Stores the files of a model and says what a worker would be told to hold.
    pub(crate) async fn publish(&self, model: &Model) -> Assignment {
        let files = model.files();
        for file in &files {
            let path = model.folder.join(&file.path);
            self.store
                .put_file(self.organization, file.digest, &path)
                .await
                .expect("stored");
        }
        self.assignment(model)
    }

    /// The same without storing the files.
    pub(crate) fn assignment(&self, model: &Model) -> Assignment {
        Assignment {
            organization: self.organization,
            version: VersionId::new(&SystemClock, &SystemRandom),
            manifest: model.manifest.clone(),
            files: model.files(),
            threads: None,
            batching: berth_domain::deployment::Batching::default(),
            device: berth_domain::deployment::DeviceKind::Any,
            own_runner: false,
            resident_bytes: 0,
            generation: 1,
        }
    }

    /// The one replica of the fleet, once it fits.
    pub(crate) async fn replica(&self, fits: impl Fn(&ReplicaRecord) -> bool) -> ReplicaRecord {
        let found = wait_for(LIMIT, || async {
            let replicas = self.fleet.replicas().await.expect("the fleet answers");
            replicas.into_iter().find(|replica| fits(replica))
        });
        found.await.expect("there is such a replica")
    }

    /// The one replica of the fleet, once it answers.
    pub(crate) async fn ready(&self) -> ReplicaRecord {
        self.replica(|replica| replica.state == ReplicaState::Ready).await
    }

    pub(crate) fn sockets(&self) -> impl AsRef<Path> {
        self.folder.path().join("sockets")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) async fn channel(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
    endpoint
        .timeout(Duration::from_mins(2))
        .connect()
        .await
        .expect("it answers")
}

pub(crate) fn runner(replica: &ReplicaRecord) -> RunnerClient {
    let address = replica.address.as_deref().expect("an address");
    let socket = address.strip_prefix("unix:").expect("a socket");
    RunnerClient::new(Peers::here(), Location::here(socket))
}

pub(crate) async fn control(worker: &WorkerRecord) -> WorkerClient<Channel> {
    WorkerClient::new(channel(&worker.control_address).await)
}

/// Whether a process lives.
pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| !text.contains(") Z "))
}
