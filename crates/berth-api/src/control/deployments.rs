//! Deployments: names under which versions are served.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod ready;
pub(crate) mod release;
mod settings;
pub(crate) mod show;
pub(crate) mod update;

use berth_domain::deployment::{Settings, State};
use berth_domain::id::{DeploymentId, ModelId};
use berth_domain::name::Handle;
use berth_serving::deployments::{Share, standing};
use berth_serving::routing::{Router, Standing};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::settings::WantedSettings;
use crate::list::Item;

/// A deployment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deployment {
    /// Its id.
    deployment_id: DeploymentId,
    /// What callers write into the field `model`.
    name: Handle,
    /// The model.
    model_id: ModelId,
    /// What the model is called.
    model: Handle,
    /// The versions behind it, by number.
    versions: Vec<DeployedVersion>,
    /// Versions that were behind it before and answer until those above do, by number.
    retiring: Vec<u32>,
    /// How it is run.
    settings: Settings,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// Since when it serves nobody; null when it serves.
    #[schema(required)]
    stopped_at: Option<DateTime<Utc>>,
    /// How it stands: as the worst of its versions. In the answer that makes a deployment it is `pending`.
    state: State,
    /// Why it is no further, in words; null where there is nothing to say.
    #[schema(required)]
    reason: Option<String>,
}

impl Deployment {
    /// As it stands now, as far as `router` knows.
    fn standing(router: &Router, deployment: berth_store::deployments::Deployment) -> Self {
        let Standing { state, reason } = standing(router, &deployment);
        Self {
            state,
            reason,
            ..deployment.into()
        }
    }
}

/// A version behind a deployment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeployedVersion {
    /// Its number.
    number: u32,
    /// Its share of the traffic, against the weights of the others; 0 is called as `name@number` alone.
    #[serde(default = "one")]
    #[schema(default = 1)]
    weight: u32,
}

const fn one() -> u32 {
    1
}

impl From<DeployedVersion> for Share {
    fn from(version: DeployedVersion) -> Self {
        Self {
            number: version.number,
            weight: version.weight,
        }
    }
}

/// One that nobody has looked for on the workers.
impl From<berth_store::deployments::Deployment> for Deployment {
    fn from(deployment: berth_store::deployments::Deployment) -> Self {
        let versions = deployment.versions.iter().map(|version| DeployedVersion {
            number: version.number,
            weight: version.weight,
        });
        Self {
            deployment_id: deployment.id,
            name: deployment.name,
            model_id: deployment.model,
            model: deployment.model_name,
            versions: versions.collect(),
            retiring: deployment.retiring.iter().map(|version| version.number).collect(),
            settings: deployment.settings,
            created_at: deployment.created_at,
            updated_at: deployment.updated_at,
            stopped_at: deployment.stopped_at,
            state: State::Pending,
            reason: None,
        }
    }
}

impl Item for Deployment {
    fn id(&self) -> String {
        self.deployment_id.to_string()
    }
}
