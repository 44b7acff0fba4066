//! What goes when an organization or a project goes: everything that could still be used or that takes room. Rows that say
//! who had what stay.

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, ProjectId};
use sqlx::PgConnection;

use crate::error::Error;

/// Revokes keys, deletes service accounts and models, removes deployments and takes back invitations, in one project or in
/// all of the organization.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    organization: OrganizationId,
    project: Option<ProjectId>,
    now: Timestamp,
) -> Result<(), Error> {
    end_access(connection, organization, project, now).await?;
    remove_deployments(connection, organization, project, now).await?;
    remove_models(connection, organization, project, now).await
}

async fn end_access(
    connection: &mut PgConnection,
    organization: OrganizationId,
    project: Option<ProjectId>,
    now: Timestamp,
) -> Result<(), Error> {
    let (organization, project) = (organization.as_uuid(), project.map(ProjectId::as_uuid));
    sqlx::query!(
        "UPDATE api_keys
        SET revoked_at = $3
        WHERE organization_id = $1 AND ($2::uuid IS NULL OR project_id = $2) AND revoked_at IS NULL",
        organization,
        project,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE service_accounts
        SET deleted_at = $3
        WHERE organization_id = $1 AND ($2::uuid IS NULL OR project_id = $2) AND deleted_at IS NULL",
        organization,
        project,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE invitations
        SET revoked_at = $3
        WHERE organization_id = $1
            AND ($2::uuid IS NULL OR project_id = $2)
            AND accepted_at IS NULL
            AND revoked_at IS NULL",
        organization,
        project,
        now,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Removes the deployments of the project, and those that other projects made of its models.
async fn remove_deployments(
    connection: &mut PgConnection,
    organization: OrganizationId,
    project: Option<ProjectId>,
    now: Timestamp,
) -> Result<(), Error> {
    let gone = sqlx::query_scalar!(
        "UPDATE deployments
        SET deleted_at = $3, updated_at = $3
        FROM models
        WHERE deployments.organization_id = $1
            AND models.organization_id = $1
            AND models.model_id = deployments.model_id
            AND ($2::uuid IS NULL OR deployments.project_id = $2 OR models.project_id = $2)
            AND deployments.deleted_at IS NULL
        RETURNING deployment_id",
        organization.as_uuid(),
        project.map(ProjectId::as_uuid),
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM deployment_versions
        WHERE organization_id = $1 AND deployment_id = ANY($2)",
        organization.as_uuid(),
        &gone,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn remove_models(
    connection: &mut PgConnection,
    organization: OrganizationId,
    project: Option<ProjectId>,
    now: Timestamp,
) -> Result<(), Error> {
    let gone = sqlx::query_scalar!(
        "UPDATE models
        SET deleted_at = $3
        WHERE organization_id = $1 AND ($2::uuid IS NULL OR project_id = $2) AND deleted_at IS NULL
        RETURNING model_id",
        organization.as_uuid(),
        project.map(ProjectId::as_uuid),
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    let versions = sqlx::query_scalar!(
        "UPDATE model_versions
        SET deleted_at = $3
        WHERE organization_id = $1 AND model_id = ANY($2) AND deleted_at IS NULL
        RETURNING version_id",
        organization.as_uuid(),
        &gone,
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM version_files
        WHERE organization_id = $1 AND version_id = ANY($2)",
        organization.as_uuid(),
        &versions,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}
