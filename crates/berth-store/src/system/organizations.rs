//! Organizations, as operators of the platform see them. To change one, begin a transaction in its scope.

use berth_domain::id::OrganizationId;
use sqlx::PgConnection;

use crate::error::Error;
use crate::organizations::{Organization, OrganizationRow};
use crate::page::{List, Page, Window, fetch_window};

/// Every organization, inside a transaction.
pub struct Organizations<'t>(pub(crate) &'t mut PgConnection);

impl Organizations<'_> {
    /// The organization, a deleted one too.
    pub async fn show(&mut self, organization: OrganizationId) -> Result<Option<Organization>, Error> {
        sqlx::query_as!(
            OrganizationRow,
            "SELECT organization_id, name, title, created_at, suspended_at, suspended_by, deleted_at
            FROM organizations
            WHERE organization_id = $1",
            organization.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Organization::try_from)
        .transpose()
    }

    /// All organizations; deleted ones are left out.
    pub async fn list(&mut self, page: &Page<OrganizationId>) -> Result<List<Organization>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            OrganizationRow,
            "SELECT organization_id, name, title, created_at, suspended_at, suspended_by, deleted_at
            FROM organizations
            WHERE deleted_at IS NULL",
            "organization_id",
        )?;
        window.list(rows)
    }
}
