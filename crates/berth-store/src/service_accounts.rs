//! Programs as members of a project.

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, ProjectId, ServiceAccountId};
use berth_domain::name::{Handle, Title};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::Row;

/// The name is another service account's of the project already.
pub const NAME_TAKEN: &str = "service_accounts_project_id_name_key";

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its id.
    pub id: ServiceAccountId,
    /// The organization.
    pub organization: OrganizationId,
    /// The project that it is a member of.
    pub project: ProjectId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when its keys do not hold.
    pub disabled_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// A service account to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServiceAccount {
    /// Its id.
    pub id: ServiceAccountId,
    /// The project that it is a member of.
    pub project: ProjectId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// When it is made.
    pub created_at: Timestamp,
}

/// Service accounts, inside a transaction.
pub struct ServiceAccounts<'t>(pub(crate) &'t mut PgConnection);

impl ServiceAccounts<'_> {
    /// Adds a service account. Fails by [`NAME_TAKEN`].
    pub async fn insert(
        &mut self,
        organization: OrganizationId,
        account: &NewServiceAccount,
    ) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO service_accounts (service_account_id, organization_id, project_id, name, title, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)",
            account.id.as_uuid(),
            organization.as_uuid(),
            account.project.as_uuid(),
            account.name.as_str(),
            account.title.as_str(),
            account.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("service_accounts", done.rows_affected())
    }

    /// The service account, a deleted one too.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        account: ServiceAccountId,
    ) -> Result<Option<ServiceAccount>, Error> {
        sqlx::query_as!(
            ServiceAccountRow,
            "SELECT service_account_id, organization_id, project_id, name, title, created_at, disabled_at, deleted_at
            FROM service_accounts
            WHERE organization_id = $1 AND service_account_id = $2",
            organization.as_uuid(),
            account.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(ServiceAccount::try_from)
        .transpose()
    }

    /// The service accounts of a project; deleted ones are left out.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<ServiceAccountId>,
    ) -> Result<List<ServiceAccount>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            ServiceAccountRow,
            "SELECT service_account_id, organization_id, project_id, name, title, created_at, disabled_at, deleted_at
            FROM service_accounts
            WHERE organization_id = $4 AND project_id = $5 AND deleted_at IS NULL",
            "service_account_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Disables the account, so that its keys do not hold. Answers whether that changed anything.
    pub async fn disable(
        &mut self,
        organization: OrganizationId,
        account: ServiceAccountId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE service_accounts
            SET disabled_at = $3
            WHERE organization_id = $1
                AND service_account_id = $2
                AND deleted_at IS NULL
                AND disabled_at IS NULL",
            organization.as_uuid(),
            account.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("service_accounts", done.rows_affected())
    }

    /// Enables the account again. Answers whether that changed anything.
    pub async fn enable(
        &mut self,
        organization: OrganizationId,
        account: ServiceAccountId,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE service_accounts
            SET disabled_at = NULL
            WHERE organization_id = $1
                AND service_account_id = $2
                AND deleted_at IS NULL
                AND disabled_at IS NOT NULL",
            organization.as_uuid(),
            account.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("service_accounts", done.rows_affected())
    }

    /// Marks the account as deleted and revokes its keys; its name is free. Answers whether it was there.
    pub async fn delete(
        &mut self,
        organization: OrganizationId,
        account: ServiceAccountId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        sqlx::query!(
            "UPDATE api_keys
            SET revoked_at = $3
            WHERE organization_id = $1 AND service_account_id = $2 AND revoked_at IS NULL",
            organization.as_uuid(),
            account.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        let done = sqlx::query!(
            "UPDATE service_accounts
            SET deleted_at = $3
            WHERE organization_id = $1 AND service_account_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            account.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("service_accounts", done.rows_affected())
    }
}

struct ServiceAccountRow {
    service_account_id: Uuid,
    organization_id: Uuid,
    project_id: Uuid,
    name: String,
    title: String,
    created_at: Timestamp,
    disabled_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
}

impl TryFrom<ServiceAccountRow> for ServiceAccount {
    type Error = Error;

    fn try_from(stored: ServiceAccountRow) -> Result<Self, Error> {
        let row = Row::new("service_accounts", stored.service_account_id);
        Ok(Self {
            id: ServiceAccountId::from_uuid(stored.service_account_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: ProjectId::from_uuid(stored.project_id),
            name: row.parse("name", &stored.name)?,
            title: row.parse("title", &stored.title)?,
            created_at: stored.created_at,
            disabled_at: stored.disabled_at,
            deleted_at: stored.deleted_at,
        })
    }
}
