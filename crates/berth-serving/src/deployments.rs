//! Deployments: stable names for versions of a model.

mod settings;

use std::collections::BTreeSet;

use berth_domain::access::{ProjectAccess, can};
use berth_domain::creator::Creator;
use berth_domain::deployment::{Settings, State};
use berth_domain::id::{DeploymentId, ModelId, OrganizationId};
use berth_domain::model::VersionState;
use berth_domain::name::Handle;
use berth_store::Tx;
use berth_store::changes::Topic;
use berth_store::deployments::{Deployment, DeploymentChange, NAME_TAKEN, NewDeployment, WeightedVersion};
use berth_store::idempotency_keys::Keep;
use berth_store::page::{List, Page};

pub use self::settings::{
    DELAY_LIMIT_US, IDLE_LIMIT_S, LABEL_LENGTH_LIMIT, LABELS_LIMIT, REPLICAS_LIMIT, ROWS_LIMIT,
    THREADS_LIMIT, TOKENS_LIMIT,
};
use crate::models::concerned;
use crate::place;
use crate::routing::{Router, Standing};
use crate::surroundings::Surroundings;

/// Most versions behind one deployment.
pub const VERSIONS_LIMIT: usize = 16;

/// Why a deployment cannot be made, shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such deployment in the project; the caller can fix it.
    #[error("there is no deployment `{0}` in this project")]
    NotFound(Handle),
    /// There is no such model in the project; the caller can fix it.
    #[error("there is no model `{0}` in this project")]
    ModelNotFound(Handle),
    /// The model has no such version; the caller can fix it.
    #[error("the model has no version {0}")]
    VersionNotFound(u32),
    /// The version has not been proved, or failed; the caller waits or uploads another.
    #[error("version {number} is `{}`, not `ready`", state.as_str())]
    VersionNotReady {
        /// The version.
        number: u32,
        /// Where it stands.
        state: VersionState,
    },
    /// The name is taken; the caller chooses another.
    #[error("the project has a deployment called `{0}` already")]
    NameTaken(Handle),
    /// A value is out of range; the caller can fix it.
    #[error("`{field}`: {problem}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The project or its organization was deleted or suspended meanwhile.
    #[error(transparent)]
    Ended(#[from] place::Ended),
    /// The store failed; the operator's business.
    #[error("the deployments cannot be reached")]
    Store(#[from] berth_store::Error),
}

/// A version behind a deployment, by its number, with its share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The version's number.
    pub number: u32,
    /// Its share, against the others'; 0 is called by `name@number` alone.
    pub weight: u32,
}

/// What a new deployment is.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What callers call it by.
    pub name: Handle,
    /// The model, by name.
    pub model: Handle,
    /// The versions; when there are none, the newest that is ready.
    pub versions: Vec<Share>,
    /// How it is to be run.
    pub settings: Settings,
}

/// What changes about a deployment; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The versions behind it.
    pub versions: Option<Vec<Share>>,
    /// How it is to be run.
    pub settings: Option<Settings>,
    /// Whether it is stopped: keeps its name and serves nobody.
    pub stopped: Option<bool>,
}

/// Deployments of projects. Clones share what is below.
#[derive(Debug, Clone)]
pub struct Deployments {
    around: Surroundings,
}

impl Deployments {
    /// Deployments over these.
    pub fn new(around: Surroundings) -> Self {
        Self { around }
    }

    /// Puts versions of a model behind a name. They must be ready.
    pub async fn create(
        &self,
        access: &ProjectAccess<can::DeploymentsWrite>,
        draft: Draft,
        keep: &Keep<'_, Deployment>,
    ) -> Result<Deployment, Error> {
        settings::check(&draft.settings)?;
        let organization = access.organization();
        let Surroundings {
            store, clock, random, ..
        } = &self.around;
        let mut tx = store.tenant(organization).await?;
        place::hold(&mut tx, organization, access.project()).await??;
        let model = tx
            .models()
            .find(organization, access.project(), &draft.model)
            .await?;
        // Deleting the model waits, and then finds it deployed; or comes first, and there is no model.
        let model = match model {
            Some(model) => tx.models().lock(organization, model.id).await?,
            None => None,
        };
        let model = model.ok_or(Error::ModelNotFound(draft.model))?;
        let versions = if draft.versions.is_empty() {
            vec![newest_ready(&mut tx, organization, model.id, model.last_number).await?]
        } else {
            hold(&mut tx, organization, model.id, &draft.versions).await?
        };
        let deployment = NewDeployment {
            id: DeploymentId::new(&**clock, &**random),
            project: access.project(),
            model: model.id,
            name: draft.name,
            settings: draft.settings,
            versions,
            created_by: Creator::from(access.caller()),
            created_at: clock.now(),
        };
        match tx.deployments().insert(organization, &deployment).await {
            Ok(()) => {}
            Err(error) if error.constraint() == Some(NAME_TAKEN) => {
                return Err(Error::NameTaken(deployment.name));
            }
            Err(error) => return Err(error.into()),
        }
        let made = tx.deployments().show(organization, deployment.id).await?;
        let made = made.ok_or(Error::NotFound(deployment.name))?;
        keep.write(&mut tx, &made).await?;
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        self.around.deployments_changed(value, concerned(&model)).await;
        Ok(made)
    }

