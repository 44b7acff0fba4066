//! Parameters of paths that many endpoints share, for the OpenAPI document. The extractors read them.

#![expect(dead_code, reason = "the fields exist to be described")]

use berth_domain::id::{OrganizationId, ProjectId};
use utoipa::IntoParams;

/// A path below an organization.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OrganizationPath {
    /// The organization.
    organization_id: OrganizationId,
}

/// A path below a project.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ProjectPath {
    /// The organization.
    organization_id: OrganizationId,
    /// The project.
    project_id: ProjectId,
}
