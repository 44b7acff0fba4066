//! Small models of one organization share a runner; those of another do not.

use berth_coordination::records::{Assignment, ReplicaRecord, ReplicaState};
use berth_domain::clock::SystemClock;
use berth_domain::id::OrganizationId;
use berth_domain::random::SystemRandom;
use berth_protocol::runner::InferRequest;

use crate::models;
use crate::nodes::{Site, runner};
use crate::runners::spin;

/// A request for this replica.
fn spin_of(replica: &ReplicaRecord) -> InferRequest {
    InferRequest {
        replica: replica.id.to_string(),
        ..spin(1)
    }
}

async fn answers(replica: &ReplicaRecord) {
    let answer = runner(replica).infer(spin_of(replica)).await.expect("an answer");
    assert_eq!(answer.failure, None, "{replica:?}");
}

async fn ready(site: &Site, assignment: &Assignment) -> ReplicaRecord {
    let version = assignment.version;
    site.replica(move |replica| replica.version == version && replica.state == ReplicaState::Ready)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_models_of_one_organization_share_a_runner_and_harm_each_other_not() {
    let mut site = Site::new().await;
    let spinner = models::spinner();
    let mut first = site.publish(&spinner).await;
    let mut second = site.publish(&spinner).await;
    let mut apart = site.publish(&spinner).await;
    let mut broken = site.publish(&models::broken()).await;
    site.organization = OrganizationId::new(&SystemClock, &SystemRandom);
    let mut foreign = site.publish(&spinner).await;
    for small in [&mut first, &mut second, &mut apart, &mut broken, &mut foreign] {
        small.resident_bytes = 1 << 20;
    }
    apart.own_runner = true;
    let (_node, worker) = site.node().await;
    let all = [&first, &second, &apart, &broken, &foreign].map(Clone::clone);
    site.fleet.assign(worker.id, &all).await.expect("told");

    let (one, two) = (ready(&site, &first).await, ready(&site, &second).await);
    let (own, other) = (ready(&site, &apart).await, ready(&site, &foreign).await);
    let refused = broken.version;
    site.replica(move |replica| replica.version == refused && replica.trouble.is_some())
        .await;
    assert_eq!(one.address, two.address, "one organization");
    assert!(one.shared && two.shared && !own.shared, "{one:?} {two:?} {own:?}");
    assert_ne!(own.address, one.address, "demands a runner of its own");
    assert_ne!(other.address, one.address, "is another organization's");
    for replica in [&one, &two, &own, &other] {
        answers(replica).await;
    }
    let stranger = runner(&one).infer(spin_of(&other)).await;
    assert!(stranger.is_err(), "it holds no model of others: {stranger:?}");

    let rest = [&second, &apart, &foreign].map(Clone::clone);
    site.fleet.assign(worker.id, &rest).await.expect("told");
    let gone = berth_test_support::wait_until(crate::runners::LIMIT, || async {
        let replicas = site.fleet.replicas().await.expect("the fleet answers");
        replicas.len() == rest.len()
    });
    gone.await.expect("two are taken off");
    answers(&two).await;
    let after = runner(&two).infer(spin_of(&one)).await;
    assert!(after.is_err(), "it is gone: {after:?}");
}
