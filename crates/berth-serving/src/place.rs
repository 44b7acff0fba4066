//! Where something is made. The permission was proved before; that the place still stands is seen in the transaction that
//! makes it, and holds until its end. So whoever deletes a project at the same time comes before, and nothing is made, or
//! after, and deletes what was made.

use berth_domain::id::{OrganizationId, ProjectId};
use berth_domain::model::TenantStatus;
use berth_store::Tx;

/// What ended between the proof and the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The organization or the project was deleted.
    #[error("the organization or the project was deleted meanwhile")]
    Deleted,
    /// The organization was suspended.
    #[error("the organization was suspended meanwhile")]
    OrganizationSuspended,
    /// The project was suspended.
    #[error("the project was suspended meanwhile")]
    ProjectSuspended,
}

/// Holds the organization and the project until the transaction ends. They come first in a transaction, as they do where
/// they are deleted.
pub(crate) async fn hold(
    tx: &mut Tx,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Result<(), Ended>, berth_store::Error> {
    match tx.organizations().hold(organization).await?.map(|it| it.status()) {
        Some(TenantStatus::Active) => {}
        Some(TenantStatus::Suspended) => return Ok(Err(Ended::OrganizationSuspended)),
        Some(TenantStatus::Deleted) | None => return Ok(Err(Ended::Deleted)),
    }
    let place = tx.projects().hold(organization, project).await?;
    Ok(match place.map(|it| it.status()) {
        Some(TenantStatus::Active) => Ok(()),
        Some(TenantStatus::Suspended) => Err(Ended::ProjectSuspended),
        Some(TenantStatus::Deleted) | None => Err(Ended::Deleted),
    })
}
