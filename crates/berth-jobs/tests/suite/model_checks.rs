//! Checks of versions, by workers that answer as the test says.

use std::sync::Arc;
use std::time::Duration;

use berth_coordination::records::WorkerRecord;
use berth_domain::clock::Timestamp;
use berth_domain::id::{MessageId, VersionId, WorkerId};
use berth_domain::model::VersionState;
use berth_domain::random::SystemRandom;
use berth_domain::work::ModelCheck;
use berth_jobs::model_check::ModelChecks;
use berth_jobs::relay::{self, Relay};
use berth_queue::{Delivery, Handler as _, Message, Outcome, Queue};
use berth_serving::proving::Prover;
use berth_serving::transport::Peers;
use berth_store::versions::{Measured, Version};
use berth_test_support::worker::{ProveVersionResponse, Status, TestWorker};
use berth_test_support::{TestBroker, wait_until};
use tokio_util::sync::CancellationToken;

use crate::house::{House, LIMIT, amqp_queue, memory_queue};

const TTL: Duration = Duration::from_mins(10);

/// How long a proof may take.
const PROOF: Duration = Duration::from_secs(20);

fn checks(house: &House) -> ModelChecks {
    ModelChecks::new(
        house.store.clone(),
        Prover::new(house.fleet(), Peers::here(), PROOF),
        Arc::new(house.clock.clone()),
        Arc::new(SystemRandom),
    )
}

fn delivery(house: &House, version: VersionId, attempt: u32) -> Delivery {
    Delivery {
        message: Message::new(
            MessageId::new(&house.clock, &SystemRandom),
            Some(house.organization),
            &ModelCheck { version },
            house.now(),
        )
        .expect("a message"),
        attempt,
        redelivered: false,
    }
}

async fn announce(house: &House, address: &str, draining: bool) {
    let worker = WorkerRecord {
        id: WorkerId::new(&house.clock, &SystemRandom),
        control_address: address.to_owned(),
        machine: None,
        endpoint: None,
        hostname: "node-1".to_owned(),
        devices: vec![],
        memory_bytes: 1 << 33,
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
}

fn works() -> ProveVersionResponse {
    ProveVersionResponse {
        ok: true,
        warnings: vec!["an input is never used".to_owned()],
        resident_bytes: 101 << 20,
        load_us: 128_000,
        run_us: 9_000,
        ..ProveVersionResponse::default()
    }
}

fn does_not() -> ProveVersionResponse {
    ProveVersionResponse {
        reason: "the graph needs 100 GB".to_owned(),
        ..ProveVersionResponse::default()
    }
}

#[tokio::test]
async fn version_that_runs_is_ready_with_what_was_measured() {
    let house = House::new().await;
    let worker = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, worker.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let outcome = checks(&house).handle(&delivery(&house, version, 1)).await;
    assert_eq!(outcome, Outcome::Done);
    let shown = house.show(version).await;
    assert_eq!(shown.state, VersionState::Ready);
    assert_eq!(shown.warnings, ["an input is never used"]);
    assert_eq!(
        shown.measured,
        Some(Measured {
            resident_bytes: 101 << 20,
            load_us: 128_000,
            run_us: 9_000
        })
    );
    let [asked] = &worker.asked()[..] else {
        unreachable!("asked once")
    };
    assert_eq!(asked.organization, house.organization.to_string());
    assert_eq!(asked.version, version.to_string());
    assert_eq!(
        (asked.files[0].path.as_str(), asked.files[0].size_bytes),
        ("model.onnx", 5)
    );
    assert!(asked.deadline_unix_ms > 0);
    let manifest: serde_json::Value = serde_json::from_str(&asked.manifest_json).expect("JSON");
    assert_eq!(manifest["graph"], "model.onnx");
}

#[tokio::test]
async fn version_that_does_not_run_has_failed_with_the_reason() {
    let house = House::new().await;
    let worker = TestWorker::start(|_| Ok(does_not())).expect("starts");
    announce(&house, worker.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let outcome = checks(&house).handle(&delivery(&house, version, 1)).await;
    assert_eq!(outcome, Outcome::Done);
    let shown = house.show(version).await;
    assert_eq!(shown.state, VersionState::Failed);
    assert_eq!(shown.reason.as_deref(), Some("the graph needs 100 GB"));
    assert_eq!(shown.measured, None);
}

#[tokio::test]
async fn without_a_worker_the_check_is_tried_again_and_says_nothing_of_the_model() {
    let house = House::new().await;
    let version = house.version(house.model("a").await, b"graph").await;
    let checks = checks(&house);
    let none = checks.handle(&delivery(&house, version, 500)).await;
    assert!(matches!(none, Outcome::Retry { .. }), "{none:?}");
    announce(&house, "unix:/nowhere/worker.sock", false).await;
    let draining = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, draining.address(), true).await;
    let dead = checks.handle(&delivery(&house, version, 500)).await;
    assert!(matches!(dead, Outcome::Retry { .. }), "{dead:?}");
    assert_eq!(draining.asked(), [], "a worker that leaves is not asked");
    assert_eq!(house.show(version).await.state, VersionState::Checking);
}

#[tokio::test]
async fn dead_worker_is_passed_over_for_one_that_lives() {
    let house = House::new().await;
    for _ in 0..4 {
        announce(&house, "unix:/nowhere/worker.sock", false).await;
    }
    let worker = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, worker.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let outcome = checks(&house).handle(&delivery(&house, version, 1)).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(house.show(version).await.state, VersionState::Ready);
}

#[tokio::test]
async fn worker_in_trouble_of_its_own_is_asked_again_and_again() {
    let house = House::new().await;
    let worker =
        TestWorker::start(|_| Err(Status::unavailable("the files could not be fetched"))).expect("starts");
    announce(&house, worker.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let checks = checks(&house);
    for attempt in 1..10 {
        let outcome = checks.handle(&delivery(&house, version, attempt)).await;
        assert!(
            matches!(&outcome, Outcome::Retry { reason, .. } if reason.contains("could not be fetched")),
            "{outcome:?}"
        );
    }
    assert_eq!(house.show(version).await.state, VersionState::Checking);
}

/// Has the version checked until there is a verdict, each time by a process that has just begun; tells how often.
async fn despair(house: &House, version: VersionId) -> (u32, Version) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match checks(house).handle(&delivery(house, version, attempts)).await {
            Outcome::Done => return (attempts, house.show(version).await),
            outcome => assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}"),
        }
    }
}

