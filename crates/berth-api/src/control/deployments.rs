//! Deployments: names under which versions are served.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod update;

use berth_domain::deployment::{Replicas, Settings};
use berth_domain::id::{DeploymentId, ModelId};
use berth_domain::name::Handle;
use berth_serving::deployments::Share;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::list::Item;

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
    /// How it is run.
    settings: Settings,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// Since when it serves nobody; null when it serves.
    #[schema(required)]
    stopped_at: Option<DateTime<Utc>>,
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

/// How a deployment is to be run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DeploymentSettings)]
pub(crate) struct WantedSettings {
    /// How many replicas of each version are kept.
    #[schema(inline)]
    replicas: WantedReplicas,
    /// How many threads compute one request; the worker's choice unless stated.
    threads: Option<u32>,
}

/// How many replicas a deployment keeps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WantedReplicas {
    /// At least so many.
    min: u32,
    /// At most so many.
    max: u32,
}

impl Default for WantedReplicas {
    fn default() -> Self {
        let Replicas { min, max } = Replicas::default();
        Self { min, max }
    }
}

impl From<WantedSettings> for Settings {
    fn from(wanted: WantedSettings) -> Self {
        let WantedReplicas { min, max } = wanted.replicas;
        Self {
            replicas: Replicas { min, max },
            threads: wanted.threads,
        }
    }
}

impl From<DeployedVersion> for Share {
    fn from(version: DeployedVersion) -> Self {
        Self {
            number: version.number,
            weight: version.weight,
        }
    }
}

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
            settings: deployment.settings,
            created_at: deployment.created_at,
            updated_at: deployment.updated_at,
            stopped_at: deployment.stopped_at,
        }
    }
}

impl Item for Deployment {
    fn id(&self) -> String {
        self.deployment_id.to_string()
    }
}
