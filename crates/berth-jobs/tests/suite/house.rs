//! An installation with an organization, as tests need it.

use std::sync::Arc;
use std::time::Duration;

use berth_auth::auth::{Auth, Options, Parts, SignUpPolicy};
use berth_auth::letters::Letters;
use berth_auth::pepper::{Pepper, Peppers};
use berth_auth::signing::{self, SigningKey, SigningKeys};
use berth_coordination::memory::Memory;
use berth_coordination::{Coordination, Fleet};
use berth_domain::clock::{Clock as _, ManualClock, SystemClock, Timestamp};
use berth_domain::creator::Creator;
use berth_domain::deployment::Settings;
use berth_domain::digest::Sha256;
use berth_domain::id::{DeploymentId, MessageId, ModelId, OrganizationId, ProjectId, UserId, VersionId};
use berth_domain::manifest::{Batching, Manifest, Task};
use berth_domain::model::{ModelFile, folder_digest};
use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_domain::work::{ModelCheck, Work};
use berth_queue::Queue;
use berth_queue::amqp::{self, Amqp};
use berth_queue::memory;
use berth_store::deployments::{DeploymentChange, NewDeployment};
use berth_store::models::{NewModel, Reach};
use berth_store::organizations::NewOrganization;
use berth_store::projects::NewProject;
use berth_store::system::outbox::Backlog;
use berth_store::system::versions::Outcome;
use berth_store::users::NewUser;
use berth_store::versions::{Measured, NewVersion, Version};
use berth_store::{Options as StoreOptions, Store};
use berth_test_support::{TestBroker, TestDatabase};
use chrono::SubsecRound as _;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// One installation with one organization and its project.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) coordination: Arc<dyn Coordination>,
    pub(crate) owner: UserId,
    pub(crate) organization: OrganizationId,
    pub(crate) project: ProjectId,
    // Dropped last: the pools go first.
    database: TestDatabase,
}

impl House {
    /// Coordinated in memory.
    pub(crate) async fn new() -> Self {
        Self::over(Arc::new(Memory::new())).await
    }

    pub(crate) async fn over(coordination: Arc<dyn Coordination>) -> Self {
        let database = TestDatabase::create().await.expect("a database");
        let options = StoreOptions::new(
            Secret::new(database.app_url()),
            Secret::new(database.system_url()),
        );
        let store = Store::connect(&options).await.expect("the database is there");
        let clock = ManualClock::new(SystemClock.now().trunc_subsecs(6));
        let house = Self {
            owner: UserId::new(&clock, &SystemRandom),
            organization: OrganizationId::new(&clock, &SystemRandom),
            project: ProjectId::new(&clock, &SystemRandom),
            store,
            clock,
            coordination,
            database,
        };
        house.furnish().await.expect("rows are written");
        house
    }

    async fn furnish(&self) -> Result<(), berth_store::Error> {
        let created_at = self.now();
        let mut tx = self.store.tenant_as(self.organization, self.owner).await?;
        tx.users()
            .insert(&NewUser {
                id: self.owner,
                email: "ada@acme.example".parse().expect("an address"),
                name: Some("Ada".parse().expect("a title")),
                created_at,
            })
            .await?;
        tx.organizations()
            .insert(&NewOrganization {
                id: self.organization,
                name: "acme".parse().expect("a handle"),
                title: "Acme".parse().expect("a title"),
                created_at,
            })
            .await?;
        tx.projects()
            .insert(
                self.organization,
                &NewProject {
                    id: self.project,
                    name: "main".parse().expect("a handle"),
                    title: "Main".parse().expect("a title"),
                    cors_origins: vec![],
                    created_at,
                },
            )
            .await?;
        tx.commit().await
    }

