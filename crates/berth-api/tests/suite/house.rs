//! An installation that serves over HTTP, with people, organizations and keys as tests need them.

mod services;

use std::collections::BTreeMap;
use std::time::Duration;

use berth_api::options::BodyLimits;
use berth_api::{Options, Server};
use berth_auth::auth::Auth;
use berth_domain::secret::Secret;
use berth_store::{Options as StoreOptions, Store};
use berth_test_support::{TestDatabase, wait_until};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::services::services;
use crate::answer::Answer;

pub(crate) const PASSWORD: &str = "a long walk on the pier";
pub(crate) const API: &str = "/api/v1";

/// How long a condition is waited for: far longer than it takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// One installation.
pub(crate) struct House {
    pub(crate) base: String,
    /// Where gRPC is served, if it is.
    pub(crate) grpc: Option<std::net::SocketAddr>,
    pub(crate) client: Client,
    pub(crate) auth: Auth,
    pub(crate) store: Store,
    pub(crate) stop: CancellationToken,
    pub(crate) served: Option<JoinHandle<Result<(), berth_api::Error>>>,
    // Dropped last: the pools go first.
    _folder: tempfile::TempDir,
    pub(crate) database: TestDatabase,
}

/// An organization with a project and what opens them.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) token: String,
    pub(crate) organization: String,
    pub(crate) project: String,
}

/// Somebody who belongs to a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) token: String,
    pub(crate) membership: String,
}

/// Where somebody belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Organization,
    Project,
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
            ("request_id", unknown("req")),
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
        let grpc = server.grpc_address();
        let served = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self {
            base,
            grpc,
            client: Client::new(),
            auth,
            store,
            stop,
            served: Some(served),
            _folder: folder,
            database,
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

    /// Asks until the answer is this refusal: what is known of a key may be a moment old.
    pub(crate) async fn refused_soon(&self, path: &str, credential: &str, status: u16, code: &str) {
        let refused = wait_until(LIMIT, async || {
            let answer = self.get(path, credential).await;
            answer.status.as_u16() == status && answer.code().as_deref() == Some(code)
        });
        if refused.await.is_err() {
            self.get(path, credential).await.refused(status, code);
        }
    }

    /// Asks until the answer is a success.
    pub(crate) async fn answered_soon(&self, path: &str, credential: &str) -> Value {
        let answered = wait_until(LIMIT, async || {
            self.get(path, credential).await.status.is_success()
        });
        if answered.await.is_err() {
            return self.get(path, credential).await.succeeded(200);
        }
        self.get(path, credential).await.succeeded(200)
    }

    /// Everything that stands in the database, but for when keys were last used.
    pub(crate) async fn rows(&self) -> Vec<String> {
        self.database.rows().await.expect("the rows")
    }

    /// Checks that nothing stands in the database that was not there at `before`, and nothing is gone.
    pub(crate) async fn check_unchanged(&self, before: &[String]) {
        let after = self.rows().await;
        let gone: Vec<&String> = before.iter().filter(|row| !after.contains(row)).collect();
        let new: Vec<&String> = after.iter().filter(|row| !before.contains(row)).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "gone: {gone:#?}\nnew: {new:#?}"
        );
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
        let signed_in = self.sign_in("operator@example.com", PASSWORD).await;
        text(&signed_in.succeeded(200)["access_token"])
    }

    /// Signs in.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        let request = self
            .request(Method::POST, "/api/v1/auth/sign-in", None)
            .json(&body);
        self.send(request).await
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
        self.join(tenant, Place::Organization, email, role).await.token
    }

    /// A new person with `role`.
    pub(crate) async fn join(&self, tenant: &Tenant, place: Place, email: &str, role: &str) -> Member {
        let token = self.token(email).await;
        let root = match place {
            Place::Organization => tenant.root(),
            Place::Project => tenant.project_root(),
        };
        let body = json!({"email": email, "role": role});
        let invited = self
            .post(&format!("{root}/invitations"), &tenant.token, &body)
            .await
            .succeeded(201);
        let accepted = self.accept(&token, &text(&invited["token"])).await.succeeded(200);
        Member {
            token,
            membership: text(&accepted["membership_id"]),
        }
    }

    /// Accepts an invitation.
    pub(crate) async fn accept(&self, credential: &str, invitation: &str) -> Answer {
        let body = json!({"token": invitation});
        self.post("/api/v1/auth/invitations/accept", credential, &body)
            .await
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
