//! A database for one test, and what a test puts into it.

use anyhow::{Context as _, Result};
use berth_domain::address::AddressList;
use berth_domain::clock::{Clock as _, ManualClock, Timestamp};
use berth_domain::creator::Creator;
use berth_domain::deployment::Settings;
use berth_domain::digest::Sha256;
use berth_domain::id::{
    ApiKeyId, DeploymentId, InvitationId, MembershipId, MessageId, ModelId, OrganizationId, PasswordResetId,
    ProjectId, RoleId, ServiceAccountId, SessionId, UserId, VersionId,
};
use berth_domain::manifest::{Batching, Manifest, Task};
use berth_domain::model::{ModelFile, folder_digest};
use berth_domain::permission::{BuiltinRole, Permission, PermissionSet};
use berth_domain::random::SeededRandom;
use berth_domain::secret::Secret;
use berth_domain::work::ModelCheck;
use berth_store::api_key_secrets::NewApiKeySecret;
use berth_store::api_keys::NewApiKey;
use berth_store::deployments::{NewDeployment, WeightedVersion};
use berth_store::idempotency_keys::{Owner, Request};
use berth_store::invitations::NewInvitation;
use berth_store::memberships::NewMembership;
use berth_store::models::{NewModel, Reach};
use berth_store::organizations::NewOrganization;
use berth_store::password_resets::NewPasswordReset;
use berth_store::projects::NewProject;
use berth_store::refresh_tokens::NewRefreshToken;
use berth_store::roles::{GivenRole, NewRole};
use berth_store::service_accounts::NewServiceAccount;
use berth_store::sessions::NewSession;
use berth_store::system::placements::LoadTime;
use berth_store::system::versions::Outcome;
use berth_store::users::NewUser;
use berth_store::versions::{Measured, NewVersion};
use berth_store::{Options, Store};
use berth_test_support::TestDatabase;
use chrono::TimeDelta;
use sqlx::{Connection as _, PgConnection};

/// A database, the store on it, and the sources of time and ids.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) random: SeededRandom,
}

/// An organization with a project and an owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) organization: OrganizationId,
    pub(crate) project: ProjectId,
    pub(crate) owner: UserId,
}

/// A version and what it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uploaded {
    pub(crate) model: ModelId,
    pub(crate) version: VersionId,
}

