//! The planner's loop, over Redis and its twin.

use std::sync::Arc;
use std::time::Duration;

use berth_coordination::memory::Memory;
use berth_coordination::records::{DemandRecord, ReplicaRecord, ReplicaState, VersionDemand, WorkerRecord};
use berth_coordination::redis::{self, Redis};
use berth_coordination::{Coordination, Topic};
use berth_domain::clock::Timestamp;
use berth_domain::deployment::{Batching, Replicas, Residency, Settings};
use berth_domain::id::{DeploymentId, ReplicaId, VersionId, WorkerId};
use berth_domain::random::SystemRandom;
use berth_jobs::placement::{Options, Placement};
use berth_test_support::{TestRedis, wait_until};
use tokio_util::sync::CancellationToken;

use crate::house::{House, LIMIT};

const TTL: Duration = Duration::from_mins(10);

fn memory() -> Arc<dyn Coordination> {
    Arc::new(Memory::new())
}

fn redis() -> Arc<dyn Coordination> {
    let server = TestRedis::new().expect("a Redis is named");
    let options = redis::Options {
        prefix: server.prefix().to_owned(),
        ..redis::Options::new(server.url())
    };
    Arc::new(Redis::connect(options).expect("well-formed"))
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() { super::$name(crate::house::House::over(super::memory()).await).await; })*
        }
        mod over_redis {
            $(#[tokio::test] async fn $name() { super::$name(crate::house::House::over(super::redis()).await).await; })*
        }
    };
}

suite! {
    wanted_version_is_assigned_once_and_stays
    removed_deployment_is_taken_back
    version_moves_when_its_worker_is_gone
    version_moves_once_from_where_it_failed
    settings_of_a_deployment_reach_the_worker
    draining_worker_gets_nothing_new
    emptied_coordination_moves_nothing
    fleet_is_left_alone_until_workers_had_time_to_announce_themselves
    version_that_is_called_is_loaded_and_makes_place_when_it_is_idle
    version_that_crashes_is_quarantined_until_its_deployment_is_changed
    old_version_is_held_until_the_new_one_answers
    one_process_plans_and_another_takes_over
    loop_is_woken_by_an_event_and_gives_the_lease_back
}

fn placement(house: &House, holder: &str) -> Placement {
    let options = Options {
        // Nothing happens by the clock in a test.
        every: Duration::from_mins(10),
        settle: Duration::ZERO,
        ..Options::new(holder.to_owned())
    };
    Placement::new(
        house.store.clone(),
        house.fleet(),
        Arc::new(house.clock.clone()),
        options,
    )
}

async fn worker(house: &House, draining: bool) -> WorkerId {
    let worker = WorkerRecord {
        id: WorkerId::new(&house.clock, &SystemRandom),
        control_address: "unix:/run/berth/worker.sock".to_owned(),
        machine: None,
        endpoint: None,
        hostname: "node-1".to_owned(),
        devices: vec![],
        memory_bytes: 1 << 30,
        providers: vec![],
        labels: std::collections::BTreeMap::new(),
        library_version: "1.32.0".to_owned(),
        protocol: 1,
        draining,
        started_at: Timestamp::UNIX_EPOCH,
    };
    house
        .fleet()
        .announce_worker(&worker, TTL)
        .await
        .expect("announced");
    worker.id
}

/// The versions that the worker is told to hold; `None` when it is told nothing.
async fn told(house: &House, worker: WorkerId) -> Option<Vec<VersionId>> {
    let assignments = house.fleet().assignments(worker).await.expect("read")?;
    Some(assignments.iter().map(|assignment| assignment.version).collect())
}

async fn round(house: &House, holder: &str) -> usize {
    placement(house, holder).round().await.expect("plans")
}

async fn remove(house: &House, deployment: DeploymentId) {
    let mut tx = house.store.tenant(house.organization).await.expect("begins");
    tx.deployments()
        .delete(house.organization, deployment, house.now())
        .await
        .expect("removed");
    tx.commit().await.expect("commits");
}

async fn wanted_version_is_assigned_once_and_stays(house: House) {
    let node = worker(&house, false).await;
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    assert_eq!(round(&house, "ann").await, 1);
    let assignments = house
        .fleet()
        .assignments(node)
        .await
        .expect("read")
        .expect("is told");
    let [assignment] = &assignments[..] else {
        unreachable!("one version")
    };
    assert_eq!(
        (assignment.version, assignment.organization),
        (version, house.organization)
    );
    assert_eq!(assignment.files[0].path, "model.onnx");
    assert_eq!(assignment.manifest, house.show(version).await.manifest);
    assert_eq!(round(&house, "ann").await, 0, "nothing is told twice");
}