    /// Changes a row as nobody but somebody with the superuser's password can.
    pub(crate) async fn damage(&self, statement: &'static str) {
        assert_eq!(self.database.damage(statement).await.expect("done"), 1);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn fleet(&self) -> Fleet {
        Fleet::new(Arc::clone(&self.coordination))
    }

    /// Accounts, where links go by mail.
    pub(crate) fn auth(&self) -> Auth {
        let mut options = Options::new("https://berth.example", "test".parse().expect("an environment"));
        options.sign_up = SignUpPolicy::Open;
        options.mail = true;
        options.passwords.memory_kib = 64;
        options.passwords.iterations = 1;
        let signing_key = SigningKey::from_pem(&signing::generate(&SystemRandom)).expect("a key");
        let parts = Parts {
            store: self.store.clone(),
            coordination: Arc::clone(&self.coordination),
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(SystemRandom),
            peppers: peppers(),
            signing_keys: SigningKeys::new(signing_key, vec![]),
        };
        Auth::new(options, parts).expect("valid parameters")
    }

    pub(crate) fn letters(&self) -> Letters {
        Letters::new(self.store.clone(), peppers(), Arc::new(self.clock.clone()))
    }

    pub(crate) async fn model(&self, name: &str) -> ModelId {
        let model = NewModel {
            id: ModelId::new(&self.clock, &SystemRandom),
            project: self.project,
            name: name.parse().expect("a handle"),
            title: None,
            description: String::new(),
            license: None,
            reach: Reach::Project,
            created_by: Creator::User(self.owner),
            created_at: self.now(),
        };
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        tx.models()
            .insert(self.organization, &model)
            .await
            .expect("inserted");
        tx.commit().await.expect("commits");
        model.id
    }

    /// A version of `model` that waits for its check, with one file of these bytes.
    pub(crate) async fn version(&self, model: ModelId, bytes: &[u8]) -> VersionId {
        let digest = Sha256::of(bytes);
        let size_bytes = u64::try_from(bytes.len()).expect("small");
        self.touch(digest, size_bytes).await;
        let files = vec![ModelFile {
            path: "model.onnx".to_owned(),
            digest,
            size_bytes,
        }];
        let version = NewVersion {
            id: VersionId::new(&self.clock, &SystemRandom),
            model,
            folder_digest: folder_digest(&files),
            warnings: vec![],
            manifest: manifest(),
            graphs: serde_json::json!([]),
            files,
            created_by: Creator::User(self.owner),
            created_at: self.now(),
        };
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        tx.versions()
            .insert(self.organization, &version)
            .await
            .expect("inserted")
            .expect("the model is there");
        tx.commit().await.expect("commits");
        version.id
    }

    /// A version of a new model that runs, and takes so much memory.
    pub(crate) async fn ready(&self, name: &str, resident_bytes: u64) -> VersionId {
        let model = self.model(name).await;
        self.ready_version(model, name.as_bytes(), resident_bytes).await
    }

    /// A version of a model that was proved.
    pub(crate) async fn ready_version(&self, model: ModelId, bytes: &[u8], resident_bytes: u64) -> VersionId {
        let version = self.version(model, bytes).await;
        let outcome = Outcome::Ready {
            measured: Measured {
                resident_bytes,
                load_us: 128_000,
                run_us: 9_000,
            },
            warnings: vec![],
        };
        let mut tx = self.store.system().await.expect("begins");
        tx.versions()
            .conclude(version, &outcome, self.now())
            .await
            .expect("concluded");
        tx.commit().await.expect("commits");
        version
    }

    /// Deploys a version under a name.
    pub(crate) async fn deploy(&self, name: &str, version: VersionId) -> DeploymentId {
        let deployment = NewDeployment {
            id: DeploymentId::new(&self.clock, &SystemRandom),
            project: self.project,
            model: self.show(version).await.model,
            name: name.parse().expect("a handle"),
            settings: Settings::default(),
            versions: vec![(version, 100)],
            created_by: Creator::User(self.owner),
            created_at: self.now(),
        };
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        tx.deployments()
            .insert(self.organization, &deployment)
            .await
            .expect("inserted");
        tx.commit().await.expect("commits");
        deployment.id
    }

    /// Changes the versions behind a deployment.
    pub(crate) async fn change_versions(&self, deployment: DeploymentId, versions: Vec<(VersionId, u32)>) {
        let change = DeploymentChange {
            settings: None,
            versions: Some(versions),
            stopped: None,
        };
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        let changed = tx
            .deployments()
            .update(self.organization, deployment, &change, self.now())
            .await;
        assert!(changed.expect("updated"));
        tx.commit().await.expect("commits");
    }

    /// Changes how a deployment wants to be run.
    pub(crate) async fn change(&self, deployment: DeploymentId, settings: Settings) {
        let change = DeploymentChange {
            settings: Some(settings),
            versions: None,
            stopped: None,
        };
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        let changed = tx
            .deployments()
            .update(self.organization, deployment, &change, self.now())
            .await;
        assert!(changed.expect("updated"));
        tx.commit().await.expect("commits");
    }

    /// Announces bytes that are about to be stored.
    pub(crate) async fn touch(&self, digest: Sha256, size_bytes: u64) {
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        tx.blobs()
            .touch(self.organization, &digest, size_bytes, self.now())
            .await
            .expect("touched");
        tx.commit().await.expect("commits");
    }

    pub(crate) async fn delete_version(&self, version: VersionId) {
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        tx.versions()
            .delete(self.organization, version, self.now())
            .await
            .expect("deleted");
        tx.commit().await.expect("commits");
    }

    pub(crate) async fn show(&self, version: VersionId) -> Version {
        let mut tx = self.store.system().await.expect("begins");
        tx.versions()
            .show(version)
            .await
            .expect("read")
            .expect("is there")
    }

    /// Writes work into the outbox, as a change does.
    pub(crate) async fn ask_for<W: Work>(&self, work: &W) -> MessageId {
        let id = MessageId::new(&self.clock, &SystemRandom);
        let mut tx = self.store.tenant(self.organization).await.expect("begins");
        tx.outbox()
            .add(id, Some(self.organization), work, None, self.now())
            .await
            .expect("added");
        tx.commit().await.expect("commits");
        id
    }

    pub(crate) async fn ask_for_check(&self, version: VersionId) -> MessageId {
        self.ask_for(&ModelCheck { version }).await
    }

    pub(crate) async fn backlog(&self) -> Backlog {
        let mut tx = self.store.system().await.expect("begins");
        tx.outbox().backlog().await.expect("counted")
    }
}

/// A queue on the real broker, with short delays.
pub(crate) fn amqp_queue(url: &str, broker: &TestBroker) -> Arc<dyn Queue> {
    let options = amqp::Options {
        prefix: broker.prefix().trim_end_matches('.').to_owned(),
        ladder: vec![Duration::from_millis(50)],
        timeout: Duration::from_secs(2),
        ..amqp::Options::new(url)
    };
    Arc::new(Amqp::connect(&options).expect("well-formed"))
}

pub(crate) fn memory_queue() -> Arc<dyn Queue> {
    Arc::new(memory::Memory::default())
}

fn peppers() -> Peppers {
    let pepper = Pepper {
        id: "one".to_owned(),
        secret: Secret::new("the sea is salt enough already, thank you"),
    };
    Peppers::new(pepper, vec![]).expect("a pepper")
}

fn manifest() -> Manifest {
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