/// The version fails after so many tries on a worker that answers so, for a reason that holds this.
async fn gives_up(status: Status, tries: u32, reason: &str) {
    let house = House::new().await;
    let worker = TestWorker::start(move |_| Err(status.clone())).expect("starts");
    announce(&house, worker.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let (attempts, shown) = despair(&house, version).await;
    assert_eq!((attempts, shown.state), (tries, VersionState::Failed));
    let said = shown.reason.expect("says why");
    assert!(said.contains(reason), "{said}");
}

#[tokio::test]
async fn worker_that_says_an_error_each_time_makes_the_version_failed_in_its_words() {
    gives_up(
        Status::internal("the worker fell over"),
        5,
        "error of the worker: the worker fell over",
    )
    .await;
}

#[tokio::test]
async fn version_that_is_too_slow_each_time_has_failed_for_that() {
    let late = Status::deadline_exceeded("the version was not proved in time");
    gives_up(late, 5, "not loaded and run within 20 s, in each of 5 tries").await;
}

#[tokio::test]
async fn files_that_no_worker_has_are_fetched_for_long_before_the_version_fails() {
    let missing = Status::failed_precondition("The files could not be fetched.");
    gives_up(
        missing,
        60,
        "The files could not be fetched. It was tried 60 times.",
    )
    .await;
}

#[tokio::test]
async fn files_that_one_worker_cannot_have_are_tried_at_once_on_another() {
    let house = House::new().await;
    let unmounted = || Err(Status::failed_precondition("The files could not be fetched."));
    let broken: Vec<_> = (0..4)
        .map(|_| TestWorker::start(move |_| unmounted()).expect("starts"))
        .collect();
    for worker in &broken {
        announce(&house, worker.address(), false).await;
    }
    let good = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, good.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let outcome = checks(&house).handle(&delivery(&house, version, 1)).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(house.show(version).await.state, VersionState::Ready);
}

#[tokio::test]
async fn worker_that_gave_no_verdict_is_asked_last_the_next_time() {
    let house = House::new().await;
    let odd: Vec<_> = (0..4)
        .map(|_| TestWorker::start(|_| Err(Status::internal("fell over"))).expect("starts"))
        .collect();
    for worker in &odd {
        announce(&house, worker.address(), false).await;
    }
    let version = house.version(house.model("a").await, b"graph").await;
    for attempt in 1..=4 {
        let outcome = checks(&house).handle(&delivery(&house, version, attempt)).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    let asked: Vec<_> = odd.iter().map(|worker| worker.asked().len()).collect();
    assert_eq!(asked, [1; 4], "each once before any twice");
    let good = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, good.address(), false).await;
    let outcome = checks(&house).handle(&delivery(&house, version, 5)).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(house.show(version).await.state, VersionState::Ready);
}

#[tokio::test]
async fn check_that_waits_for_a_worker_does_not_count_as_lost() {
    let house = House::new().await;
    let version = house.version(house.model("a").await, b"graph").await;
    house.clock.advance(chrono::TimeDelta::hours(1));
    let before = house.now();
    let outcome = checks(&house).handle(&delivery(&house, version, 1)).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    let mut tx = house.store.system().await.expect("begins");
    let stuck = tx.versions().stuck_checking(before, 10).await.expect("read");
    assert_eq!(stuck, []);
}

#[tokio::test]
async fn second_delivery_changes_nothing() {
    let house = House::new().await;
    let good = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, good.address(), false).await;
    let version = house.version(house.model("a").await, b"graph").await;
    let checks = checks(&house);
    let (first, second) = (delivery(&house, version, 1), delivery(&house, version, 1));
    let outcomes = tokio::join!(checks.handle(&first), checks.handle(&second));
    assert_eq!(outcomes, (Outcome::Done, Outcome::Done));
    let after = house.show(version).await;
    assert_eq!(after.warnings, ["an input is never used"], "counted once");

    let asked = good.asked().len();
    house.clock.advance(chrono::TimeDelta::minutes(1));
    assert_eq!(checks.handle(&first).await, Outcome::Done);
    assert_eq!(house.show(version).await, after);
    assert_eq!(good.asked().len(), asked, "nobody is asked again");
}

