//! Tenants that have something of everything.

use std::collections::BTreeMap;

use berth_domain::clock::{Clock as _, SystemClock};
use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_domain::id::{OrganizationId, ProjectId, VersionId};
use berth_domain::manifest::{Batching, Manifest, Task};
use berth_domain::model::{ModelFile, folder_digest};
use berth_domain::name::Handle;
use berth_domain::permission::Permission;
use berth_domain::random::SystemRandom;
use berth_domain::tensor::{Datatype, Dimension, TensorSpec};
use berth_store::system::versions::Outcome;
use berth_store::versions::{Measured, NewVersion};
use serde_json::{Value, json};

use crate::house::{House, Member, PASSWORD, Place, Tenant, text};

/// A tenant with one object of every kind, and more than one where a project and its organization both have some.
pub(crate) struct Furnished {
    pub(crate) tenant: Tenant,
    /// The same with its other project, which is empty.
    pub(crate) side: Tenant,
    /// A key of the owner's own, with every scope that keys may have.
    pub(crate) key: String,
    /// A viewer of the whole organization.
    pub(crate) viewer: Member,
    /// A developer of the project.
    pub(crate) developer: Member,
    /// What the model is called.
    pub(crate) model: String,
    /// What its deployment is called.
    pub(crate) deployment: String,
    ids: BTreeMap<&'static str, String>,
    invitation_into_project: String,
}

impl Furnished {
    /// Furnishes an organization `name`.
    pub(crate) async fn new(house: &House, name: &str) -> Self {
        let tenant = house.tenant(name).await;
        let (root, project_root) = (tenant.root(), tenant.project_root());
        let make =
            async |path: String, body: Value| house.post(&path, &tenant.token, &body).await.succeeded(201);
        let side = make(
            format!("{root}/projects"),
            json!({"name": "side", "title": "Side"}),
        );
        let side = Tenant {
            project: text(&side.await["project_id"]),
            ..tenant.clone()
        };
        let viewer = format!("viewer@{name}.example");
        let viewer = house.join(&tenant, Place::Organization, &viewer, "viewer").await;
        let developer = format!("developer@{name}.example");
        let developer = house.join(&tenant, Place::Project, &developer, "developer").await;
        let role = json!({"name": "auditor", "title": "Auditor", "permissions": ["members.read"]});
        let role = make(format!("{root}/roles"), role).await;
        let guest = json!({"email": format!("guest@{name}.example"), "role": "viewer"});
        let invitation = make(format!("{root}/invitations"), guest.clone()).await;
        let invitation_into_project = make(format!("{project_root}/invitations"), guest).await;
        let robot = json!({"name": "robot", "title": "Robot"});
        let robot = make(format!("{project_root}/service-accounts"), robot).await;
        let scopes = berth_auth::api_keys::SCOPES.map(Permission::as_str);
        let key = json!({"title": "Everything", "scopes": scopes});
        let key = make(format!("{project_root}/api-keys"), key).await;
        let (model, deployment) = (format!("{name}-adder"), format!("{name}-sum"));
        let made = make(format!("{project_root}/models"), json!({"name": model})).await;
        let version = upload(house, &tenant, &model, b"adder").await;
        prove(house, version).await;
        let body = json!({"name": deployment, "model": model});
        make(format!("{project_root}/deployments"), body).await;
        // Nobody answers it here, which is remembered as well.
        let call = json!({"model": deployment, "input": "a"});
        let called = house.post("/v1/embeddings", &text(&key["secret"]), &call).await;
        let request = called.header("x-request-id").expect("an id").to_owned();
        let session = house.sign_in(&format!("owner@{name}.example"), PASSWORD).await;
        let session = session.succeeded(200);
        let ids = [
            ("role_id", text(&role["role_id"])),
            ("invitation_id", text(&invitation["invitation_id"])),
            ("service_account_id", text(&robot["service_account_id"])),
            ("api_key_id", text(&key["api_key_id"])),
            ("model_id", text(&made["model_id"])),
            ("session_id", text(&session["session_id"])),
            ("user_id", text(&session["user_id"])),
            ("request_id", request),
        ];
        Self {
            side,
            key: text(&key["secret"]),
            viewer,
            developer,
            model,
            deployment,
            ids: ids.into(),
            invitation_into_project: text(&invitation_into_project["invitation_id"]),
            tenant,
        }
    }

