//! Projects of an organization.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod resume;
pub(crate) mod show;
pub(crate) mod suspend;
pub(crate) mod update;

use berth_domain::id::ProjectId;
use berth_domain::model::TenantStatus;
use berth_domain::name::{Handle, Title};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::Item;

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Project {
    /// Its id.
    project_id: ProjectId,
    /// A short name; no two projects of an organization have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// Whether it may be used.
    status: TenantStatus,
    /// The web origins whose pages may call models with the project's keys.
    origins: Vec<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<berth_store::projects::Project> for Project {
    fn from(project: berth_store::projects::Project) -> Self {
        Self {
            project_id: project.id,
            status: project.status(),
            name: project.name,
            title: project.title,
            origins: project.cors_origins,
            created_at: project.created_at,
        }
    }
}

impl Item for Project {
    fn id(&self) -> String {
        self.project_id.to_string()
    }
}
