//! Uploads from the first byte to the version, over the real gate, a real artifact folder and a real database.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use berth_artifacts::{ArtifactStore, Staging, store};
use berth_coordination::Fleet;
use berth_coordination::memory::Memory;
use berth_domain::access::{Caller, KeyIdentity, Person, ProjectAccess, can};
use berth_domain::address::AddressList;
use berth_domain::clock::{Clock as _, SystemClock};
use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_domain::id::{ApiKeyId, MembershipId, OrganizationId, ProjectId, SessionId, UserId};
use berth_domain::manifest::Task;
use berth_domain::model::{ModelFile, VersionState};
use berth_domain::name::Handle;
use berth_domain::permission::{BuiltinRole, Permission, PermissionSet};
use berth_domain::random::{Random, SystemRandom};
use berth_domain::secret::Secret;
use berth_serving::Surroundings;
use berth_serving::gate::{Gate, Limits, Options};
use berth_serving::place;
use berth_serving::uploads::{Accepted, Ended, Error, Incoming, Uploads};
use berth_store::Store;
use berth_store::api_keys::NewApiKey;
use berth_store::idempotency_keys::Keep;
use berth_store::memberships::NewMembership;
use berth_store::organizations::{NewOrganization, Suspender};
use berth_store::page::{Order, Page};
use berth_store::projects::NewProject;
use berth_store::roles::GivenRole;
use berth_store::system::versions::Outcome;
use berth_store::users::NewUser;
use berth_test_support::TestDatabase;
use berth_test_support::hostile_models::hostile_uploads;
use berth_test_support::onnx_models as onnx;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

struct Case {
    _database: TestDatabase,
    folder: TempDir,
    store: Store,
    staging: Staging,
    artifacts: ArtifactStore,
    uploads: Uploads,
    access: ProjectAccess<can::ModelsWrite>,
}