async fn removed_deployment_is_taken_back(house: House) {
    let node = worker(&house, false).await;
    let version = house.ready("a", 100 << 20).await;
    let deployment = house.deploy("a", version).await;
    round(&house, "ann").await;
    assert_eq!(told(&house, node).await, Some(vec![version]));
    remove(&house, deployment).await;
    assert_eq!(round(&house, "ann").await, 1);
    assert_eq!(told(&house, node).await, Some(vec![]));
}

async fn version_moves_when_its_worker_is_gone(house: House) {
    let first = worker(&house, false).await;
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    round(&house, "ann").await;
    let second = worker(&house, false).await;
    round(&house, "ann").await;
    assert_eq!(
        told(&house, first).await,
        Some(vec![version]),
        "it does not move without need"
    );
    house.fleet().remove_worker(first).await.expect("removed");
    round(&house, "ann").await;
    assert_eq!(told(&house, second).await, Some(vec![version]));
    assert_eq!(
        told(&house, first).await,
        None,
        "what the gone one should hold is forgotten"
    );
}

/// Says how the worker's replica of the version is.
async fn tell(house: &House, worker: WorkerId, version: VersionId, state: ReplicaState) {
    hold(house, worker, version, state, 0).await;
}

/// The same of a replica that is not the first there.
async fn hold(house: &House, worker: WorkerId, version: VersionId, state: ReplicaState, generation: u64) {
    let replica = ReplicaRecord {
        id: ReplicaId::new(&house.clock, &SystemRandom),
        worker,
        organization: house.organization,
        version,
        state,
        trouble: None,
        address: None,
        crashes: 0,
        providers: Vec::new(),
        resident_bytes: 0,
        load_ms: 0,
        generation,
        threads: None,
        shared: false,
    };
    house
        .fleet()
        .publish_replicas(worker, &[replica], TTL)
        .await
        .expect("published");
}

async fn version_moves_once_from_where_it_failed(house: House) {
    let failed = || ReplicaState::Failed {
        reason: "The runner was killed.".to_owned(),
    };
    let placement = placement(&house, "ann");
    let first = worker(&house, false).await;
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    placement.round().await.expect("plans");
    tell(&house, first, version, failed()).await;
    assert_eq!(
        placement.round().await.expect("plans"),
        0,
        "there is no other worker"
    );

    let second = worker(&house, false).await;
    placement.round().await.expect("plans");
    assert_eq!(told(&house, second).await, Some(vec![version]));
    assert_eq!(told(&house, first).await, Some(vec![]));
    // The first has nothing more to say of it, and the second fails as well.
    house
        .fleet()
        .publish_replicas(first, &[], TTL)
        .await
        .expect("published");
    tell(&house, second, version, failed()).await;
    assert_eq!(
        placement.round().await.expect("plans"),
        0,
        "it does not go back and forth"
    );
}

async fn settings_of_a_deployment_reach_the_worker(house: House) {
    let workers = [worker(&house, false).await, worker(&house, false).await];
    let version = house.ready("a", 100 << 20).await;
    let deployment = house.deploy("a", version).await;
    let settings = Settings {
        replicas: Replicas { min: 2, max: None },
        threads: Some(3),
        batching: Batching {
            max_rows: Some(8),
            ..Batching::default()
        },
        own_runner: true,
        ..Settings::default()
    };
    house.change(deployment, settings).await;
    round(&house, "ann").await;
    for worker in workers {
        let assignments = house.fleet().assignments(worker).await.expect("read");
        let threads: Vec<_> = assignments
            .iter()
            .flatten()
            .map(|told| {
                (
                    told.version,
                    told.threads,
                    told.batching.max_rows,
                    told.own_runner,
                )
            })
            .collect();
        assert_eq!(threads, [(version, Some(3), Some(8), true)]);
    }
}

fn settings(min: u32, residency: Residency) -> Settings {
    Settings {
        replicas: Replicas { min, max: None },
        residency,
        ..Settings::default()
    }
}

/// Says what a node sees of those who call.
async fn demand(house: &House, version: VersionId, waiting: u32, idle: Duration) {
    let demand = VersionDemand {
        version,
        idle_ms: u64::try_from(idle.as_millis()).expect("fits"),
        outstanding: 0,
        waiting,
        queue_wait_us: 0,
        busy: vec![],
    };
    let record = DemandRecord {
        versions: vec![demand],
    };
    let published = house.fleet().publish_demand("node", &record, TTL, true).await;
    published.expect("published");
}

