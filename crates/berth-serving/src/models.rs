//! Models and their versions: making, listing, changing, publishing and deleting. Versions come in by an upload.

use berth_domain::access::{Operator, ProjectAccess, can};
use berth_domain::creator::Creator;
use berth_domain::id::{ModelId, OrganizationId, VersionId};
use berth_domain::model::{ModelFile, Visibility};
use berth_domain::name::{Handle, Title};
use berth_store::changes::Topic;
use berth_store::idempotency_keys::Keep;
use berth_store::models::{Model, ModelChange, NAME_TAKEN, NewModel, Reach};
use berth_store::page::{List, Page};
use berth_store::versions::{Deletion, Version};

use crate::place;
use crate::surroundings::Surroundings;

/// Longest description, in characters.
pub const DESCRIPTION_LIMIT: usize = 10_000;

/// Longest name of a licence, in characters.
pub const LICENSE_LIMIT: usize = 200;

/// Why a model or version cannot be shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such model in the project; the caller can fix it.
    #[error("there is no model `{0}` in this project")]
    ModelNotFound(String),
    /// The model has no such version; the caller can fix it.
    #[error("the model has no version {0}")]
    VersionNotFound(u32),
    /// The name is taken; the caller chooses another.
    #[error("the project has a model called `{0}` already")]
    NameTaken(Handle),
    /// A deployment serves it; the caller removes the deployment first.
    #[error("a deployment serves it")]
    Deployed,
    /// A text is too long; the caller shortens it.
    #[error("`{field}` has at most {limit} characters")]
    TooLong {
        /// The field.
        field: &'static str,
        /// How many characters it may have.
        limit: usize,
    },
    /// The project or its organization was deleted or suspended meanwhile.
    #[error(transparent)]
    Ended(#[from] place::Ended),
    /// The store failed; the operator's business.
    #[error("the models cannot be reached")]
    Store(#[from] berth_store::Error),
}

/// What a new model is.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Option<Title>,
    /// What it is, in prose.
    pub description: String,
    /// Its licence, where it is known.
    pub license: Option<String>,
    /// Who of the organization can see and call it.
    pub reach: Reach,
}

/// Models of projects. Clones share what is below.
#[derive(Debug, Clone)]
pub struct Models {
    around: Surroundings,
}

impl Models {
    /// Models over these.
    pub fn new(around: Surroundings) -> Self {
        Self { around }
    }

