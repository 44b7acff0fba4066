//! Models of a project.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod update;

use berth_domain::id::{ModelId, ProjectId};
use berth_domain::model::Visibility;
use berth_domain::name::{Handle, Title};
use berth_store::models::Reach;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::list::Item;

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    /// Its id.
    model_id: ModelId,
    /// The project that it belongs to.
    project_id: ProjectId,
    /// A short name; no two models of a project have the same.
    name: Handle,
    /// What people read.
    #[schema(required)]
    title: Option<Title>,
    /// What it is, in prose.
    description: String,
    /// Its licence, where it is known.
    #[schema(required)]
    license: Option<String>,
    /// Who can see and call it.
    visibility: Visibility,
    /// The number of the newest version ever made, 0 before the first.
    last_number: u32,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<berth_store::models::Model> for Model {
    fn from(model: berth_store::models::Model) -> Self {
        Self {
            model_id: model.id,
            project_id: model.project,
            name: model.name,
            title: model.title,
            description: model.description,
            license: model.license,
            visibility: model.visibility,
            last_number: model.last_number,
            created_at: model.created_at,
        }
    }
}

impl Item for Model {
    fn id(&self) -> String {
        self.model_id.to_string()
    }
}

/// Who of an organization can see and call a model. Only operators publish one to everybody.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Audience {
    /// Its project.
    #[default]
    Project,
    /// Every project of its organization.
    Organization,
}

impl From<Audience> for Reach {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Project => Self::Project,
            Audience::Organization => Self::Organization,
        }
    }
}
