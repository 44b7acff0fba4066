//! An installation that serves over HTTP, with people, organizations and keys as tests need them.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_api::options::BodyLimits;
use berth_api::{Options, Server, Services};
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
use berth_serving::uploads::Uploads;
use berth_store::{Options as StoreOptions, Store};
use berth_test_support::TestDatabase;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;

pub(crate) const PASSWORD: &str = "a long walk on the pier";
pub(crate) const API: &str = "/api/v1";

/// One installation.
pub(crate) struct House {
    pub(crate) base: String,
    pub(crate) client: Client,
    pub(crate) auth: Auth,
    pub(crate) store: Store,
    pub(crate) stop: CancellationToken,
    pub(crate) served: Option<JoinHandle<Result<(), berth_api::Error>>>,
    // Dropped last: the pools go first.
    _folder: tempfile::TempDir,
    _database: TestDatabase,
}

/// An organization with a project and what opens them.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) token: String,
    pub(crate) organization: String,
    pub(crate) project: String,
}

impl Tenant {
    pub(crate) fn root(&self) -> String {
        format!("{API}/organizations/{}", self.organization)
    }

    pub(crate) fn project_root(&self) -> String {
        format!("{}/projects/{}", self.root(), self.project)
    }

    /// What stands in paths for the names in braces; ids that lead nowhere for what the tenant does not have.
    pub(crate) fn parts(&self) -> BTreeMap<&'static str, String> {
        let unknown = |prefix: &str| format!("{prefix}_01jd0000000000000000000000");
        [
            ("organization_id", self.organization.clone()),
            ("project_id", self.project.clone()),
            ("membership_id", unknown("mbr")),
            ("role_id", unknown("role")),
            ("invitation_id", unknown("inv")),
            ("service_account_id", unknown("sa")),
            ("api_key_id", unknown("key")),
            ("session_id", unknown("sess")),
            ("user_id", unknown("user")),
            ("model_id", unknown("model")),
            ("name", "no-such-name".to_owned()),
            ("number", "1".to_owned()),
            ("model", "no-such-model".to_owned()),
            ("version", "1".to_owned()),
            ("code", "not_found".to_owned()),
            ("file", "index.html".to_owned()),
        ]
        .into()
    }
}

/// `template` with its braces filled.
pub(crate) fn fill(template: &str, parts: &BTreeMap<&'static str, String>) -> String {
    parts.iter().fold(template.to_owned(), |path, (name, value)| {
        path.replace(&format!("{{{name}}}"), value)
    })
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await.expect("a database");
        let options = StoreOptions::new(
            Secret::new(database.app_url()),
            Secret::new(database.system_url()),
        );
        let store = Store::connect(&options).await.expect("the database is there");
        let folder = tempfile::tempdir().expect("a folder");
        let stop = CancellationToken::new();
        let (services, auth) = services(&store, folder.path(), &stop).await;

        let mut options = Options {
            threads: 1,
            body_limits: BodyLimits {
                control: 10_000,
                inference: 100_000,
                upload: 1_000_000,
            },
            ..Options::default()
        };
        change(&mut options);
        let server = Server::bind(options, services).expect("binds");
        let base = format!("{}://{}", server.scheme(), server.address());
        let served = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self {
            base,
            client: Client::new(),
            auth,
            store,
            stop,
            served: Some(served),
            _folder: folder,
            _database: database,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str, credential: Option<&str>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match credential {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn get(&self, path: &str, credential: &str) -> Answer {
        self.send(self.request(Method::GET, path, Some(credential))).await
    }

    pub(crate) async fn post(&self, path: &str, credential: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, Some(credential)).json(body))
            .await
    }

    pub(crate) async fn patch(&self, path: &str, credential: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path, Some(credential)).json(body))
            .await
    }

    pub(crate) async fn delete(&self, path: &str, credential: &str) -> Answer {
        self.send(self.request(Method::DELETE, path, Some(credential)))
            .await
    }

    /// An account, and its tokens.
    pub(crate) async fn sign_up(&self, email: &str) -> Value {
        let body = json!({"email": email, "password": PASSWORD});
        let request = self
            .request(Method::POST, "/api/v1/auth/sign-up", None)
            .json(&body);
        self.send(request).await.succeeded(201)
    }

    pub(crate) async fn token(&self, email: &str) -> String {
        text(&self.sign_up(email).await["access_token"])
    }

    /// The first operator's token.
    pub(crate) async fn operator(&self) -> String {
        let email = "operator@example.com".parse().expect("an address");
        self.auth
            .bootstrap(email, &Secret::new(PASSWORD), None)
            .await
            .expect("the first operator");
        let body = json!({"email": "operator@example.com", "password": PASSWORD});
        let request = self
            .request(Method::POST, "/api/v1/auth/sign-in", None)
            .json(&body);
        text(&self.send(request).await.succeeded(200)["access_token"])
    }

    /// The organization `name` with the project `main`.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let token = self.token(&format!("owner@{name}.example")).await;
        let body = json!({"name": name, "title": name});
        let made = self
            .post("/api/v1/organizations", &token, &body)
            .await
            .succeeded(201);
        let organization = text(&made["organization_id"]);
        let body = json!({"name": "main", "title": "Main", "origins": ["https://app.example"]});
        let path = format!("{API}/organizations/{organization}/projects");
        let made = self.post(&path, &token, &body).await.succeeded(201);
        Tenant {
            token,
            organization,
            project: text(&made["project_id"]),
        }
    }

    /// A new person with `role` in the whole organization.
    pub(crate) async fn member(&self, tenant: &Tenant, email: &str, role: &str) -> String {
        let token = self.token(email).await;
        let path = format!("{}/invitations", tenant.root());
        let body = json!({"email": email, "role": role});
        let invited = self.post(&path, &tenant.token, &body).await.succeeded(201);
        let body = json!({"token": invited["token"]});
        self.post("/api/v1/auth/invitations/accept", &token, &body)
            .await
            .succeeded(200);
        token
    }

    /// A key of the tenant's project with these scopes.
    pub(crate) async fn key(&self, tenant: &Tenant, scopes: &[&str]) -> String {
        self.key_with(tenant, &json!({"title": "a key", "scopes": scopes}))
            .await
    }

    pub(crate) async fn key_with(&self, tenant: &Tenant, body: &Value) -> String {
        let path = format!("{}/api-keys", tenant.project_root());
        text(&self.post(&path, &tenant.token, body).await.succeeded(201)["secret"])
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

async fn services(store: &Store, folder: &std::path::Path, stop: &CancellationToken) -> (Services, Auth) {
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
    let router = Router::new(store.clone(), around.fleet.clone(), &SystemRandom);
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
        timeout: std::time::Duration::from_secs(10),
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
        inference: Inference::new(router),
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