    /// The project's deployments.
    pub async fn list(
        &self,
        access: &ProjectAccess<can::DeploymentsRead>,
        page: &Page<DeploymentId>,
    ) -> Result<List<Deployment>, Error> {
        let mut tx = self.around.store.tenant(access.organization()).await?;
        Ok(tx
            .deployments()
            .list(access.organization(), access.project(), page)
            .await?)
    }

    /// The project's deployment of this name.
    pub async fn show(
        &self,
        access: &ProjectAccess<can::DeploymentsRead>,
        name: &Handle,
    ) -> Result<Deployment, Error> {
        let mut tx = self.around.store.tenant(access.organization()).await?;
        let found = tx
            .deployments()
            .find(access.organization(), access.project(), name)
            .await?;
        found.ok_or_else(|| Error::NotFound(name.clone()))
    }

    /// Changes versions or settings, or stops and resumes it.
    pub async fn update(
        &self,
        access: &ProjectAccess<can::DeploymentsWrite>,
        name: &Handle,
        change: Change,
    ) -> Result<Deployment, Error> {
        if let Some(settings) = &change.settings {
            settings::check(settings)?;
        }
        let organization = access.organization();
        let not_found = || Error::NotFound(name.clone());
        let mut tx = self.around.store.tenant(organization).await?;
        let found = tx
            .deployments()
            .find(organization, access.project(), name)
            .await?
            .ok_or_else(not_found)?;
        // As when it was made: no version goes with its model meanwhile.
        let model = tx.models().lock(organization, found.model).await?;
        let model = model.ok_or_else(not_found)?;
        let versions = match &change.versions {
            Some(shares) => Some(hold(&mut tx, organization, found.model, shares).await?),
            None => None,
        };
        let change = DeploymentChange {
            settings: change.settings,
            versions,
            stopped: change.stopped,
        };
        if !tx
            .deployments()
            .update(organization, found.id, &change, self.around.clock.now())
            .await?
        {
            return Err(not_found());
        }
        let changed = tx
            .deployments()
            .show(organization, found.id)
            .await?
            .ok_or_else(not_found)?;
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        self.around.deployments_changed(value, concerned(&model)).await;
        Ok(changed)
    }

    /// Lets the deployment's versions be loaded again that crashed again and again.
    pub async fn release(
        &self,
        access: &ProjectAccess<can::DeploymentsWrite>,
        name: &Handle,
    ) -> Result<Deployment, Error> {
        let organization = access.organization();
        let not_found = || Error::NotFound(name.clone());
        let mut tx = self.around.store.tenant(organization).await?;
        let found = tx
            .deployments()
            .find(organization, access.project(), name)
            .await?
            .ok_or_else(not_found)?;
        tx.deployments().release(organization, found.id).await?;
        let model = tx.models().show(organization, found.model).await?;
        let released = tx.deployments().show(organization, found.id).await?;
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        let concerned = model.as_ref().map_or(Some(organization), concerned);
        self.around.deployments_changed(value, concerned).await;
        released.ok_or_else(not_found)
    }

    /// Removes the deployment; its name is free again.
    pub async fn delete(
        &self,
        access: &ProjectAccess<can::DeploymentsWrite>,
        name: &Handle,
    ) -> Result<(), Error> {
        let organization = access.organization();
        let not_found = || Error::NotFound(name.clone());
        let mut tx = self.around.store.tenant(organization).await?;
        let found = tx
            .deployments()
            .find(organization, access.project(), name)
            .await?
            .ok_or_else(not_found)?;
        if !tx
            .deployments()
            .delete(organization, found.id, self.around.clock.now())
            .await?
        {
            return Err(not_found());
        }
        let model = tx.models().show(organization, found.model).await?;
        let value = tx.changes().bump(Topic::Deployments).await?;
        tx.commit().await?;
        let concerned = model.as_ref().map_or(Some(organization), concerned);
        self.around.deployments_changed(value, concerned).await;
        Ok(())
    }
}