async fn version_that_is_called_is_loaded_and_makes_place_when_it_is_idle(house: House) {
    let node = worker(&house, false).await;
    let placement = placement(&house, "ann");
    let version = house.ready("a", 100 << 20).await;
    let deployment = house.deploy("a", version).await;
    let on_demand = settings(0, Residency::Idle { unload_after_s: 1 });
    house.change(deployment, on_demand).await;
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, Some(vec![]), "nobody has called it");

    demand(&house, version, 1, Duration::ZERO).await;
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, Some(vec![version]));
    tell(&house, node, version, ReplicaState::Ready).await;
    demand(&house, version, 0, Duration::ZERO).await;
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, Some(vec![version]));

    // It is said that nobody has called it for long.
    let idle = async || {
        demand(&house, version, 0, Duration::from_mins(5)).await;
        placement.round().await.expect("plans");
        told(&house, node).await == Some(vec![])
    };
    wait_until(LIMIT, idle).await.expect("it is unloaded");
    let last = house.fleet().placement().await.expect("read");
    let moves: Vec<_> = last
        .moves
        .iter()
        .map(|last| (last.action.as_str(), last.reason.as_str()))
        .collect();
    assert_eq!(moves, [("unload", "idle"), ("load", "callers_wait")]);
}

async fn version_that_crashes_is_quarantined_until_its_deployment_is_changed(house: House) {
    let node = worker(&house, false).await;
    let placement = placement(&house, "ann");
    let version = house.ready("a", 100 << 20).await;
    let deployment = house.deploy("a", version).await;
    placement.round().await.expect("plans");
    let replica = ReplicaRecord {
        id: ReplicaId::new(&house.clock, &SystemRandom),
        worker: node,
        organization: house.organization,
        version,
        state: ReplicaState::Failed {
            reason: "The runner was killed.".to_owned(),
        },
        trouble: None,
        address: None,
        crashes: 3,
        providers: Vec::new(),
        resident_bytes: 0,
        load_ms: 0,
        generation: 0,
        threads: None,
        shared: false,
    };
    let published = house.fleet().publish_replicas(node, &[replica], TTL).await;
    published.expect("published");
    placement.round().await.expect("plans");
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, Some(vec![]));
    let mut tx = house.store.tenant(house.organization).await.expect("begins");
    let shown = tx.deployments().show(house.organization, deployment).await;
    let shown = shown.expect("read").expect("is there");
    let reason = shown.versions[0].quarantine.clone().expect("is quarantined");
    assert!(reason.contains("The runner was killed."), "{reason}");
    drop(tx);

    let published = house.fleet().publish_replicas(node, &[], TTL).await;
    published.expect("published");
    house.change(deployment, Settings::default()).await;
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, Some(vec![version]));
}

async fn old_version_is_held_until_the_new_one_answers(house: House) {
    let node = worker(&house, false).await;
    let placement = placement(&house, "ann");
    let old = house.ready("a", 100 << 20).await;
    let deployment = house.deploy("a", old).await;
    placement.round().await.expect("plans");
    tell(&house, node, old, ReplicaState::Ready).await;
    let new = house
        .ready_version(house.show(old).await.model, b"new", 100 << 20)
        .await;
    let both_in_order = Some(vec![old.min(new), old.max(new)]);
    house.change_versions(deployment, vec![(new, 100)]).await;
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, both_in_order);

    let record = |version, state| ReplicaRecord {
        id: ReplicaId::new(&house.clock, &SystemRandom),
        worker: node,
        organization: house.organization,
        version,
        state,
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
    let both = [
        record(old, ReplicaState::Ready),
        record(new, ReplicaState::Loading),
    ];
    house
        .fleet()
        .publish_replicas(node, &both, TTL)
        .await
        .expect("published");
    placement.round().await.expect("plans");
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, both_in_order, "it is not there yet");
    let both = [record(old, ReplicaState::Ready), record(new, ReplicaState::Ready)];
    house
        .fleet()
        .publish_replicas(node, &both, TTL)
        .await
        .expect("published");
    placement.round().await.expect("plans");
    placement.round().await.expect("plans");
    assert_eq!(told(&house, node).await, Some(vec![new]));
}

async fn draining_worker_gets_nothing_new(house: House) {
    let leaving = worker(&house, true).await;
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    round(&house, "ann").await;
    assert!(!told(&house, leaving).await.unwrap_or_default().contains(&version));
    let staying = worker(&house, false).await;
    round(&house, "ann").await;
    assert_eq!(told(&house, staying).await, Some(vec![version]));
}

/// Takes away whatever coordination keeps of the fleet.
async fn empty(house: &House) {
    for collection in ["workers", "assignments", "replicas"] {
        for (id, _) in house.coordination.list(collection).await.expect("listed") {
            house.coordination.remove(collection, &id).await.expect("removed");
        }
    }
    for holder in ["ann", "bob"] {
        house
            .coordination
            .release("placement", holder)
            .await
            .expect("released");
    }
}