    /// What stands for the names in braces of the path of the operation `id`: what the tenant has.
    pub(crate) fn parts(&self, id: &str) -> BTreeMap<&'static str, String> {
        let mut parts = self.tenant.parts();
        parts.extend(self.ids.clone());
        let (membership, name) = if id.starts_with("project_") {
            (&self.developer.membership, &self.model)
        } else if id.starts_with("deployments_") {
            (&self.viewer.membership, &self.deployment)
        } else {
            (&self.viewer.membership, &self.model)
        };
        parts.insert("membership_id", membership.clone());
        parts.insert("name", name.clone());
        parts.insert("model", self.deployment.clone());
        if id.starts_with("project_") {
            parts.insert("invitation_id", self.invitation_into_project.clone());
        }
        parts
    }
}

/// A version of `model`, put into the database as an upload does after the gate; nothing has proved it. Other `bytes`, another
/// version.
pub(crate) async fn upload(house: &House, tenant: &Tenant, model: &str, bytes: &[u8]) -> VersionId {
    let organization: OrganizationId = tenant.organization.parse().expect("an id");
    let project: ProjectId = tenant.project.parse().expect("an id");
    let me = house.get("/api/v1/auth/me", &tenant.token).await.succeeded(200);
    let creator = Creator::User(text(&me["user"]["user_id"]).parse().expect("an id"));
    let now = SystemClock.now();
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        datatype: Datatype::Fp32,
        shape: vec![Dimension::Symbolic("rows".to_owned()), Dimension::Fixed(3)],
    };
    let file = ModelFile {
        path: "model.onnx".to_owned(),
        digest: Sha256::of(bytes),
        size_bytes: bytes.len() as u64,
    };
    let mut tx = house.store.tenant(organization).await.expect("a transaction");
    let name: Handle = model.parse().expect("a handle");
    let model = tx
        .models()
        .find(organization, project, &name)
        .await
        .expect("finds")
        .expect("the model");
    tx.blobs()
        .touch(organization, &file.digest, file.size_bytes, now)
        .await
        .expect("touches");
    let files = vec![file];
    let version = NewVersion {
        id: VersionId::new(&SystemClock, &SystemRandom),
        model: model.id,
        folder_digest: folder_digest(&files),
        warnings: vec![],
        manifest: Manifest {
            task: Task::Tensors,
            graph: "model.onnx".to_owned(),
            inputs: vec![spec("x")],
            outputs: vec![spec("y")],
            text_embedding: None,
            batching: Batching::default(),
            license: None,
            guessed: vec![],
        },
        graphs: json!([]),
        files,
        created_by: creator,
        created_at: now,
    };
    tx.versions()
        .insert(organization, &version)
        .await
        .expect("inserts")
        .expect("a number");
    tx.commit().await.expect("commits");
    version.id
}

/// Makes a version ready, as its check does.
pub(crate) async fn prove(house: &House, version: VersionId) {
    let outcome = Outcome::Ready {
        measured: Measured {
            resident_bytes: 1,
            load_us: 2,
            run_us: 3,
        },
        warnings: vec![],
    };
    let mut tx = house.store.system().await.expect("a transaction");
    let concluded = tx
        .versions()
        .conclude(version, &outcome, SystemClock.now())
        .await
        .expect("concludes");
    assert!(concluded, "the version was being checked");
    tx.commit().await.expect("commits");
}

/// Ends the change of a deployment to other versions, as the planner does once they answer.
pub(crate) async fn retire(house: &House, deployment: &Value) {
    let id = text(&deployment["deployment_id"]).parse().expect("an id");
    let mut tx = house.store.system().await.expect("a transaction");
    let rows = tx.placements().wanted().await.expect("read");
    let all: Vec<_> = rows.versions.iter().map(|version| version.version).collect();
    let retired = tx.placements().retire(id, &all).await.expect("retires");
    assert!(retired, "a version was to retire");
    tx.commit().await.expect("commits");
}

/// The model `adder` with a version that is ready, and the deployment `sum` of it. No worker holds it.
pub(crate) async fn deploy(house: &House, tenant: &Tenant) -> Value {
    let models = format!("{}/models", tenant.project_root());
    house
        .post(&models, &tenant.token, &json!({"name": "adder"}))
        .await
        .succeeded(201);
    prove(house, upload(house, tenant, "adder", b"adder").await).await;
    let deployments = format!("{}/deployments", tenant.project_root());
    let body = json!({"name": "sum", "model": "adder"});
    house
        .post(&deployments, &tenant.token, &body)
        .await
        .succeeded(201)
}
