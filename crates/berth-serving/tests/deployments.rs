//! Models and deployments against what happens to what they stand on at the same time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use berth_coordination::Fleet;
use berth_coordination::memory::Memory;
use berth_domain::access::{Caller, Person, ProjectAccess, can};
use berth_domain::clock::{Clock as _, SystemClock};
use berth_domain::creator::Creator;
use berth_domain::deployment::Settings;
use berth_domain::digest::Sha256;
use berth_domain::id::{ModelId, OrganizationId, ProjectId, SessionId, UserId, VersionId};
use berth_domain::manifest::{Batching, Manifest, Task};
use berth_domain::model::{ModelFile, folder_digest};
use berth_domain::permission::BuiltinRole;
use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_serving::Surroundings;
use berth_serving::deployments::{Change, Deployments, Draft, Error, Share};
use berth_serving::models::{self, Models};
use berth_serving::place::Ended;
use berth_store::changes::Topic;
use berth_store::idempotency_keys::Keep;
use berth_store::models::{NewModel, Reach};
use berth_store::organizations::NewOrganization;
use berth_store::projects::NewProject;
use berth_store::system::versions::Outcome;
use berth_store::users::NewUser;
use berth_store::versions::{Measured, NewVersion};
use berth_store::{Options, Store, Tx};
use berth_test_support::{TestDatabase, wait_until};

/// A project with a model that has one ready version.
struct Scene {
    store: Store,
    /// Waits only a moment for what another transaction has locked.
    hasty: Deployments,
    hasty_models: Models,
    patient: Deployments,
    patient_models: Models,
    access: ProjectAccess<can::DeploymentsWrite>,
    models_access: ProjectAccess<can::ModelsWrite>,
    model: ModelId,
    database: TestDatabase,
}

impl Scene {
    async fn new() -> Result<Self> {
        let database = TestDatabase::create().await?;
        let options = Options::new(
            Secret::new(database.app_url()),
            Secret::new(database.system_url()),
        );
        let store = Store::connect(&options).await?;
        let hasty = Store::connect(&Options {
            lock_timeout: Duration::from_millis(300),
            ..options
        })
        .await?;
        let (clock, random) = (SystemClock, SystemRandom);
        let user = UserId::new(&clock, &random);
        let (organization, project) = (
            OrganizationId::new(&clock, &random),
            ProjectId::new(&clock, &random),
        );
        let caller = Caller::Person(Person {
            user,
            session: SessionId::new(&clock, &random),
            operator: false,
        });
        let permissions = BuiltinRole::Owner.permissions();
        let access = ProjectAccess::vouch(organization, project, caller.clone(), permissions.clone());
        let models_access = ProjectAccess::vouch(organization, project, caller, permissions);
        let around = |store| Surroundings {
            store,
            fleet: Fleet::new(Arc::new(Memory::new())),
            clock: Arc::new(clock),
            random: Arc::new(random),
        };
        let scene = Self {
            hasty: Deployments::new(around(hasty.clone())),
            hasty_models: Models::new(around(hasty)),
            patient: Deployments::new(around(store.clone())),
            patient_models: Models::new(around(store.clone())),
            store,
            access: access.context("an owner")?,
            models_access: models_access.context("an owner")?,
            model: ModelId::new(&clock, &random),
            database,
        };
        scene.furnish(user).await?;
        scene.add_version().await?;
        Ok(scene)
    }

    async fn furnish(&self, user: UserId) -> Result<()> {
        let (organization, created_at) = (self.access.organization(), SystemClock.now());
        let mut tx = self.store.tenant_as(organization, user).await?;
        let person = NewUser {
            id: user,
            email: "ada@example.com".parse()?,
            name: None,
            created_at,
        };
        tx.users().insert(&person).await?;
        let tenant = NewOrganization {
            id: organization,
            name: "acme".parse()?,
            title: "Acme".parse()?,
            created_at,
        };
        tx.organizations().insert(&tenant).await?;
        let project = NewProject {
            id: self.access.project(),
            name: "main".parse()?,
            title: "Main".parse()?,
            cors_origins: Vec::new(),
            created_at,
        };
        tx.projects().insert(organization, &project).await?;
        let model = NewModel {
            id: self.model,
            ..self.new_model("iris")?
        };
        tx.models().insert(organization, &model).await?;
        Ok(tx.commit().await?)
    }