#[tokio::test]
async fn version_that_was_deleted_meanwhile_needs_no_check() {
    let house = House::new().await;
    let version = house.version(house.model("a").await, b"graph").await;
    house.delete_version(version).await;
    let outcome = checks(&house).handle(&delivery(&house, version, 1)).await;
    assert_eq!(outcome, Outcome::Done);
}

#[tokio::test]
async fn message_that_is_not_understood_is_a_dead_letter() {
    let house = House::new().await;
    let mut odd = delivery(&house, VersionId::new(&house.clock, &SystemRandom), 1);
    odd.message.payload = serde_json::json!({ "version": 7 });
    let outcome = checks(&house).handle(&odd).await;
    assert!(matches!(outcome, Outcome::Fail { .. }), "{outcome:?}");
}

#[tokio::test]
async fn message_of_a_later_release_waits_for_a_process_of_that_release() {
    let house = House::new().await;
    let mut later = delivery(&house, VersionId::new(&house.clock, &SystemRandom), 1);
    later.message.version = 2;
    let outcome = checks(&house).handle(&later).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
}

async fn goes_from_upload_to_ready(queue: Arc<dyn Queue>) {
    let house = House::new().await;
    let consumer = queue
        .consume("model.check", 4, Arc::new(checks(&house)))
        .expect("consumes");
    let shutdown = CancellationToken::new();
    let relay = Relay::new(
        house.store.clone(),
        Arc::clone(&queue),
        Arc::new(house.clock.clone()),
        relay::Options::default(),
    );
    let relay = tokio::spawn(relay.run(shutdown.clone()));
    let version = house.version(house.model("a").await, b"graph").await;
    house.ask_for_check(version).await;
    wait_until(LIMIT, || async { house.backlog().await.waiting == 0 })
        .await
        .expect("is relayed");
    // The worker comes later than the message.
    let worker = TestWorker::start(|_| Ok(works())).expect("starts");
    announce(&house, worker.address(), false).await;
    wait_until(LIMIT, || async {
        house.show(version).await.state == VersionState::Ready
    })
    .await
    .expect("is checked");
    consumer.stop().await;
    shutdown.cancel();
    relay.await.expect("ends in order");
    assert_eq!(queue.dead_letters(1).await.expect("answered"), []);
}

#[tokio::test]
async fn upload_becomes_ready_over_memory() {
    goes_from_upload_to_ready(memory_queue()).await;
}

#[tokio::test]
async fn upload_becomes_ready_over_amqp() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    goes_from_upload_to_ready(amqp_queue(broker.url(), &broker)).await;
}