async fn announce(house: &House, record: &WorkerRecord) {
    house
        .fleet()
        .announce_worker(record, TTL)
        .await
        .expect("announced");
}

async fn emptied_coordination_moves_nothing(house: House) {
    let holder = worker(&house, false).await;
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    round(&house, "ann").await;
    let mut records = house.fleet().workers().await.expect("read");
    // Afresh, the roomier one would be chosen.
    let mut roomier = records[0].clone();
    roomier.id = WorkerId::new(&house.clock, &SystemRandom);
    roomier.memory_bytes *= 8;
    records.push(roomier.clone());

    empty(&house).await;
    for record in &records {
        announce(&house, record).await;
    }
    // It is the third copy there, and need not be loaded again.
    hold(&house, holder, version, ReplicaState::Ready, 3).await;
    round(&house, "bob").await;
    let assignments = house.fleet().assignments(holder).await.expect("read");
    let held: Vec<_> = assignments
        .iter()
        .flatten()
        .map(|assignment| (assignment.version, assignment.generation))
        .collect();
    assert_eq!(held, [(version, 3)]);
    assert_eq!(told(&house, roomier.id).await, Some(vec![]));
    assert_eq!(round(&house, "bob").await, 0);
}

async fn fleet_is_left_alone_until_workers_had_time_to_announce_themselves(house: House) {
    let holder = worker(&house, false).await;
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    let options = |settle| Options {
        settle,
        ..Options::new("ann".to_owned())
    };
    let patient = Placement::new(
        house.store.clone(),
        house.fleet(),
        Arc::new(house.clock.clone()),
        options(TTL),
    );
    // It has planned before, so a worker that joins is no sign of a loss.
    let eager = Placement::new(
        house.store.clone(),
        house.fleet(),
        Arc::new(house.clock.clone()),
        options(Duration::ZERO),
    );
    eager.round().await.expect("plans");
    patient.round().await.expect("plans");
    assert_eq!(told(&house, holder).await, Some(vec![version]));

    empty(&house).await;
    let other = worker(&house, false).await;
    assert_eq!(patient.round().await.expect("waits"), 0);
    assert_eq!(
        told(&house, other).await,
        None,
        "the one that holds it may come back"
    );
    eager.round().await.expect("plans");
    assert_eq!(told(&house, other).await, Some(vec![version]));
}

#[tokio::test]
async fn deployment_that_cannot_be_read_stays_and_stops_no_other() {
    let house = House::new().await;
    let node = worker(&house, false).await;
    let (broken, good) = (
        house.ready("broken", 100 << 20).await,
        house.ready("good", 100 << 20).await,
    );
    house.deploy("broken", broken).await;
    round(&house, "ann").await;
    assert_eq!(told(&house, node).await, Some(vec![broken]));
    house
        .damage(r#"UPDATE deployments SET settings = '{"threads": "many"}' WHERE name = 'broken'"#)
        .await;
    house.deploy("good", good).await;
    assert_eq!(round(&house, "ann").await, 1);
    let mut held = told(&house, node).await.expect("is told");
    held.sort_unstable();
    let mut expected = [broken, good];
    expected.sort_unstable();
    assert_eq!(held, expected);
}

async fn one_process_plans_and_another_takes_over(house: House) {
    let node = worker(&house, false).await;
    assert!(
        house
            .coordination
            .acquire("placement", "ann", TTL)
            .await
            .expect("answered")
    );
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    assert_eq!(round(&house, "bob").await, 0);
    assert_eq!(told(&house, node).await, None);
    house
        .coordination
        .release("placement", "ann")
        .await
        .expect("released");
    assert_eq!(round(&house, "bob").await, 1);
    assert_eq!(told(&house, node).await, Some(vec![version]));
}

async fn loop_is_woken_by_an_event_and_gives_the_lease_back(house: House) {
    let node = worker(&house, false).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(placement(&house, "ann").run(shutdown.clone()));
    wait_until(LIMIT, || async { told(&house, node).await == Some(vec![]) })
        .await
        .expect("the first round is by the clock");
    let version = house.ready("a", 100 << 20).await;
    house.deploy("a", version).await;
    // As the API does after the commit.
    house
        .coordination
        .publish(Topic::Deployments, &house.organization.to_string())
        .await
        .expect("published");
    wait_until(LIMIT, || async {
        told(&house, node).await == Some(vec![version])
    })
    .await
    .expect("the event wakes it");
    shutdown.cancel();
    running.await.expect("ends in order");
    assert!(
        house
            .coordination
            .acquire("placement", "bob", TTL)
            .await
            .expect("answered")
    );
}
