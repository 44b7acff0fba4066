//! How a version comes in: the bytes are staged, judged by the gate, stored by digest, and only then known.
//!
//! Nothing is half done. Until the last transaction there is no version; what was stored before it is referred to by
//! nothing, and the sweep of unreferenced bytes takes it. With the version, the work of proving it is queued in the same
//! transaction.

mod permission;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use berth_artifacts::{ArtifactStore, Staged, Staging};
use berth_domain::access::{ProjectAccess, can};
use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_domain::id::{MessageId, ModelId, OrganizationId, VersionId};
use berth_domain::model::{ModelFile, VersionState, folder_digest};
use berth_domain::name::Handle;
use berth_domain::work::ModelCheck;
use berth_store::Tx;
use berth_store::idempotency_keys::Keep;
use berth_store::models::{NAME_TAKEN, NewModel, Reach};
use berth_store::versions::{NewVersion, Version};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

pub use self::permission::Ended;
use crate::gate::{self, Gate, Refusal, Report};
use crate::surroundings::Surroundings;

/// Why an upload did not become a version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes stopped coming, or came in a way that the sender is told of; the sender tries again.
    #[error("the upload broke off")]
    Body(#[source] io::Error),
    /// Nothing was sent.
    #[error("the upload is empty")]
    Empty,
    /// More was sent than is allowed.
    #[error("the upload has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The bytes are not those that the sender meant; the sender tries again.
    #[error("the upload has the digest {found}, not {expected} as was promised")]
    WrongDigest {
        /// What was promised.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
    /// It is no model that can be served; the sender sends another.
    #[error("the upload was refused ({})", .0.code)]
    Refused(#[source] Refusal),
    /// What permitted the upload ended while it came in: the key was revoked, the person left, the project was deleted or
    /// suspended. Nothing is kept.
    #[error("the upload is not permitted any more")]
    Ended(#[source] Ended),
    /// The model was deleted while its version came in.
    #[error("the model was deleted meanwhile")]
    ModelDeleted,
    /// The gate could not do its work; the operator's business.
    #[error("the upload could not be checked")]
    Gate(#[source] gate::Error),
    /// The bytes could not be staged or stored; the operator's business.
    #[error("the upload could not be kept")]
    Artifacts(#[from] berth_artifacts::Error),
    /// What was read in the graph cannot be written as JSON; a defect.
    #[error("what was read in the graph cannot be stored")]
    Summary(#[source] serde_json::Error),
    /// The store failed; the operator's business.
    #[error("the models cannot be reached")]
    Store(#[from] berth_store::Error),
}

/// What is sent.
#[derive(Debug)]
pub struct Incoming<S> {
    /// The bytes: a graph, or an archive of a folder.
    pub body: S,
    /// What the sender calls the file; only words in messages depend on it.
    pub file_name: String,
    /// What the digest of the bytes must be, if the sender says it.
    pub digest: Option<Sha256>,
    /// Most bytes that are taken.
    pub limit_bytes: u64,
    /// The trace that the work of proving belongs to.
    pub traceparent: Option<String>,
}

/// What has come in whole. Dropped, nothing of it stays.
#[derive(Debug)]
pub struct Upload {
    staged: Staged,
    file_name: String,
    traceparent: Option<String>,
}

impl Upload {
    /// The digest of the bytes as they came.
    pub fn digest(&self) -> Sha256 {
        self.staged.digest()
    }

    /// What the sender calls the file.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }
}

/// What an upload became.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The version.
    pub version: Version,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// Whether it was made now; else the model had a version of these very files, and this is it.
    pub is_new: bool,
}

/// Takes uploads in. Clones share what is below.
#[derive(Debug, Clone)]
pub struct Uploads {
    around: Surroundings,
    gate: Gate,
    staging: Staging,
    artifacts: ArtifactStore,
}

impl Uploads {
    /// Uploads over these.
    pub fn new(around: Surroundings, gate: Gate, staging: Staging, artifacts: ArtifactStore) -> Self {
        Self {
            around,
            gate,
            staging,
            artifacts,
        }
    }

    /// Takes in what is sent, to its end.
    pub async fn receive<S>(
        &self,
        _access: &ProjectAccess<can::ModelsWrite>,
        incoming: Incoming<S>,
    ) -> Result<Upload, Error>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let Incoming {
            body,
            file_name,
            digest,
            limit_bytes,
            traceparent,
        } = incoming;
        let staged = self.stage(body, limit_bytes).await?;
        if let Some(expected) = digest
            && expected != staged.digest()
        {
            return Err(Error::WrongDigest {
                expected,
                found: staged.digest(),
            });
        }
        Ok(Upload {
            staged,
            file_name,
            traceparent,
        })
    }

    /// Makes a version of the project's model `name` of what came in; the model is made when it is not there.
    ///
    /// The same files again are the same version, unless that one failed its proof.
    pub async fn accept(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        name: &Handle,
        upload: Upload,
        keep: &Keep<'_, Accepted>,
    ) -> Result<Accepted, Error> {
        let Upload {
            staged,
            file_name,
            traceparent,
        } = upload;
        let work_folder = self.staging.work_folder().await?;
        let report = self
            .gate
            .inspect(&staged, &file_name, work_folder.path())
            .await
            .map_err(|error| match error {
                gate::Error::Refused(refusal) => Error::Refused(refusal),
                other => Error::Gate(other),
            })?;
        let folder_digest = folder_digest(&report.files);
        if let Some(known) = self.find(access, name, &folder_digest, keep).await? {
            return Ok(known);
        }
        self.store(access.organization(), &staged, &report).await?;
        let version = self.new_version(access, report, folder_digest)?;
        self.record(access, name, version, traceparent.as_deref(), keep)
            .await
    }

    async fn stage(
        &self,
        body: impl Stream<Item = io::Result<Bytes>>,
        limit_bytes: u64,
    ) -> Result<Staged, Error> {
        let mut body = std::pin::pin!(body);
        let mut upload = self.staging.begin(limit_bytes).await?;
        while let Some(chunk) = body.next().await {
            upload.write(chunk.map_err(Error::Body)?).await.map_err(staging)?;
        }
        let staged = upload.finish().await.map_err(staging)?;
        if staged.size_bytes() == 0 {
            return Err(Error::Empty);
        }
        Ok(staged)
    }

    /// The version of the model that has these very files already.
    async fn find(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        name: &Handle,
        folder_digest: &Sha256,
        keep: &Keep<'_, Accepted>,
    ) -> Result<Option<Accepted>, Error> {
        let organization = access.organization();
        let mut tx = self.around.store.tenant(organization).await?;
        permission::check(&mut tx, access, self.around.clock.now()).await?;
        let model = tx.models().find(organization, access.project(), name).await?;
        let Some(model) = model else {
            return Ok(None);
        };
        let known = known_version(&mut tx, organization, model.id, folder_digest).await?;
        if let Some(known) = &known {
            keep.write(&mut tx, known).await?;
            tx.commit().await?;
        }
        Ok(known)
    }

    /// Stores the files' bytes. They are announced first, so that the sweep leaves them alone until something refers to
    /// them.
    async fn store(
        &self,
        organization: OrganizationId,
        staged: &Staged,
        report: &Report,
    ) -> Result<(), Error> {
        // In one order for all uploads, so that two of them cannot wait for each other; the same bytes once.
        let files: BTreeMap<Sha256, &ModelFile> =
            report.files.iter().map(|file| (file.digest, file)).collect();
        let now = self.around.clock.now();
        let mut tx = self.around.store.tenant(organization).await?;
        for file in files.values() {
            tx.blobs()
                .touch(organization, &file.digest, file.size_bytes, now)
                .await?;
        }
        tx.commit().await?;
        for file in files.values() {
            self.put(organization, staged, report, file).await?;
        }
        // A sweep whose connection to the database broke has lost its lock on the rows, and may go on deleting for a moment
        // what was found there above and not stored anew.
        for file in files.values() {
            if !self.artifacts.exists(organization, file.digest).await? {
                self.put(organization, staged, report, file).await?;
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        organization: OrganizationId,
        staged: &Staged,
        report: &Report,
        file: &ModelFile,
    ) -> Result<(), Error> {
        match &report.unpacked {
            None => self.artifacts.put_staged(organization, staged).await?,
            Some(root) => {
                let path: PathBuf = root.join(&file.path);
                self.artifacts.put_file(organization, file.digest, &path).await?;
            }
        }
        Ok(())
    }

    fn new_version(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        report: Report,
        folder_digest: Sha256,
    ) -> Result<NewVersion, Error> {
        let Surroundings { clock, random, .. } = &self.around;
        let graphs = serde_json::to_value(&report.graphs).map_err(Error::Summary)?;
        Ok(NewVersion {
            id: VersionId::new(&**clock, &**random),
            model: ModelId::new(&**clock, &**random),
            folder_digest,
            warnings: report.warnings,
            manifest: report.manifest,
            graphs,
            files: report.files,
            created_by: Creator::from(access.caller()),
            created_at: clock.now(),
        })
    }

    /// Makes the version known, and the model if it is not there, and queues the proof: all in one transaction.
    async fn record(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        name: &Handle,
        mut version: NewVersion,
        traceparent: Option<&str>,
        keep: &Keep<'_, Accepted>,
    ) -> Result<Accepted, Error> {
        match self
            .try_record(access, name, &mut version, traceparent, keep)
            .await
        {
            // Somebody made a model of this name at the same moment; it is there the second time.
            Err(Error::Store(error)) if error.constraint() == Some(NAME_TAKEN) => {
                self.try_record(access, name, &mut version, traceparent, keep)
                    .await
            }
            done => done,
        }
    }

    async fn try_record(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        name: &Handle,
        version: &mut NewVersion,
        traceparent: Option<&str>,
        keep: &Keep<'_, Accepted>,
    ) -> Result<Accepted, Error> {
        let organization = access.organization();
        let Surroundings {
            store, clock, random, ..
        } = &self.around;
        let mut tx = store.tenant(organization).await?;
        permission::check(&mut tx, access, clock.now()).await?;
        if let Some(model) = tx.models().find(organization, access.project(), name).await? {
            version.model = model.id;
        } else {
            let model = new_model(access, name, version);
            tx.models().insert(organization, &model).await?;
            version.model = model.id;
        }
        // Two uploads of the same files at once: the second sees what the first has made.
        tx.models()
            .lock(organization, version.model)
            .await?
            .ok_or(Error::ModelDeleted)?;
        if let Some(known) =
            known_version(&mut tx, organization, version.model, &version.folder_digest).await?
        {
            keep.write(&mut tx, &known).await?;
            tx.commit().await?;
            return Ok(known);
        }
        tx.versions()
            .insert(organization, version)
            .await?
            .ok_or(Error::ModelDeleted)?;
        tx.outbox()
            .add(
                MessageId::new(&**clock, &**random),
                Some(organization),
                &ModelCheck { version: version.id },
                traceparent,
                version.created_at,
            )
            .await?;
        let made = tx.versions().show(organization, version.id).await?;
        let accepted = Accepted {
            version: made.ok_or(Error::ModelDeleted)?,
            files: version.files.clone(),
            is_new: true,
        };
        keep.write(&mut tx, &accepted).await?;
        tx.commit().await?;
        Ok(accepted)
    }
}

/// The model that an upload makes on the way.
fn new_model(access: &ProjectAccess<can::ModelsWrite>, name: &Handle, version: &NewVersion) -> NewModel {
    NewModel {
        id: version.model,
        project: access.project(),
        name: name.clone(),
        title: None,
        description: String::new(),
        license: version.manifest.license.clone(),
        reach: Reach::Project,
        created_by: version.created_by,
        created_at: version.created_at,
    }
}

/// The model's version with these very files; one that failed does not count, since it may be tried again.
async fn known_version(
    tx: &mut Tx,
    organization: OrganizationId,
    model: ModelId,
    folder_digest: &Sha256,
) -> Result<Option<Accepted>, Error> {
    let found = tx
        .versions()
        .find_by_digest(organization, model, folder_digest)
        .await?;
    let Some(version) = found.filter(|version| version.state != VersionState::Failed) else {
        return Ok(None);
    };
    let files = tx.versions().files(organization, version.id).await?;
    Ok(Some(Accepted {
        version,
        files,
        is_new: false,
    }))
}

fn staging(error: berth_artifacts::Error) -> Error {
    match error {
        berth_artifacts::Error::TooLarge { limit_bytes } => Error::TooLarge { limit_bytes },
        other => Error::Artifacts(other),
    }
}