pub(crate) fn options(database: &TestDatabase) -> Options {
    Options {
        max_connections: 8,
        ..Options::new(
            Secret::new(database.app_url()),
            Secret::new(database.system_url()),
        )
    }
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let database = TestDatabase::create().await?;
        let store = Store::connect(&options(&database)).await?;
        Ok(Self {
            database,
            store,
            clock: ManualClock::new(chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000)),
            random: SeededRandom::new(1),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn later(&self, hours: i64) -> Timestamp {
        self.now() + TimeDelta::hours(hours)
    }

    pub(crate) async fn user(&self, email: &str) -> Result<UserId> {
        let id = UserId::new(&self.clock, &self.random);
        let mut tx = self.store.person(id).await?;
        tx.users()
            .insert(&NewUser {
                id,
                email: email.parse()?,
                name: Some("Somebody".parse()?),
                created_at: self.now(),
            })
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// An organization of this name with a project `main`, owned by a new person.
    pub(crate) async fn tenant(&self, name: &str) -> Result<Tenant> {
        let owner = self.user(&format!("owner@{name}.example")).await?;
        self.tenant_of(owner, name).await
    }

    pub(crate) async fn tenant_of(&self, owner: UserId, name: &str) -> Result<Tenant> {
        let organization = OrganizationId::new(&self.clock, &self.random);
        let mut tx = self.store.tenant_as(organization, owner).await?;
        tx.organizations()
            .insert(&NewOrganization {
                id: organization,
                name: name.parse()?,
                title: "An organization".parse()?,
                created_at: self.now(),
            })
            .await?;
        tx.commit().await?;
        let tenant = Tenant {
            organization,
            project: self.project(organization, "main").await?,
            owner,
        };
        self.member(tenant, None, owner, GivenRole::Builtin(BuiltinRole::Owner))
            .await?;
        Ok(tenant)
    }

    pub(crate) async fn project(&self, organization: OrganizationId, name: &str) -> Result<ProjectId> {
        let id = ProjectId::new(&self.clock, &self.random);
        let mut tx = self.store.tenant(organization).await?;
        tx.projects()
            .insert(
                organization,
                &NewProject {
                    id,
                    name: name.parse()?,
                    title: "A project".parse()?,
                    cors_origins: vec![format!("https://{name}.example")],
                    created_at: self.now(),
                },
            )
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(crate) async fn member(
        &self,
        tenant: Tenant,
        project: Option<ProjectId>,
        user: UserId,
        role: GivenRole,
    ) -> Result<MembershipId> {
        let id = MembershipId::new(&self.clock, &self.random);
        let mut tx = self.store.tenant(tenant.organization).await?;
        tx.memberships()
            .insert(
                tenant.organization,
                &NewMembership {
                    id,
                    project,
                    user,
                    role,
                    created_at: self.now(),
                },
            )
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(crate) async fn role(
        &self,
        tenant: Tenant,
        name: &str,
        permissions: &[Permission],
    ) -> Result<RoleId> {
        let id = RoleId::new(&self.clock, &self.random);
        let mut tx = self.store.tenant(tenant.organization).await?;
        tx.roles()
            .insert(
                tenant.organization,
                &NewRole {
                    id,
                    name: name.parse()?,
                    title: "A role".parse()?,
                    permissions: permissions.iter().copied().collect(),
                    created_at: self.now(),
                },
            )
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(crate) fn invitation(&self, email: &str, token_hash: [u8; 32]) -> Result<NewInvitation> {
        Ok(NewInvitation {
            id: InvitationId::new(&self.clock, &self.random),
            project: None,
            email: email.parse()?,
            role: GivenRole::Builtin(BuiltinRole::Developer),
            token_hash,
            invited_by: None,
            created_at: self.now(),
            expires_at: self.later(24),
        })
    }

    pub(crate) async fn service_account(&self, tenant: Tenant, name: &str) -> Result<ServiceAccountId> {
        let id = ServiceAccountId::new(&self.clock, &self.random);
        let mut tx = self.store.tenant(tenant.organization).await?;
        tx.service_accounts()
            .insert(
                tenant.organization,
                &NewServiceAccount {
                    id,
                    project: tenant.project,
                    name: name.parse()?,
                    title: "A program".parse()?,
                    created_at: self.now(),
                },
            )
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(crate) fn new_key(
        &self,
        tenant: Tenant,
        service_account: Option<ServiceAccountId>,
    ) -> Result<NewApiKey> {
        Ok(NewApiKey {
            id: ApiKeyId::new(&self.clock, &self.random),
            project: tenant.project,
            service_account,
            title: "A key".parse()?,
            scopes: [Permission::InferenceRun, Permission::ModelsRead]
                .into_iter()
                .collect::<PermissionSet>(),
            models: Some(vec!["minilm".parse()?]),
            addresses: AddressList::new(vec!["198.51.100.0/24".parse()?, "2001:db8::1/32".parse()?]),
            created_by: Creator::User(tenant.owner),
            created_at: self.now(),
            expires_at: Some(self.later(24 * 90)),
        })
    }

    /// A key with one secret under this public id.
    pub(crate) async fn key(
        &self,
        tenant: Tenant,
        service_account: Option<ServiceAccountId>,
        public_id: &str,
    ) -> Result<ApiKeyId> {
        let key = self.new_key(tenant, service_account)?;
        let mut tx = self.store.tenant(tenant.organization).await?;
        tx.api_keys().insert(tenant.organization, &key).await?;
        tx.api_key_secrets()
            .insert(tenant.organization, &self.secret(key.id, public_id))
            .await?;
        tx.commit().await?;
        Ok(key.id)
    }

    pub(crate) fn secret(&self, key: ApiKeyId, public_id: &str) -> NewApiKeySecret {
        NewApiKeySecret {
            public_id: public_id.to_owned(),
            key,
            secret_hash: *Sha256::of(public_id.as_bytes()).as_bytes(),
            pepper_id: "2026".to_owned(),
            created_at: self.now(),
        }
    }

    pub(crate) fn new_model(&self, tenant: Tenant, name: &str, reach: Reach) -> Result<NewModel> {
        Ok(NewModel {
            id: ModelId::new(&self.clock, &self.random),
            project: tenant.project,
            name: name.parse()?,
            title: None,
            description: "Embeds texts.".to_owned(),
            license: Some("Apache-2.0".to_owned()),
            reach,
            created_by: Creator::User(tenant.owner),
            created_at: self.now(),
        })
    }

    pub(crate) async fn model(&self, tenant: Tenant, name: &str, reach: Reach) -> Result<ModelId> {
        let model = self.new_model(tenant, name, reach)?;
        let mut tx = self.store.tenant(tenant.organization).await?;
        tx.models().insert(tenant.organization, &model).await?;
        tx.commit().await?;
        Ok(model.id)
    }

    /// A version of one graph whose bytes are `text`, not proved yet.
    pub(crate) fn new_version(&self, tenant: Tenant, model: ModelId, text: &str) -> NewVersion {
        let files = vec![ModelFile {
            path: "model.onnx".to_owned(),
            digest: Sha256::of(text.as_bytes()),
            size_bytes: 1000,
        }];
        NewVersion {
            id: VersionId::new(&self.clock, &self.random),
            model,
            folder_digest: folder_digest(&files),
            warnings: vec!["made by a test".to_owned()],
            manifest: manifest(),
            graphs: serde_json::json!([{ "path": "model.onnx" }]),
            files,
            created_by: Creator::User(tenant.owner),
            created_at: self.now(),
        }
    }

    pub(crate) async fn upload(&self, tenant: Tenant, version: &NewVersion) -> Result<u32> {
        let mut tx = self.store.tenant(tenant.organization).await?;
        for file in &version.files {
            tx.blobs()
                .touch(tenant.organization, &file.digest, file.size_bytes, self.now())
                .await?;
        }
        tx.commit().await?;
        let mut tx = self.store.tenant(tenant.organization).await?;
        let number = tx.versions().insert(tenant.organization, version).await?;
        tx.commit().await?;
        number.context("the model is there")
    }

    /// How many blobs there are in all.
    pub(crate) async fn blobs(&self) -> Result<i64> {
        let mut system = PgConnection::connect(&self.database.system_url()).await?;
        Ok(sqlx::query_scalar("SELECT count(*) FROM blobs")
            .fetch_one(&mut system)
            .await?)
    }

    pub(crate) async fn prove(&self, version: VersionId) -> Result<()> {
        let mut tx = self.store.system().await?;
        let outcome = Outcome::Ready {
            measured: MEASURED,
            warnings: Vec::new(),
        };
        anyhow::ensure!(tx.versions().conclude(version, &outcome, self.now()).await?);
        tx.commit().await?;
        Ok(())
    }

    /// A model of this name with one version that is ready.
    pub(crate) async fn ready(&self, tenant: Tenant, name: &str, reach: Reach) -> Result<Uploaded> {
        let model = self.model(tenant, name, reach).await?;
        let version = self.new_version(tenant, model, name);
        self.upload(tenant, &version).await?;
        self.prove(version.id).await?;
        Ok(Uploaded {
            model,
            version: version.id,
        })
    }

    pub(crate) fn new_deployment(
        &self,
        tenant: Tenant,
        name: &str,
        model: ModelId,
        versions: &[WeightedVersion],
    ) -> Result<NewDeployment> {
        Ok(NewDeployment {
            id: DeploymentId::new(&self.clock, &self.random),
            project: tenant.project,
            model,
            name: name.parse()?,
            settings: Settings::default(),
            versions: versions.to_vec(),
            created_by: Creator::User(tenant.owner),
            created_at: self.now(),
        })
    }

    pub(crate) async fn deploy(
        &self,
        tenant: Tenant,
        name: &str,
        uploaded: Uploaded,
    ) -> Result<DeploymentId> {
        let deployment = self.new_deployment(tenant, name, uploaded.model, &[(uploaded.version, 100)])?;
        let mut tx = self.store.tenant(tenant.organization).await?;
        tx.deployments().insert(tenant.organization, &deployment).await?;
        tx.commit().await?;
        Ok(deployment.id)
    }

    pub(crate) async fn session(&self, user: UserId, token_hash: [u8; 32]) -> Result<SessionId> {
        let id = SessionId::new(&self.clock, &self.random);
        let mut tx = self.store.person(user).await?;
        tx.sessions()
            .insert(&NewSession {
                id,
                user,
                client: Some("a browser".to_owned()),
                created_at: self.now(),
                expires_at: self.later(24 * 30),
            })
            .await?;
        tx.refresh_tokens()
            .insert(&NewRefreshToken {
                token_hash,
                session: id,
                user,
                created_at: self.now(),
                expires_at: self.later(24 * 30),
            })
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(crate) async fn password_reset(&self, email: &str, token_hash: [u8; 32]) -> Result<PasswordResetId> {
        let id = PasswordResetId::new(&self.clock, &self.random);
        let mut tx = self.store.public().await?;
        tx.password_resets()
            .insert(&NewPasswordReset {
                id,
                email: email.parse()?,
                token_hash,
                created_at: self.now(),
                expires_at: self.later(1),
            })
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// A tenant with at least one row in every table that can hold a tenant's rows.
    pub(crate) async fn furnished_tenant(&self, name: &str) -> Result<Tenant> {
        let tenant = self.tenant(name).await?;
        let organization = tenant.organization;
        self.role(tenant, "reader", &[Permission::ModelsRead]).await?;
        let account = self.service_account(tenant, "robot").await?;
        self.key(tenant, Some(account), &format!("key-{name}")).await?;
        let uploaded = self.ready(tenant, "minilm", Reach::Project).await?;
        self.deploy(tenant, "minilm", uploaded).await?;
        self.session(tenant.owner, *Sha256::of(name.as_bytes()).as_bytes())
            .await?;
        self.password_reset(
            &format!("owner@{name}.example"),
            *Sha256::of(name.as_bytes()).as_bytes(),
        )
        .await?;
        let mut tx = self.store.tenant_as(organization, tenant.owner).await?;
        tx.passwords()
            .set(tenant.owner, "$argon2id$…", self.now())
            .await?;
        let invitation = self.invitation("guest@example.com", *Sha256::of(name.as_bytes()).as_bytes())?;
        tx.invitations().insert(organization, &invitation).await?;
        let check = ModelCheck {
            version: uploaded.version,
        };
        tx.outbox()
            .add(
                MessageId::new(&self.clock, &self.random),
                Some(organization),
                &check,
                None,
                self.now(),
            )
            .await?;
        let request = self.request(Owner::Organization(organization), "POST /keys", "abc", 1);
        tx.idempotency_keys().claim(&request).await?;
        tx.commit().await?;
        let time = LoadTime {
            organization,
            version: uploaded.version,
            node_kind: "cpu: any".to_owned(),
            load_ms: 128,
            resident_bytes: 100 << 20,
        };
        let mut tx = self.store.system().await?;
        tx.placements().measured(&time, self.now()).await?;
        tx.placements()
            .quarantine(organization, uploaded.version, "It crashed.", 3, self.now())
            .await?;
        tx.commit().await?;
        Ok(tenant)
    }

    pub(crate) fn request(&self, owner: Owner, route: &str, key: &str, fingerprint: u8) -> Request {
        Request {
            owner,
            route: route.to_owned(),
            key: key.to_owned(),
            fingerprint: [fingerprint; 32],
            now: self.now(),
            expires_at: self.later(24),
            abandoned_before: self.later(-1),
        }
    }
}

/// What a proof of a test's version measured.
pub(crate) const MEASURED: Measured = Measured {
    resident_bytes: 100_000_000,
    load_us: 128_000,
    run_us: 9_000,
};

pub(crate) fn manifest() -> Manifest {
    Manifest {
        task: Task::Tensors,
        graph: "model.onnx".to_owned(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        text_embedding: None,
        batching: Batching::default(),
        license: None,
        guessed: Vec::new(),
    }
}
