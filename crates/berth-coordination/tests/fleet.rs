//! The typed layer, over the in-memory twin with a clock that the tests move.

use std::sync::Arc;
use std::time::Duration;

use berth_coordination::memory::Memory;
use berth_coordination::records::{Assignment, Device, ReplicaRecord, ReplicaState, WorkerRecord};
use berth_coordination::{Coordination, Error, Event, Fleet, Topic};
use berth_domain::clock::{ManualClock, Timestamp};
use berth_domain::digest::Sha256;
use berth_domain::id::{OrganizationId, ReplicaId, VersionId, WorkerId};
use berth_domain::manifest::{Batching, Manifest, Task};
use berth_domain::model::ModelFile;
use berth_domain::random::SeededRandom;

const TTL: Duration = Duration::from_secs(5);

struct Scene {
    memory: Memory,
    fleet: Fleet,
    clock: ManualClock,
    random: SeededRandom,
}

impl Scene {
    fn new() -> Self {
        let memory = Memory::new();
        Self {
            fleet: Fleet::new(Arc::new(memory.clone())),
            memory,
            clock: ManualClock::new(Timestamp::UNIX_EPOCH),
            random: SeededRandom::new(7),
        }
    }

    fn worker(&self) -> WorkerRecord {
        WorkerRecord {
            id: WorkerId::new(&self.clock, &self.random),
            control_address: "unix:/run/berth/worker.sock".to_owned(),
            machine: None,
            endpoint: None,
            hostname: "node-1".to_owned(),
            devices: vec![Device {
                kind: "cpu".to_owned(),
                name: "x86-64".to_owned(),
                memory_bytes: 1 << 34,
            }],
            memory_bytes: 1 << 33,
            providers: vec![],
            labels: std::collections::BTreeMap::new(),
            library_version: "1.32.0".to_owned(),
            protocol: 1,
            draining: false,
            started_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn replica(&self, worker: &WorkerRecord, state: ReplicaState) -> ReplicaRecord {
        ReplicaRecord {
            id: ReplicaId::new(&self.clock, &self.random),
            worker: worker.id,
            organization: OrganizationId::new(&self.clock, &self.random),
            version: VersionId::new(&self.clock, &self.random),
            state,
            trouble: None,
            address: Some("unix:/run/berth/runner.sock".to_owned()),
            crashes: 0,
            providers: Vec::new(),
            resident_bytes: 100 << 20,
            load_ms: 130,
            generation: 0,
            threads: None,
            shared: false,
        }
    }

    fn assignment(&self) -> Assignment {
        Assignment {
            organization: OrganizationId::new(&self.clock, &self.random),
            version: VersionId::new(&self.clock, &self.random),
            manifest: Manifest {
                task: Task::Tensors,
                graph: "model.onnx".to_owned(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                text_embedding: None,
                batching: Batching::default(),
                license: None,
                guessed: Vec::new(),
            },
            files: vec![ModelFile {
                path: "model.onnx".to_owned(),
                digest: Sha256::of(b"x"),
                size_bytes: 1,
            }],
            threads: None,
            batching: berth_domain::deployment::Batching::default(),
            device: berth_domain::deployment::DeviceKind::Any,
            own_runner: false,
            resident_bytes: 0,
            generation: 1,
        }
    }
}

fn about(topic: Topic, worker: &WorkerRecord) -> Event {
    Event::Message {
        topic,
        payload: worker.id.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn worker_that_stops_announcing_itself_is_gone_with_its_replicas() {
    let scene = Scene::new();
    let worker = scene.worker();
    let replica = scene.replica(&worker, ReplicaState::Ready);
    scene
        .fleet
        .announce_worker(&worker, TTL)
        .await
        .expect("announced");
    scene
        .fleet
        .publish_replicas(worker.id, std::slice::from_ref(&replica), TTL)
        .await
        .expect("published");
    tokio::time::advance(TTL / 2).await;
    assert_eq!(scene.fleet.workers().await.expect("read"), [worker]);
    assert_eq!(scene.fleet.replicas().await.expect("read"), [replica]);
    tokio::time::advance(TTL).await;
    assert_eq!(scene.fleet.workers().await.expect("read"), []);
    assert_eq!(scene.fleet.replicas().await.expect("read"), []);
}

#[tokio::test]
async fn only_changes_are_told() {
    let scene = Scene::new();
    let mut worker = scene.worker();
    let mut events = scene
        .memory
        .subscribe(&[Topic::Routes, Topic::Assignments])
        .await
        .expect("subscribed");
    for _ in 0..3 {
        scene
            .fleet
            .announce_worker(&worker, TTL)
            .await
            .expect("announced");
        scene
            .fleet
            .publish_replicas(worker.id, &[], TTL)
            .await
            .expect("published");
        scene.fleet.assign(worker.id, &[]).await.expect("assigned");
    }
    worker.draining = true;
    scene
        .fleet
        .announce_worker(&worker, TTL)
        .await
        .expect("announced");
    scene.fleet.remove_worker(worker.id).await.expect("removed");
    scene.fleet.remove_worker(worker.id).await.expect("removed");
    scene
        .memory
        .publish(Topic::Routes, "the end")
        .await
        .expect("published");
    let mut heard = Vec::new();
    while let Some(event) = events.next().await {
        if matches!(&event, Event::Message { payload, .. } if payload == "the end") {
            break;
        }
        heard.push(event);
    }
    assert_eq!(
        heard,
        [
            about(Topic::Routes, &worker),
            about(Topic::Routes, &worker),
            about(Topic::Assignments, &worker),
            about(Topic::Routes, &worker),
            about(Topic::Routes, &worker),
        ]
    );
}

#[tokio::test]
async fn nothing_said_differs_from_nothing_to_hold() {
    let scene = Scene::new();
    let worker = scene.worker();
    assert_eq!(scene.fleet.assignments(worker.id).await.expect("read"), None);
    let assignment = scene.assignment();
    scene
        .fleet
        .assign(worker.id, std::slice::from_ref(&assignment))
        .await
        .expect("assigned");
    assert_eq!(
        scene.fleet.assignments(worker.id).await.expect("read"),
        Some(vec![assignment])
    );
    scene.fleet.assign(worker.id, &[]).await.expect("assigned");
    assert_eq!(
        scene.fleet.assignments(worker.id).await.expect("read"),
        Some(Vec::new())
    );
    assert_eq!(
        scene.fleet.all_assignments().await.expect("read"),
        [(worker.id, Some(Vec::new()))]
    );
    scene
        .fleet
        .forget_assignments(worker.id)
        .await
        .expect("forgotten");
    assert_eq!(scene.fleet.assignments(worker.id).await.expect("read"), None);
}

#[tokio::test]
async fn record_of_an_unknown_form_does_not_hide_the_others() {
    let scene = Scene::new();
    let worker = scene.worker();
    scene
        .fleet
        .announce_worker(&worker, TTL)
        .await
        .expect("announced");
    for collection in ["workers", "replicas", "assignments"] {
        scene
            .memory
            .put(collection, &scene.worker().id.to_string(), "{}".to_owned(), None)
            .await
            .expect("stored");
    }
    assert_eq!(scene.fleet.workers().await.expect("read"), [worker]);
    assert_eq!(scene.fleet.replicas().await.expect("read"), []);
    let all = scene.fleet.all_assignments().await.expect("read");
    assert!(matches!(all[..], [(_, None)]), "{all:?}");
    let error = scene
        .fleet
        .assignments(all[0].0)
        .await
        .expect_err("is not understood");
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}
