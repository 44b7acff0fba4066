//! A node and its runners. The tests have threads of their own for the coordination, which answers while a test waits for
//! its node to end.

use berth_coordination::records::{ReplicaRecord, ReplicaState};
use berth_protocol::runner::Operation;
use berth_protocol::worker::{File, ProveVersionRequest, StatusRequest};
use berth_test_support::{wait_for, wait_until};

use crate::models::{self, Model};
use crate::nodes::{Site, control, lives, runner};
use crate::runners::{LIMIT, is_busy, request, spin};

const BODY: &str = r#"{"model":"m","input":"A man is playing a guitar."}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assigned_version_is_fetched_held_and_taken_off_again() {
    let site = Site::new().await;
    let assignment = site.publish(&models::minilm()).await;
    let (mut node, worker) = site.node().await;
    assert_eq!(worker.protocol, berth_protocol::PROTOCOL_VERSION);
    assert!(worker.library_version.starts_with("1."), "{worker:?}");
    assert!(worker.memory_bytes > 0 && !worker.draining);

    site.fleet
        .assign(worker.id, std::slice::from_ref(&assignment))
        .await
        .expect("told");
    let replica = site.ready().await;
    assert_eq!((replica.version, replica.worker), (assignment.version, worker.id));
    assert!(
        replica.resident_bytes > 20 << 20 && replica.load_ms > 0,
        "{replica:?}"
    );
    let response = runner(&replica).infer(request(Operation::Embeddings, BODY)).await;
    assert_eq!(response.expect("an answer").failure, None);

    let status = control(&worker)
        .await
        .status(StatusRequest {})
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(status.worker, worker.id.to_string());
    assert_eq!(
        (status.replicas[0].state.as_str(), status.replicas[0].starts),
        ("ready", 1)
    );
    let pid = status.replicas[0].pid;
    assert!(lives(pid));

    site.fleet.assign(worker.id, &[]).await.expect("told");
    let gone = wait_until(LIMIT, || async {
        site.fleet.replicas().await.expect("the fleet answers").is_empty()
    });
    gone.await.expect("it is taken off");
    assert!(!lives(pid));
    assert!(node.terminate().expect("it ends").success());
    assert!(site.fleet.workers().await.expect("the fleet answers").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_runner_is_replaced_by_itself() {
    let site = Site::new().await;
    let assignment = site.publish(&models::minilm()).await;
    let (_node, worker) = site.node().await;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    let first = site.ready().await;
    let mut control = control(&worker).await;
    let pid = control
        .status(StatusRequest {})
        .await
        .expect("an answer")
        .into_inner()
        .replicas[0]
        .pid;
    kill(pid);
    let second = site
        .replica(|replica| replica.state == ReplicaState::Ready && replica.address != first.address)
        .await;
    assert_eq!(second.id, first.id);
    let response = runner(&second).infer(request(Operation::Embeddings, BODY)).await;
    assert_eq!(response.expect("an answer").failure, None);
    let status = control
        .status(StatusRequest {})
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(status.replicas[0].starts, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runner_that_is_killed_again_and_again_comes_back_each_time() {
    let site = Site::new().await;
    let assignment = site.publish(&models::minilm()).await;
    let mut command = site.command();
    command.env("BERTH_WORKER__LONGEST_RESTART_WAIT", "1s");
    let (_node, worker) = site.node_of(&mut command).await;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    let mut replica = site.ready().await;
    let mut control = control(&worker).await;
    for killed in 1..=4 {
        let status = control.status(StatusRequest {}).await.expect("an answer");
        kill(status.into_inner().replicas[0].pid);
        let old = replica;
        replica = site
            .replica(|replica| replica.state == ReplicaState::Ready && replica.address != old.address)
            .await;
        assert_eq!((replica.id, &replica.trouble), (old.id, &None));
        let answer = runner(&replica).infer(request(Operation::Embeddings, BODY)).await;
        assert_eq!(answer.expect("an answer").failure, None, "{killed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_that_fails_again_and_again_is_told_with_its_reason_and_still_tried() {
    let site = Site::new().await;
    let assignment = site.publish(&models::broken()).await;
    let mut command = site.command();
    command
        .env("BERTH_WORKER__RESTART_WAIT", "100ms")
        .env("BERTH_WORKER__LONGEST_RESTART_WAIT", "200ms");
    let (_node, worker) = site.node_of(&mut command).await;
    site.fleet
        .assign(worker.id, std::slice::from_ref(&assignment))
        .await
        .expect("told");
    let trouble = |replica: &ReplicaRecord| match &replica.state {
        ReplicaState::Failed { reason } => Some(reason.clone()),
        _ => None,
    };
    let first = site.replica(|replica| replica.trouble.is_some()).await;
    assert!(matches!(
        first.state,
        ReplicaState::Loading | ReplicaState::Fetching
    ));
    let replica = site.replica(|replica| trouble(replica).is_some()).await;
    let reason = trouble(&replica).expect("a reason");
    assert!(reason.contains("model.onnx"), "{reason}");
    assert_eq!(first.trouble, Some(reason), "the first attempt told as much");
    let mut control = control(&worker).await;
    let again = wait_for(LIMIT, || {
        let mut control = control.clone();
        async move {
            let status = control.status(StatusRequest {}).await.ok()?.into_inner();
            let replica = status.replicas.into_iter().next()?;
            (replica.starts > 4).then_some(replica.state)
        }
    });
    assert_eq!(again.await.expect("it is tried again").as_str(), "failed");
    // Asked for a fresh copy, the node tries anew.
    let mut again = assignment;
    again.generation = 2;
    site.fleet.assign(worker.id, &[again]).await.expect("told");
    site.replica(|fresh| fresh.id != replica.id).await;
    control.status(StatusRequest {}).await.expect("the node lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_fetched_are_told_of_and_tried_again() {
    let site = Site::new().await;
    let model = models::minilm();
    let assignment = site.assignment(&model);
    let (_node, worker) = site.node().await;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    let fetched = |replica: &ReplicaRecord| replica.trouble.clone();
    let waiting = site.replica(|replica| fetched(replica).is_some()).await;
    assert_eq!(
        fetched(&waiting).expect("words"),
        "The model's files could not be fetched from the artifact store."
    );
    site.publish(&model).await;
    site.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_of_the_assignment_reach_the_runner() {
    let site = Site::new().await;
    let mut assignment = site.publish(&models::spinner()).await;
    let (_node, worker) = site.node().await;
    let threads_of = |replica: ReplicaRecord| {
        let worker = worker.clone();
        async move {
            let mut control = control(&worker).await;
            let status = control.status(StatusRequest {}).await.expect("an answer");
            let held = status.into_inner().replicas.into_iter();
            let id = replica.id.to_string();
            let pid = held.filter(|held| held.replica == id).map(|held| held.pid).next();
            let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.expect("it is held")));
            tasks.expect("it lives").count()
        }
    };
    site.fleet
        .assign(worker.id, std::slice::from_ref(&assignment))
        .await
        .expect("told");
    let one = site.ready().await;
    let alone = threads_of(one.clone()).await;
    assignment.threads = Some(2);
    assignment.generation += 1;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    let two = site
        .replica(|replica| replica.state == ReplicaState::Ready && replica.id != one.id)
        .await;
    let machine = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert_eq!(threads_of(two).await, alone + machine.min(2) - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_node_lets_requests_finish_and_leaves() {
    let site = Site::new().await;
    let assignment = site.publish(&models::spinner()).await;
    let (mut node, worker) = site.node().await;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    let replica = site.ready().await;
    let pid = control(&worker)
        .await
        .status(StatusRequest {})
        .await
        .expect("an answer")
        .into_inner()
        .replicas[0]
        .pid;
    let client = runner(&replica);
    let request = tokio::spawn(async move { client.infer(spin(400_000)).await });
    is_busy(pid).await;
    let ended = tokio::task::spawn_blocking(move || node.terminate());
    site.replica(|replica| replica.state == ReplicaState::Draining)
        .await;
    let response = request.await.expect("no panic").expect("an answer");
    assert_eq!(response.failure, None);
    assert!(ended.await.expect("no panic").expect("it ends").success());
    assert!(site.fleet.workers().await.expect("the fleet answers").is_empty());
    assert!(site.fleet.replicas().await.expect("the fleet answers").is_empty());
    let left: Vec<_> = std::fs::read_dir(site.sockets())
        .expect("the folder is there")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_runner_outlives_a_node_that_is_killed() {
    let site = Site::new().await;
    let assignment = site.publish(&models::spinner()).await;
    let (mut node, worker) = site.node().await;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    site.ready().await;
    let pid = control(&worker)
        .await
        .status(StatusRequest {})
        .await
        .expect("an answer")
        .into_inner()
        .replicas[0]
        .pid;
    node.kill().expect("it is killed");
    wait_until(LIMIT, || async { !lives(pid) })
        .await
        .expect("the runner ends");
    // Its lease runs out, and the next node clears its sockets away.
    let gone = wait_until(LIMIT, || async {
        site.fleet.workers().await.expect("the fleet answers").is_empty()
    });
    gone.await.expect("the lease runs out");
    let (_next, _) = site.node().await;
    assert_eq!(
        std::fs::read_dir(site.sockets())
            .expect("the folder is there")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runner_sees_nothing_of_the_nodes_environment() {
    let site = Site::new().await;
    let assignment = site.publish(&models::spinner()).await;
    let (_node, worker) = site.node().await;
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    site.ready().await;
    let pid = control(&worker)
        .await
        .status(StatusRequest {})
        .await
        .expect("an answer")
        .into_inner()
        .replicas[0]
        .pid;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(
        !environment.contains("BERTH_") && !environment.contains("HOME="),
        "{environment}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_is_proved_measured_and_let_go() {
    let site = Site::new().await;
    let minilm = models::minilm();
    let assignment = site.publish(&minilm).await;
    let (_node, worker) = site.node().await;
    let mut control = control(&worker).await;
    let request = proof(&site, &minilm);
    let answer = control.prove(request).await.expect("an answer").into_inner();
    assert!(
        answer.ok && answer.warnings.is_empty() && answer.reason.is_empty(),
        "{answer:?}"
    );
    assert!(
        answer.resident_bytes > 20 << 20 && answer.load_us > 0 && answer.run_us > 0,
        "{answer:?}"
    );
    assert!(site.fleet.replicas().await.expect("the fleet answers").is_empty());
    drop(assignment);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_that_cannot_be_loaded_fails_its_proof_in_words() {
    let site = Site::new().await;
    let broken = models::broken();
    site.publish(&broken).await;
    let (_node, worker) = site.node().await;
    let answer = control(&worker)
        .await
        .prove(proof(&site, &broken))
        .await
        .expect("an answer")
        .into_inner();
    assert!(!answer.ok);
    assert!(answer.reason.contains("model.onnx"), "{}", answer.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_the_node_cannot_have_are_its_trouble_and_not_the_models() {
    let site = Site::new().await;
    let mut command = site.command();
    command.env("BERTH_WORKER__CACHE_SIZE", "1MiB");
    let (_node, worker) = site.node_of(&mut command).await;
    let mut control = control(&worker).await;
    let status = control.prove(proof(&site, &models::broken())).await;
    let status = status.expect_err("no verdict");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "The model's files could not be fetched from the artifact store."
    );
    let large = models::minilm();
    site.publish(&large).await;
    let status = control.prove(proof(&site, &large)).await.expect_err("no verdict");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "The model's files do not fit into the cache of the worker."
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_that_never_comes_to_an_end_fails_and_lets_others_be_proved() {
    let site = Site::new().await;
    let (endless, minilm) = (models::endless(), models::minilm());
    for model in [&endless, &minilm] {
        site.publish(model).await;
    }
    let mut command = site.command();
    command.env("BERTH_WORKER__PROOF_TIMEOUT", "2s");
    let (_node, worker) = site.node_of(&mut command).await;
    let mut control = control(&worker).await;
    let answer = control.prove(proof(&site, &endless)).await;
    let answer = answer.expect("an answer").into_inner();
    assert!(!answer.ok);
    assert_eq!(
        answer.reason,
        "The model did not come to an end on made-up inputs within 2 s."
    );
    let answer = control.prove(proof(&site, &minilm)).await;
    assert!(answer.expect("an answer").into_inner().ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_that_gets_no_turn_is_the_nodes_trouble_and_not_the_models() {
    let site = Site::new().await;
    let endless = models::endless();
    site.publish(&endless).await;
    let (_node, worker) = site.node().await;
    let first = tokio::spawn({
        let (mut control, request) = (control(&worker).await, proof(&site, &endless));
        async move { control.prove(request).await }
    });
    let sockets = || std::fs::read_dir(site.sockets()).into_iter().flatten().flatten();
    let proving = || {
        sockets().any(|node| {
            let files = std::fs::read_dir(node.path()).into_iter().flatten().flatten();
            files
                .into_iter()
                .any(|file| file.file_name().to_string_lossy().starts_with("proof-"))
        })
    };
    wait_until(LIMIT, || async { proving() })
        .await
        .expect("the first is proved");
    let mut second = proof(&site, &endless);
    second.deadline_unix_ms = 1;
    let status = control(&worker).await.prove(second).await.expect_err("no answer");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(status.message(), "the worker proves other versions");
    first.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_without_its_library_says_so_and_does_not_start() {
    let site = Site::new().await;
    let mut command = site.command();
    command.env("BERTH_WORKER__ONNXRUNTIME_LIBRARY", "/no/such/library.so");
    let output = tokio::task::spawn_blocking(move || command.output().expect("it starts"))
        .await
        .expect("no panic");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("there is no ONNX Runtime library at /no/such/library.so"),
        "{said}"
    );
}

pub(crate) fn proof(site: &Site, model: &Model) -> ProveVersionRequest {
    let assignment = site.assignment(model);
    let file = |file: berth_domain::model::ModelFile| File {
        path: file.path,
        digest: file.digest.to_string(),
        size_bytes: file.size_bytes,
    };
    ProveVersionRequest {
        organization: site.organization.to_string(),
        version: assignment.version.to_string(),
        manifest_json: serde_json::to_string(&assignment.manifest).expect("serializes"),
        files: assignment.files.into_iter().map(file).collect(),
        deadline_unix_ms: 0,
    }
}

/// Kills a process that is no child of this one.
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::KILL).expect("it lives");
}
