//! The parts of an installation, as its binary puts them together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use berth_api::Services;
use berth_auth::auth::{Auth, Options as AuthOptions, Parts, SignUpPolicy};
use berth_auth::authenticator::{self, Authenticator};
use berth_auth::pepper::{Pepper, Peppers};
use berth_auth::signing::{self, SigningKey, SigningKeys};
use berth_coordination::memory::Memory;
use berth_coordination::{Coordination, Fleet};
use berth_domain::clock::{Clock, SystemClock};
use berth_domain::random::{Random, SystemRandom};
use berth_domain::secret::Secret;
use berth_serving::Surroundings;
use berth_serving::artifacts::{ArtifactStore, Staging, store};
use berth_serving::deployments::Deployments;
use berth_serving::gate::{self, Gate};
use berth_serving::inference::Inference;
use berth_serving::models::Models;
use berth_serving::routing::Router;
use berth_serving::trails::Trails;
use berth_serving::transport::Peers;
use berth_serving::uploads::Uploads;
use berth_store::Store;
use tokio_util::sync::CancellationToken;

pub(super) async fn services(store: &Store, folder: &Path, stop: &CancellationToken) -> (Services, Auth) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let coordination: Arc<dyn Coordination> = Arc::new(Memory::new());
    let auth = auth(store, &coordination, &clock);
    let (authenticator, informed) = Authenticator::new(
        authenticator::Options::default(),
        store.clone(),
        Arc::clone(&coordination),
        peppers(),
        Arc::clone(&clock),
        &SystemRandom,
    );
    tokio::spawn(informed.run(stop.clone().cancelled_owned()));
    let around = Surroundings {
        store: store.clone(),
        fleet: Fleet::new(Arc::clone(&coordination)),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
    };
    let router = Router::new(store.clone(), around.fleet.clone(), Peers::here(), &SystemRandom);
    tokio::spawn({
        let (router, stop) = (router.clone(), stop.clone());
        async move { router.run(stop).await }
    });
    let artifacts = ArtifactStore::open(&store::Options::Folder(folder.join("artifacts"))).await;
    let staging = Staging::open(folder.join("staging")).await;
    let gate = Gate::new(gate::Options {
        // What gets as far as the gate is tested with the real program elsewhere.
        program: "/nonexistent/berth".into(),
        concurrency: 1,
        timeout: Duration::from_secs(10),
        limits: gate::Limits::default(),
        best_effort: true,
    });
    let uploads = Uploads::new(
        around.clone(),
        gate,
        staging.expect("a staging folder"),
        artifacts.expect("an artifact store"),
    );
    let services = Services {
        clock,
        random,
        store: store.clone(),
        auth: auth.clone(),
        authenticator,
        models: Models::new(around.clone()),
        uploads,
        deployments: Deployments::new(around),
        inference: Inference::new(router, Trails::new(Arc::clone(&coordination)), "test"),
        coordination,
        metrics: Arc::new(|| "berth_build_info 1\n".to_owned()),
    };
    (services, auth)
}

/// Everyone may sign up, no mail is sent; weak hashes and wide limits, which tests are not about.
fn auth(store: &Store, coordination: &Arc<dyn Coordination>, clock: &Arc<dyn Clock>) -> Auth {
    let mut options = AuthOptions::new("https://berth.example", "test".parse().expect("an environment"));
    options.sign_up = SignUpPolicy::Open;
    options.passwords.memory_kib = 64;
    options.passwords.iterations = 1;
    options.throttle.sign_in_by_address.attempts = 10_000;
    options.throttle.sign_up_by_address.attempts = 10_000;
    options.throttle.reset_by_address.attempts = 10_000;
    let signing_key = SigningKey::from_pem(&signing::generate(&SystemRandom)).expect("a key");
    let parts = Parts {
        store: store.clone(),
        coordination: Arc::clone(coordination),
        clock: Arc::clone(clock),
        random: Arc::new(SystemRandom),
        peppers: peppers(),
        signing_keys: SigningKeys::new(signing_key, vec![]),
    };
    Auth::new(options, parts).expect("valid parameters")
}

fn peppers() -> Peppers {
    let pepper = Pepper {
        id: "one".to_owned(),
        secret: Secret::new("the sea is salt enough already, thank you"),
    };
    Peppers::new(pepper, vec![]).expect("a pepper")
}