impl Case {
    async fn new() -> Result<Self> {
        let database = TestDatabase::create().await?;
        let options = berth_store::Options::new(
            Secret::new(database.app_url()),
            Secret::new(database.system_url()),
        );
        let store = Store::connect(&options).await?;
        let folder = tempfile::tempdir()?;
        let staging = Staging::open(folder.path().join("staging")).await?;
        let artifacts = ArtifactStore::open(&store::Options::Folder(folder.path().join("artifacts"))).await?;
        let gate = Gate::new(Options {
            program: env!("CARGO_BIN_EXE_berth").into(),
            concurrency: 2,
            timeout: Duration::from_mins(2),
            limits: Limits::default(),
            best_effort: false,
        });
        let around = Surroundings {
            store: store.clone(),
            fleet: Fleet::new(Arc::new(Memory::new())),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        Ok(Self {
            access: tenant(&store).await?,
            uploads: Uploads::new(around, gate, staging.clone(), artifacts.clone()),
            _database: database,
            folder,
            store,
            staging,
            artifacts,
        })
    }

    async fn send(&self, model: &str, file_name: &str, bytes: &[u8]) -> Result<Result<Accepted, Error>> {
        let chunks: Vec<_> = bytes
            .chunks(1000)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        self.receive(model, file_name, stream::iter(chunks).boxed(), None)
            .await
    }

    async fn receive(
        &self,
        model: &str,
        file_name: &str,
        body: stream::BoxStream<'_, io::Result<Bytes>>,
        digest: Option<Sha256>,
    ) -> Result<Result<Accepted, Error>> {
        let name: Handle = model.parse()?;
        let incoming = Incoming {
            body,
            file_name: file_name.to_owned(),
            digest,
            limit_bytes: 200 << 20,
            traceparent: None,
        };
        let upload = match self.uploads.receive(&self.access, incoming).await {
            Ok(upload) => upload,
            Err(error) => return Ok(Err(error)),
        };
        let keep = Keep::nothing();
        Ok(self.uploads.accept(&self.access, &name, upload, &keep).await)
    }

    fn organization(&self) -> OrganizationId {
        self.access.organization()
    }

    /// The names of the project's models.
    async fn models(&self) -> Result<Vec<String>> {
        let mut tx = self.store.tenant(self.organization()).await?;
        let page = Page::first(50, Order::Descending);
        let models = tx
            .models()
            .list(self.organization(), self.access.project(), &page)
            .await?;
        Ok(models
            .items
            .into_iter()
            .map(|model| model.name.to_string())
            .collect())
    }

    /// What waits in the outbox.
    async fn queued(&self) -> Result<u64> {
        Ok(self.store.system().await?.outbox().backlog().await?.waiting)
    }

    /// How many files the artifact store and the staging folder hold.
    fn kept(&self) -> Result<(usize, usize)> {
        let staged = std::fs::read_dir(self.staging.folder())?.count();
        Ok((files_below(&self.folder.path().join("artifacts"))?, staged))
    }
}

fn files_below(folder: &std::path::Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            files_below(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

async fn tenant(store: &Store) -> Result<ProjectAccess<can::ModelsWrite>> {
    let (clock, random) = (SystemClock, SystemRandom);
    let (user, organization, project) = (
        UserId::new(&clock, &random),
        OrganizationId::new(&clock, &random),
        ProjectId::new(&clock, &random),
    );
    let mut tx = store.person(user).await?;
    tx.users()
        .insert(&NewUser {
            id: user,
            email: "ada@example.com".parse()?,
            name: None,
            created_at: clock.now(),
        })
        .await?;
    tx.commit().await?;
    let mut tx = store.tenant_as(organization, user).await?;
    tx.organizations()
        .insert(&NewOrganization {
            id: organization,
            name: "acme".parse()?,
            title: "Acme".parse()?,
            created_at: clock.now(),
        })
        .await?;
    tx.projects()
        .insert(
            organization,
            &NewProject {
                id: project,
                name: "main".parse()?,
                title: "Main".parse()?,
                cors_origins: Vec::new(),
                created_at: clock.now(),
            },
        )
        .await?;
    tx.memberships()
        .insert(
            organization,
            &NewMembership {
                id: MembershipId::new(&clock, &random),
                project: None,
                user,
                role: GivenRole::Builtin(BuiltinRole::Owner),
                created_at: clock.now(),
            },
        )
        .await?;
    tx.commit().await?;
    let caller = Caller::Person(Person {
        user,
        session: SessionId::new(&clock, &random as &dyn Random),
        operator: false,
    });
    let permissions: PermissionSet = Permission::ALL.iter().copied().collect();
    ProjectAccess::vouch(organization, project, caller, permissions).context("holds every permission")
}

fn zip(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default())?;
        writer.write_all(content)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[tokio::test]
async fn upload_becomes_a_version_that_waits_for_its_proof() -> Result<()> {
    let case = Case::new().await?;
    let graph = onnx::adder();
    let accepted = case.send("iris", "iris.onnx", &graph).await??;
    assert!(accepted.is_new);
    let version = accepted.version;
    assert_eq!((version.number, version.state), (1, VersionState::Checking));
    assert_eq!(version.manifest.task, Task::Tensors);
    assert_eq!(version.size_bytes, graph.len() as u64);
    let digest = Sha256::of(&graph);
    assert_eq!(
        accepted.files,
        [ModelFile {
            path: "model.onnx".to_owned(),
            digest,
            size_bytes: graph.len() as u64
        }]
    );
    assert!(case.artifacts.exists(case.organization(), digest).await?);
    assert_eq!(case.queued().await?, 1);
    assert_eq!(case.kept()?, (1, 0));
    assert_eq!(case.models().await?, ["iris"]);
    Ok(())
}

#[tokio::test]
async fn folder_is_stored_file_by_file_and_equal_bytes_once() -> Result<()> {
    let case = Case::new().await?;
    let graph = onnx::embedder(10);
    let archive = zip(&[
        ("m/model.onnx", &graph),
        ("m/tokenizer.json", b"{}"),
        ("m/special_tokens_map.json", b"{}"),
    ])?;
    let accepted = case.send("embedder", "m.zip", &archive).await??;
    assert_eq!(accepted.version.manifest.task, Task::TextEmbedding);
    assert_eq!(accepted.files.len(), 3);
    assert_eq!(case.kept()?, (2, 0));
    // Another model of the organization with the same graph stores nothing again.
    case.send("other", "model.onnx", &graph).await??;
    assert_eq!(case.kept()?, (2, 0));
    Ok(())
}

#[tokio::test]
async fn same_files_are_the_same_version_until_it_failed() -> Result<()> {
    let case = Case::new().await?;
    let graph = onnx::adder();
    let first = case.send("iris", "a.onnx", &graph).await??;
    let again = case.send("iris", "b.onnx", &graph).await??;
    assert!(!again.is_new);
    assert_eq!(again.version.id, first.version.id);
    // The same folder in another wrapping.
    let archive = zip(&[("model.onnx", &graph)])?;
    assert_eq!(
        case.send("iris", "m.zip", &archive).await??.version.id,
        first.version.id
    );
    assert_eq!(case.queued().await?, 1);

    let mut tx = case.store.system().await?;
    let outcome = Outcome::Failed {
        reason: "the worker had no room".to_owned(),
        warnings: Vec::new(),
    };
    tx.versions()
        .conclude(first.version.id, &outcome, SystemClock.now())
        .await?;
    tx.commit().await?;
    let third = case.send("iris", "a.onnx", &graph).await??;
    assert!(third.is_new);
    assert_eq!(third.version.number, 2);
    Ok(())
}

#[tokio::test]
async fn two_equal_uploads_at_once_are_one_version() -> Result<()> {
    let case = Case::new().await?;
    let graph = onnx::adder();
    let (one, other) = tokio::join!(
        case.send("iris", "a.onnx", &graph),
        case.send("iris", "a.onnx", &graph)
    );
    let (one, other) = (one??, other??);
    assert_eq!(one.version.id, other.version.id);
    assert!(one.is_new != other.is_new);
    assert_eq!(case.queued().await?, 1);
    Ok(())
}

#[tokio::test]
async fn refused_uploads_leave_nothing() -> Result<()> {
    let case = Case::new().await?;
    for upload in hostile_uploads()?.into_iter().step_by(5) {
        match case.send("evil", upload.file_name, &upload.bytes).await? {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.code, upload.code, "{}", upload.name),
            other => bail!("{} was not refused: {other:?}", upload.name),
        }
    }
    assert_eq!(case.kept()?, (0, 0));
    assert_eq!(case.models().await?, Vec::<String>::new());
    assert_eq!(case.queued().await?, 0);
    Ok(())
}

#[tokio::test]
async fn uploads_that_do_not_come_whole_leave_nothing() -> Result<()> {
    let case = Case::new().await?;
    let graph = Bytes::from(onnx::adder());
    let broken = stream::iter([Ok(graph.slice(..50)), Err(io::ErrorKind::ConnectionReset.into())]).boxed();
    assert!(matches!(
        case.receive("iris", "a.onnx", broken, None).await?,
        Err(Error::Body(error)) if error.kind() == io::ErrorKind::ConnectionReset
    ));
    assert!(matches!(
        case.send("iris", "a.onnx", b"").await?,
        Err(Error::Empty)
    ));
    let endless = stream::repeat_with(|| Ok(Bytes::from(vec![0; 10 << 20]))).boxed();
    assert!(matches!(
        case.receive("iris", "a.onnx", endless, None).await?,
        Err(Error::TooLarge {
            limit_bytes: 209_715_200
        })
    ));
    let other = Some(Sha256::of(b"something else"));
    let body = stream::iter([Ok(graph.clone())]).boxed();
    assert!(matches!(
        case.receive("iris", "a.onnx", body, other).await?,
        Err(Error::WrongDigest { .. })
    ));
    assert_eq!(case.kept()?, (0, 0));
    assert_eq!(case.models().await?, Vec::<String>::new());

    let right = Some(Sha256::of(&graph));
    let body = stream::iter([Ok(graph)]).boxed();
    assert!(case.receive("iris", "a.onnx", body, right).await?.is_ok());
    Ok(())
}

/// What may end while an upload is on its way.
#[derive(Debug, Clone, Copy)]
enum End {
    Key,
    Membership,
    Project,
    ProjectForNow,
    OrganizationForNow,
}

impl Case {
    /// The project's access by a key that is made for it.
    async fn by_key(&self) -> Result<(ApiKeyId, ProjectAccess<can::ModelsWrite>)> {
        let (organization, project) = (self.organization(), self.access.project());
        let scopes: PermissionSet = [Permission::ModelsWrite].into_iter().collect();
        let key = ApiKeyId::new(&SystemClock, &SystemRandom);
        let maker = self.access.caller().user().context("a person")?;
        let mut tx = self.store.tenant(organization).await?;
        tx.api_keys()
            .insert(
                organization,
                &NewApiKey {
                    id: key,
                    project,
                    service_account: None,
                    title: "Uploader".parse()?,
                    scopes: scopes.clone(),
                    models: None,
                    addresses: AddressList::default(),
                    created_by: Creator::User(maker),
                    created_at: SystemClock.now(),
                    expires_at: None,
                },
            )
            .await?;
        tx.commit().await?;
        let identity = KeyIdentity {
            key,
            organization,
            project,
            service_account: None,
            scopes: scopes.clone(),
            models: None,
            origins: Vec::new(),
        };
        let caller = Caller::Key(Arc::new(identity));
        let access = ProjectAccess::vouch(organization, project, caller, scopes).context("may upload")?;
        Ok((key, access))
    }

    async fn end(&self, end: End, key: ApiKeyId) -> Result<()> {
        let (organization, project, now) = (self.organization(), self.access.project(), SystemClock.now());
        let mut tx = self.store.tenant(organization).await?;
        let ended = match end {
            End::Key => tx.api_keys().revoke(organization, key, now).await?,
            End::Membership => {
                let user = self.access.caller().user().context("a person")?;
                let held = tx.memberships().of_user(organization, user).await?;
                let membership = held.first().context("belongs there")?.membership.id;
                tx.memberships().remove(organization, membership).await?
            }
            End::Project => tx.projects().delete(organization, project, now).await?,
            End::ProjectForNow => tx.projects().suspend(organization, project, now).await?,
            End::OrganizationForNow => {
                tx.organizations()
                    .suspend(organization, Suspender::Owner, now)
                    .await?
            }
        };
        anyhow::ensure!(ended, "nothing was ended");
        Ok(tx.commit().await?)
    }
}

#[tokio::test]
async fn upload_whose_permission_ends_while_it_comes_in_leaves_nothing() -> Result<()> {
    for (end, by_key, expected) in [
        (End::Key, true, Ended::Key),
        (End::Membership, false, Ended::Permission),
        (End::Project, false, Ended::Place(place::Ended::Deleted)),
        (End::Project, true, Ended::Place(place::Ended::Deleted)),
        (
            End::ProjectForNow,
            true,
            Ended::Place(place::Ended::ProjectSuspended),
        ),
        (
            End::OrganizationForNow,
            false,
            Ended::Place(place::Ended::OrganizationSuspended),
        ),
    ] {
        let case = Case::new().await?;
        let (key, keyed) = case.by_key().await?;
        let access = if by_key { &keyed } else { &case.access };
        let graph = Bytes::from(onnx::adder());
        let (first, second) = (graph.slice(..50), graph.slice(50..));
        // Half of it is there when the permission ends; then the rest comes.
        let body = stream::once(async { io::Result::Ok(first) }).chain(stream::once(async {
            case.end(end, key).await.map_err(io::Error::other)?;
            Ok(second)
        }));
        let incoming = Incoming {
            body: body.boxed_local(),
            file_name: "a.onnx".to_owned(),
            digest: None,
            limit_bytes: 1 << 20,
            traceparent: None,
        };
        let upload = case.uploads.receive(access, incoming).await?;
        let answer = case
            .uploads
            .accept(access, &"iris".parse()?, upload, &Keep::nothing())
            .await;
        assert!(
            matches!(&answer, Err(Error::Ended(ended)) if *ended == expected),
            "{end:?}: {answer:?}"
        );
        assert_eq!(case.kept()?, (0, 0), "{end:?}");
        assert_eq!(case.models().await?, Vec::<String>::new(), "{end:?}");
        assert_eq!(case.queued().await?, 0, "{end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn permitted_key_uploads() -> Result<()> {
    let case = Case::new().await?;
    let (_, access) = case.by_key().await?;
    let incoming = Incoming {
        body: stream::iter([Ok(Bytes::from(onnx::adder()))]).boxed(),
        file_name: "a.onnx".to_owned(),
        digest: None,
        limit_bytes: 1 << 20,
        traceparent: None,
    };
    let upload = case.uploads.receive(&access, incoming).await?;
    let name: Handle = "iris".parse()?;
    let accepted = case
        .uploads
        .accept(&access, &name, upload, &Keep::nothing())
        .await?;
    assert!(accepted.is_new);
    Ok(())
}