    fn new_model(&self, name: &str) -> Result<NewModel> {
        Ok(NewModel {
            id: ModelId::new(&SystemClock, &SystemRandom),
            project: self.access.project(),
            name: name.parse()?,
            title: None,
            description: String::new(),
            license: None,
            reach: Reach::Project,
            created_by: Creator::from(self.access.caller()),
            created_at: SystemClock.now(),
        })
    }

    async fn add_version(&self) -> Result<()> {
        let (organization, created_at) = (self.access.organization(), SystemClock.now());
        let files = vec![ModelFile {
            path: "model.onnx".to_owned(),
            digest: Sha256::of(b"graph"),
            size_bytes: 5,
        }];
        let version = NewVersion {
            id: VersionId::new(&SystemClock, &SystemRandom),
            model: self.model,
            folder_digest: folder_digest(&files),
            warnings: Vec::new(),
            manifest: Manifest {
                task: Task::Tensors,
                graph: "model.onnx".to_owned(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                text_embedding: None,
                batching: Batching::default(),
                license: None,
                guessed: Vec::new(),
            },
            graphs: serde_json::json!([]),
            files,
            created_by: Creator::from(self.access.caller()),
            created_at,
        };
        let mut tx = self.store.tenant(organization).await?;
        tx.blobs()
            .touch(organization, &Sha256::of(b"graph"), 5, created_at)
            .await?;
        tx.versions()
            .insert(organization, &version)
            .await?
            .context("the model is there")?;
        tx.commit().await?;
        let outcome = Outcome::Ready {
            measured: Measured {
                resident_bytes: 1,
                load_us: 1,
                run_us: 1,
            },
            warnings: Vec::new(),
        };
        let mut tx = self.store.system().await?;
        tx.versions().conclude(version.id, &outcome, created_at).await?;
        Ok(tx.commit().await?)
    }

    async fn deploy(&self, versions: Vec<Share>) -> Result<(), Error> {
        let made = self
            .hasty
            .create(&self.access, draft(versions), &Keep::nothing())
            .await;
        made.map(drop)
    }

    /// Deletes the project, and waits for whom it must.
    async fn delete_project(&self) -> Result<()> {
        let (organization, project) = (self.access.organization(), self.access.project());
        let mut tx = self.store.tenant(organization).await?;
        let there = tx
            .projects()
            .delete(organization, project, SystemClock.now())
            .await?;
        anyhow::ensure!(there, "it was deleted before");
        Ok(tx.commit().await?)
    }

    /// Makes something that waits for what `other` holds, deletes the project meanwhile, and lets go: both succeed, one after
    /// the other.
    async fn delete_project_while<T, E>(
        &self,
        making: impl Future<Output = Result<T, E>>,
        other: Tx,
    ) -> Result<()>
    where
        anyhow::Error: From<E>,
    {
        let (made, deleted, freed) = tokio::join!(
            making,
            async {
                self.wait_for_waiting(1).await?;
                self.delete_project().await
            },
            async {
                self.wait_for_waiting(2).await?;
                anyhow::Ok(other.rollback().await?)
            },
        );
        made?;
        deleted?;
        freed
    }

    /// Waits until so many statements wait for locks.
    async fn wait_for_waiting(&self, wanted: i64) -> Result<()> {
        let waiting = wait_until(LIMIT, async || {
            self.database
                .waiting()
                .await
                .is_ok_and(|waiting| waiting >= wanted)
        });
        waiting.await.with_context(|| format!("fewer than {wanted} wait"))
    }
}

fn draft(versions: Vec<Share>) -> Draft {
    Draft {
        name: "search".parse().expect("a handle"),
        model: "iris".parse().expect("a handle"),
        versions,
        settings: Settings::default(),
    }
}

fn model_draft(name: &str) -> models::Draft {
    models::Draft {
        name: name.parse().expect("a handle"),
        title: None,
        description: String::new(),
        license: None,
        reach: Reach::Project,
    }
}

fn is_kept_waiting(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Store(error)) if error.is_transient())
}

/// How long a condition is waited for: far longer than it takes.
const LIMIT: Duration = Duration::from_secs(20);

const FIRST: Share = Share {
    number: 1,
    weight: 100,
};