/// What can be done about it.
const QUARANTINED: &str = "It is loaded no more until the deployment is changed or released.";

/// How a deployment stands: as the worst of its versions, as far as `router` knows.
pub fn standing(router: &Router, deployment: &Deployment) -> Standing {
    if deployment.stopped_at.is_some() {
        return Standing {
            state: State::Stopped,
            reason: None,
        };
    }
    let alone = deployment.versions.len() == 1;
    let versions = deployment.versions.iter().map(|version| {
        let Standing { state, reason } = match &version.quarantine {
            Some(reason) => Standing {
                state: State::Failed,
                reason: Some(format!("{reason} {QUARANTINED}")),
            },
            None => router.standing(version.version),
        };
        let reason = reason.map(|reason| {
            if alone {
                reason
            } else {
                format!("Version {}: {reason}", version.number)
            }
        });
        Standing { state, reason }
    });
    versions
        .min_by_key(|standing| standing.state)
        .unwrap_or(Standing {
            state: State::Pending,
            reason: None,
        })
}

/// The versions of these numbers, held until the transaction ends, after seeing that all are ready.
async fn hold(
    tx: &mut Tx,
    organization: OrganizationId,
    model: ModelId,
    shares: &[Share],
) -> Result<Vec<WeightedVersion>, Error> {
    check_shares(shares)?;
    let mut weighted = Vec::with_capacity(shares.len());
    for share in shares {
        let version = tx.versions().find(organization, model, share.number).await?;
        weighted.push((
            version.ok_or(Error::VersionNotFound(share.number))?.id,
            share.weight,
        ));
    }
    let ids: Vec<_> = weighted.iter().map(|(version, _)| *version).collect();
    let held = tx.versions().hold(organization, &ids).await?;
    for (share, id) in shares.iter().zip(&ids) {
        match held.iter().find(|version| version.id == *id) {
            Some(version) if version.state == VersionState::Ready => {}
            Some(version) => {
                return Err(Error::VersionNotReady {
                    number: version.number,
                    state: version.state,
                });
            }
            None => return Err(Error::VersionNotFound(share.number)),
        }
    }
    Ok(weighted)
}

/// The newest version that is ready; when none is, what stands against the newest.
async fn newest_ready(
    tx: &mut Tx,
    organization: OrganizationId,
    model: ModelId,
    last_number: u32,
) -> Result<WeightedVersion, Error> {
    let mut newest = None;
    for number in (1..=last_number).rev() {
        let Some(version) = tx.versions().find(organization, model, number).await? else {
            continue;
        };
        if version.state == VersionState::Ready {
            let held = hold(tx, organization, model, &[Share { number, weight: 1 }]).await?;
            return held.first().copied().ok_or(Error::VersionNotFound(number));
        }
        newest.get_or_insert(Error::VersionNotReady {
            number,
            state: version.state,
        });
    }
    Err(newest.unwrap_or(Error::VersionNotFound(1)))
}

fn check_shares(shares: &[Share]) -> Result<(), Error> {
    let out_of_range = |problem: String| {
        Err(Error::OutOfRange {
            field: "versions",
            problem,
        })
    };
    if shares.is_empty() || shares.len() > VERSIONS_LIMIT {
        return out_of_range(format!("a deployment has 1 to {VERSIONS_LIMIT} versions"));
    }
    if shares
        .iter()
        .map(|share| share.number)
        .collect::<BTreeSet<_>>()
        .len()
        < shares.len()
    {
        return out_of_range("each version is named once".to_owned());
    }
    if shares.iter().any(|share| share.weight > 1_000_000) {
        return out_of_range("a weight is at most 1000000".to_owned());
    }
    if shares.iter().all(|share| share.weight == 0) {
        return out_of_range("at least one version has a weight above 0".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_must_lead_somewhere_and_be_distinct() {
        let share = |number, weight| Share { number, weight };
        assert!(check_shares(&[share(1, 1), share(2, 0)]).is_ok());
        for bad in [
            vec![],
            vec![share(1, 0)],
            vec![share(1, 1), share(1, 2)],
            vec![share(1, u32::MAX)],
        ] {
            assert!(check_shares(&bad).is_err(), "{bad:?}");
        }
        let many: Vec<Share> = (1..=17).map(|number| share(number, 1)).collect();
        assert!(check_shares(&many).is_err());
    }
}