    /// Makes a model without versions.
    pub async fn create(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        draft: Draft,
        keep: &Keep<'_, Model>,
    ) -> Result<Model, Error> {
        check_texts(Some(&draft.description), draft.license.as_deref())?;
        let Surroundings {
            store, clock, random, ..
        } = &self.around;
        let model = NewModel {
            id: ModelId::new(&**clock, &**random),
            project: access.project(),
            name: draft.name,
            title: draft.title,
            description: draft.description,
            license: draft.license,
            reach: draft.reach,
            created_by: Creator::from(access.caller()),
            created_at: clock.now(),
        };
        let mut tx = store.tenant(access.organization()).await?;
        place::hold(&mut tx, access.organization(), access.project()).await??;
        match tx.models().insert(access.organization(), &model).await {
            Ok(()) => {}
            Err(error) if error.constraint() == Some(NAME_TAKEN) => return Err(Error::NameTaken(model.name)),
            Err(error) => return Err(error.into()),
        }
        let made = tx.models().show(access.organization(), model.id).await?;
        let made = made.ok_or_else(|| Error::ModelNotFound(model.name.to_string()))?;
        keep.write(&mut tx, &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The models that the project can see: its own, and those that the organization shares.
    pub async fn list(
        &self,
        access: &ProjectAccess<can::ModelsRead>,
        page: &Page<ModelId>,
    ) -> Result<List<Model>, Error> {
        let mut tx = self.around.store.tenant(access.organization()).await?;
        Ok(tx
            .models()
            .list_visible(access.organization(), access.project(), page)
            .await?)
    }

    /// The project's model of this name.
    pub async fn show(&self, access: &ProjectAccess<can::ModelsRead>, name: &Handle) -> Result<Model, Error> {
        let mut tx = self.around.store.tenant(access.organization()).await?;
        let found = tx
            .models()
            .find(access.organization(), access.project(), name)
            .await?;
        found.ok_or_else(|| Error::ModelNotFound(name.to_string()))
    }

    /// Changes what is said of the model, and who of the organization can see and call it.
    pub async fn update(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        name: &Handle,
        change: &ModelChange,
    ) -> Result<Model, Error> {
        check_texts(change.description.as_deref(), change.license.as_deref())?;
        let organization = access.organization();
        let not_found = || Error::ModelNotFound(name.to_string());
        let mut tx = self.around.store.tenant(organization).await?;
        let model = tx
            .models()
            .find(organization, access.project(), name)
            .await?
            .ok_or_else(not_found)?;
        if !tx.models().update(organization, model.id, change).await? {
            return Err(not_found());
        }
        let changed = tx
            .models()
            .show(organization, model.id)
            .await?
            .ok_or_else(not_found)?;
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        self.around.deployments_changed(value, concerned(&changed)).await;
        Ok(changed)
    }

    /// Deletes the model with its versions; refused while a deployment serves one of them. The bytes go when nothing
    /// else of the organization has them.
    pub async fn delete(&self, access: &ProjectAccess<can::ModelsWrite>, name: &Handle) -> Result<(), Error> {
        let organization = access.organization();
        let not_found = || Error::ModelNotFound(name.to_string());
        let mut tx = self.around.store.tenant(organization).await?;
        let model = tx
            .models()
            .find(organization, access.project(), name)
            .await?
            .ok_or_else(not_found)?;
        let model = tx
            .models()
            .lock(organization, model.id)
            .await?
            .ok_or_else(not_found)?;
        if tx.models().is_deployed(organization, model.id).await? {
            return Err(Error::Deployed);
        }
        if !tx
            .models()
            .delete(organization, model.id, self.around.clock.now())
            .await?
        {
            return Err(not_found());
        }
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        self.around.deployments_changed(value, concerned(&model)).await;
        Ok(())
    }

    /// Lets every organization call the model's deployments (`published`), or no longer.
    pub async fn publish(
        &self,
        _operator: &Operator,
        model: ModelId,
        published: bool,
    ) -> Result<Model, Error> {
        let mut tx = self.around.store.system().await?;
        let there = if published {
            tx.models().publish(model, self.around.clock.now()).await?
        } else {
            tx.models().unpublish(model).await?
        };
        let found = tx.models().show(model).await?;
        let found = found
            .filter(|_| there)
            .ok_or_else(|| Error::ModelNotFound(model.to_string()))?;
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        self.around.deployments_changed(value, None).await;
        Ok(found)
    }

    /// The versions of the project's model of this name.
    pub async fn list_versions(
        &self,
        access: &ProjectAccess<can::ModelsRead>,
        name: &Handle,
        page: &Page<VersionId>,
    ) -> Result<List<Version>, Error> {
        let organization = access.organization();
        let mut tx = self.around.store.tenant(organization).await?;
        let model = tx.models().find(organization, access.project(), name).await?;
        let model = model.ok_or_else(|| Error::ModelNotFound(name.to_string()))?;
        Ok(tx.versions().list(organization, model.id, page).await?)
    }

    /// One version, with its files.
    pub async fn show_version(
        &self,
        access: &ProjectAccess<can::ModelsRead>,
        name: &Handle,
        number: u32,
    ) -> Result<(Version, Vec<ModelFile>), Error> {
        let organization = access.organization();
        let mut tx = self.around.store.tenant(organization).await?;
        let model = tx.models().find(organization, access.project(), name).await?;
        let model = model.ok_or_else(|| Error::ModelNotFound(name.to_string()))?;
        let version = tx.versions().find(organization, model.id, number).await?;
        let version = version.ok_or(Error::VersionNotFound(number))?;
        let files = tx.versions().files(organization, version.id).await?;
        Ok((version, files))
    }

    /// Deletes one version; refused while a deployment serves it. Its number is not given again.
    pub async fn delete_version(
        &self,
        access: &ProjectAccess<can::ModelsWrite>,
        name: &Handle,
        number: u32,
    ) -> Result<(), Error> {
        let organization = access.organization();
        let mut tx = self.around.store.tenant(organization).await?;
        let model = tx.models().find(organization, access.project(), name).await?;
        let model = model.ok_or_else(|| Error::ModelNotFound(name.to_string()))?;
        let version = tx.versions().find(organization, model.id, number).await?;
        let version = version.ok_or(Error::VersionNotFound(number))?;
        match tx
            .versions()
            .delete(organization, version.id, self.around.clock.now())
            .await?
        {
            Deletion::Deleted => Ok(tx.commit().await?),
            Deletion::Deployed => Err(Error::Deployed),
            Deletion::NotFound => Err(Error::VersionNotFound(number)),
        }
    }
}

/// Whom a change of the model, or of what serves it, concerns: its organization, or everybody.
pub(crate) fn concerned(model: &Model) -> Option<OrganizationId> {
    (model.visibility != Visibility::Platform).then_some(model.organization)
}

fn check_texts(description: Option<&str>, license: Option<&str>) -> Result<(), Error> {
    let texts = [
        ("description", description, DESCRIPTION_LIMIT),
        ("license", license, LICENSE_LIMIT),
    ];
    for (field, text, limit) in texts {
        if text.is_some_and(|text| text.chars().count() > limit) {
            return Err(Error::TooLong { field, limit });
        }
    }
    Ok(())
}
