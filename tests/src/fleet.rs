//! Two APIs, two workers and the background work, as if each were on a machine of its own: requests go through the workers' doors,
//! by TLS.

mod authority;
mod callers;

use std::time::Instant;

use berth_test_support::{minilm_folder, wait_until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use self::authority::Authority;
use self::callers::Callers;
use crate::installation::{Cluster, LIMIT, Member};
use crate::processes::{kill, runners};
use crate::tenant::{Key, Tenant, packed};

const MODEL: &str = "all-minilm-l6-v2";

/// Answers that callers get between two events, so that each event happens under load.
const BETWEEN: usize = 40;

/// A fleet that serves a model by a replica on each worker.
struct Scene {
    cluster: Cluster,
    tenant: Tenant,
    key: Key,
    _authority: Authority,
}

impl Scene {
    async fn new() -> Self {
        let authority = Authority::new();
        let settings = authority.settings();
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let cluster = Cluster::start_fleet(&settings).await.expect("starts");
        let tenant = Tenant::sign_up(cluster.address(), "tenant")
            .await
            .expect("signs up");
        let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
        tenant
            .serve(MODEL, "model.tar.gz", archive)
            .await
            .expect("is served");
        let two = json!({ "settings": { "replicas": { "min": 2, "max": 2 } } });
        let path = tenant.path(&format!("/deployments/{MODEL}"));
        tenant
            .patch(&path, &two)
            .await
            .and_then(crate::tenant::Answer::accepted)
            .expect("is changed");
        let key = tenant.make_key().await.expect("makes a key");
        let mut scene = Self {
            cluster,
            tenant,
            key,
            _authority: authority,
        };
        scene.both_serve().await;
        scene
    }

    /// Waits until both workers hold a replica that answers.
    async fn both_serve(&mut self) {
        for member in [Member::Worker, Member::SecondWorker] {
            let worker = self.cluster.process(member);
            let served = || {
                let served = runners(worker.pid()).len() == 1 && worker.output().contains("a model is ready");
                async move { served }
            };
            let served = wait_until(LIMIT, served).await;
            served.unwrap_or_else(|_| panic!("the {} holds a replica", member.name()));
        }
    }

    fn callers(&self) -> Callers {
        let addresses = self.cluster.apis.each_ref().map(|(_, address)| address.clone());
        Callers::start(addresses, &self.key, MODEL)
    }

    /// Asks a process to end, and starts it once more when it has.
    async fn restart(mut self, member: Member) -> Self {
        let ended = tokio::task::spawn_blocking(move || {
            let status = self.cluster.process(member).terminate();
            (status, self)
        });
        let (status, mut scene) = ended.await.expect("no panic");
        let status = status.expect("ends in time");
        assert!(status.success(), "the {} ended with {status}", member.name());
        scene.cluster.start_again(member).await.expect("starts again");
        scene
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_is_restarted_node_by_node_without_a_failed_request() {
    let mut scene = Scene::new().await;
    let callers = scene.callers();
    callers.wait_for_answers(BETWEEN).await;
    for member in [
        Member::Worker,
        Member::SecondWorker,
        Member::ApiA,
        Member::ApiB,
        Member::Tasks,
    ] {
        scene = scene.restart(member).await;
        scene.both_serve().await;
        callers.wait_for_answers(BETWEEN).await;
    }
    let told = callers.stop().await;
    assert!(
        told.failures.is_empty(),
        "{} answers, and {:#?}",
        told.answers,
        told.failures
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn way_of_a_request_is_told_by_any_node_and_to_its_owners_alone() {
    let scene = Scene::new().await;
    let [(_, asked), (_, other)] = &scene.cluster.apis;
    let tenant = scene.tenant.at(asked);
    let request = crate::tenant::http()
        .post(format!("{asked}/v1/embeddings"))
        .bearer_auth(&scene.key.text)
        .json(&json!({ "model": MODEL, "input": "where does this go?" }));
    let answer = request.send().await.expect("is answered");
    assert_eq!(answer.status(), StatusCode::OK);
    let id = answer.headers()["x-request-id"]
        .to_str()
        .expect("a text")
        .to_owned();

    let path = tenant.path(&format!("/requests/{id}"));
    for address in [asked, other] {
        let told = tenant.at(address).get(&path).await.expect("is answered");
        let trail = told.accepted().expect("it is known").body;
        assert_eq!(trail["request_id"], id.as_str());
        assert_eq!(
            (&trail["outcome"], &trail["model"]),
            (&json!("ok"), &json!(MODEL))
        );
        assert_eq!(trail["attempts"][0]["outcome"], "answered");
        assert_eq!(trail["attempts"][0]["way"], "worker", "no socket is used here");
        let us = |value: &Value| value.as_u64().expect("a number");
        let runner = &trail["runner"];
        assert!(us(&runner["compute_us"]) > 0, "{trail}");
        assert!(
            us(&trail["total_us"]) >= us(&runner["compute_us"]) + us(&runner["queue_us"]),
            "{trail}"
        );
        assert!(us(&runner["batch_requests"]) >= 1, "{trail}");
    }
    let stranger = Tenant::sign_up(asked, "stranger").await.expect("signs up");
    let theirs = stranger.path(&format!("/requests/{id}"));
    let refused = stranger.get(&theirs).await.expect("is answered");
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_heals_when_a_node_dies() {
    let mut scene = Scene::new().await;
    let callers = scene.callers();
    callers.wait_for_answers(BETWEEN).await;
    let mut healed = Vec::new();

    // A runner.
    let runner = runners(scene.cluster.worker.pid())[0];
    let begun = Instant::now();
    kill(runner).expect("can be killed");
    let worker = scene.cluster.worker.pid();
    let fresh = || {
        let fresh = runners(worker).first().is_some_and(|pid| *pid != runner);
        async move { fresh }
    };
    wait_until(LIMIT, fresh).await.expect("a fresh runner");
    callers.wait_for_answers(BETWEEN).await;
    healed.push(("a runner", begun.elapsed()));

    // An API: the other goes on, and this one comes back.
    let begun = Instant::now();
    scene.cluster.process(Member::ApiA).kill().expect("can be killed");
    scene
        .cluster
        .start_again(Member::ApiA)
        .await
        .expect("starts again");
    callers.wait_for_answers(BETWEEN).await;
    healed.push(("an API", begun.elapsed()));

    // A worker with the only replica: it is placed on the other.
    let one = json!({ "settings": { "replicas": { "min": 1, "max": 1 } } });
    let path = scene.tenant.path(&format!("/deployments/{MODEL}"));
    let changed = scene.tenant.patch(&path, &one).await.expect("is answered");
    changed.accepted().expect("is changed");
    let holders = || {
        [
            &scene.cluster.worker,
            scene.cluster.second_worker.as_ref().expect("is there"),
        ]
        .map(|worker| runners(worker.pid()).len())
    };
    wait_until(LIMIT, || {
        let settled = holders().iter().sum::<usize>() == 1;
        async move { settled }
    })
    .await
    .expect("one replica is taken away");
    let holder = if holders()[0] == 1 {
        Member::Worker
    } else {
        Member::SecondWorker
    };
    callers.wait_for_answers(BETWEEN).await;
    let begun = Instant::now();
    scene.cluster.process(holder).kill().expect("can be killed");
    callers.wait_for_answers(BETWEEN).await;
    healed.push(("a worker with the only replica", begun.elapsed()));

    let told = callers.stop().await;
    for (what, time) in &healed {
        println!("{what}: healed after {:.1} s", time.as_secs_f64());
    }
    // What a death costs is refused clearly, with the advice to try again.
    for failure in &told.failures {
        assert!(failure.is_clear(), "{} answers, and {failure:?}", told.answers);
    }
}