#[tokio::test]
async fn model_that_is_being_deleted_cannot_be_deployed() -> Result<()> {
    for versions in [vec![FIRST], vec![]] {
        let scene = Scene::new().await?;
        let organization = scene.access.organization();
        // The deletion has seen that nothing is deployed.
        let mut deletion = scene.store.tenant(organization).await?;
        deletion
            .models()
            .lock(organization, scene.model)
            .await?
            .context("is there")?;
        assert!(!deletion.models().is_deployed(organization, scene.model).await?);

        let meanwhile = scene.deploy(versions.clone()).await;
        assert!(is_kept_waiting(&meanwhile), "{meanwhile:?}");

        deletion
            .models()
            .delete(organization, scene.model, SystemClock.now())
            .await?;
        deletion.commit().await?;
        let afterwards = scene.deploy(versions).await;
        assert!(
            matches!(afterwards, Err(Error::ModelNotFound(_))),
            "{afterwards:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn model_that_is_being_deleted_gets_no_other_versions_deployed() -> Result<()> {
    let scene = Scene::new().await?;
    let organization = scene.access.organization();
    scene.deploy(vec![FIRST]).await?;
    let mut deletion = scene.store.tenant(organization).await?;
    deletion
        .models()
        .lock(organization, scene.model)
        .await?
        .context("is there")?;
    let change = Change {
        versions: Some(vec![FIRST]),
        ..Change::default()
    };
    let name = "search".parse()?;
    let meanwhile = scene.hasty.update(&scene.access, &name, change.clone()).await;
    assert!(is_kept_waiting(&meanwhile.map(drop)));
    deletion.rollback().await?;
    scene.hasty.update(&scene.access, &name, change).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_made_in_a_project_that_is_being_deleted() -> Result<()> {
    let scene = Scene::new().await?;
    let (organization, project) = (scene.access.organization(), scene.access.project());
    let make_model = async || {
        let (access, keep) = (&scene.models_access, Keep::nothing());
        let made = scene
            .hasty_models
            .create(access, model_draft("rose"), &keep)
            .await;
        made.map(drop)
    };
    let mut deletion = scene.store.tenant(organization).await?;
    deletion
        .projects()
        .delete(organization, project, SystemClock.now())
        .await?;

    let meanwhile = scene.deploy(vec![FIRST]).await;
    assert!(is_kept_waiting(&meanwhile), "{meanwhile:?}");
    let meanwhile = make_model().await;
    assert!(
        matches!(&meanwhile, Err(models::Error::Store(error)) if error.is_transient()),
        "{meanwhile:?}"
    );

    deletion.commit().await?;
    let afterwards = scene.deploy(vec![FIRST]).await;
    assert!(
        matches!(afterwards, Err(Error::Ended(Ended::Deleted))),
        "{afterwards:?}"
    );
    let afterwards = make_model().await;
    assert!(
        matches!(afterwards, Err(models::Error::Ended(Ended::Deleted))),
        "{afterwards:?}"
    );
    Ok(())
}

#[tokio::test]
async fn deployment_that_is_being_made_goes_with_its_project() -> Result<()> {
    let scene = Scene::new().await?;
    let (organization, project) = (scene.access.organization(), scene.access.project());
    // The deployment is made and not committed, because somebody else holds the counter of changes.
    let mut other = scene.store.tenant(organization).await?;
    other.changes().bump(Topic::Deployments).await?;
    let keep = Keep::nothing();
    let making = scene.patient.create(&scene.access, draft(vec![FIRST]), &keep);
    scene.delete_project_while(Box::pin(making), other).await?;
    let mut tx = scene.store.tenant(organization).await?;
    let left = tx
        .deployments()
        .find(organization, project, &"search".parse()?)
        .await?;
    assert_eq!(left, None);
    Ok(())
}

#[tokio::test]
async fn model_that_is_being_made_goes_with_its_project() -> Result<()> {
    let scene = Scene::new().await?;
    let (organization, project) = (scene.access.organization(), scene.access.project());
    // Whether the name is free is not known while another is about to take it.
    let mut other = scene.store.tenant(organization).await?;
    let rival = scene.new_model("rose")?;
    other.models().insert(organization, &rival).await?;
    let keep = Keep::nothing();
    let making = scene
        .patient_models
        .create(&scene.models_access, model_draft("rose"), &keep);
    scene.delete_project_while(Box::pin(making), other).await?;
    let mut tx = scene.store.tenant(organization).await?;
    let left = tx.models().find(organization, project, &"rose".parse()?).await?;
    assert_eq!(left, None);
    Ok(())
}
