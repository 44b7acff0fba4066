//! Service accounts: what holds the keys of programs, so that they outlive the person who made them.

use berth_domain::access::{ProjectAccess, can};
use berth_domain::id::{OrganizationId, ProjectId, ServiceAccountId};
use berth_domain::name::{Handle, Title};
use berth_store::Tx;
use berth_store::idempotency_keys::Keep;
use berth_store::page::{List, Page};
use berth_store::service_accounts::{self, NewServiceAccount, ServiceAccount};

use crate::access;
use crate::auth::Auth;

/// Why a service account was not made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such service account in the project.
    #[error("there is no such service account")]
    NotFound,
    /// Another service account of the project has the name: choose another.
    #[error("there is a service account of that name already")]
    NameTaken,
    /// The caller may not do this any more.
    #[error("the caller may not manage keys any more")]
    Access(#[from] access::Error),
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write service accounts")]
    Store(#[source] berth_store::Error),
}

impl From<berth_store::Error> for Error {
    fn from(error: berth_store::Error) -> Self {
        match error.constraint() {
            Some(service_accounts::NAME_TAKEN) => Self::NameTaken,
            _ => Self::Store(error),
        }
    }
}

/// A service account that is wanted.
#[derive(Debug, Clone)]
pub struct ServiceAccountWish {
    /// What stands in addresses; no two service accounts of a project have the same.
    pub name: Handle,
    /// What people read.
    pub title: Title,
}

impl Auth {
    /// Makes a service account.
    pub async fn create_service_account(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        wish: ServiceAccountWish,
        keep: &Keep<'_, ServiceAccount>,
    ) -> Result<ServiceAccount, Error> {
        let organization = access.organization();
        let account = NewServiceAccount {
            id: ServiceAccountId::new(self.clock(), self.random()),
            project: access.project(),
            name: wish.name,
            title: wish.title,
            created_at: self.now(),
        };
        let mut tx = self.store().tenant(organization).await?;
        self.hold(&mut tx, access).await?;
        tx.service_accounts().insert(organization, &account).await?;
        let made = found(&mut tx, organization, access.project(), account.id).await?;
        keep.write(&mut tx, &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The service accounts of the project.
    pub async fn list_service_accounts(
        &self,
        access: &ProjectAccess<can::KeysRead>,
        page: &Page<ServiceAccountId>,
    ) -> Result<List<ServiceAccount>, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        Ok(tx
            .service_accounts()
            .list(organization, access.project(), page)
            .await?)
    }

    /// One service account of the project.
    pub async fn show_service_account(
        &self,
        access: &ProjectAccess<can::KeysRead>,
        account: ServiceAccountId,
    ) -> Result<ServiceAccount, Error> {
        let mut tx = self.store().tenant(access.organization()).await?;
        found(&mut tx, access.organization(), access.project(), account).await
    }

    /// Disables a service account: its keys stop within a second. Done again, it changes nothing.
    pub async fn disable_service_account(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        account: ServiceAccountId,
    ) -> Result<ServiceAccount, Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        self.hold(&mut tx, access).await?;
        found(&mut tx, organization, project, account).await?;
        tx.service_accounts()
            .disable(organization, account, self.now())
            .await?;
        let disabled = found(&mut tx, organization, project, account).await?;
        self.commit_and_announce_all(tx).await?;
        Ok(disabled)
    }

    /// Enables a service account: its keys hold again. Done again, it changes nothing.
    pub async fn enable_service_account(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        account: ServiceAccountId,
    ) -> Result<ServiceAccount, Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        self.hold(&mut tx, access).await?;
        found(&mut tx, organization, project, account).await?;
        tx.service_accounts().enable(organization, account).await?;
        let enabled = found(&mut tx, organization, project, account).await?;
        self.commit_and_announce_all(tx).await?;
        Ok(enabled)
    }

    /// Deletes a service account and revokes its keys; its name is free.
    pub async fn delete_service_account(
        &self,
        access: &ProjectAccess<can::KeysManage>,
        account: ServiceAccountId,
    ) -> Result<(), Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        self.hold(&mut tx, access).await?;
        found(&mut tx, organization, project, account).await?;
        if !tx
            .service_accounts()
            .delete(organization, account, self.now())
            .await?
        {
            return Err(Error::NotFound);
        }
        self.commit_and_announce_all(tx).await?;
        Ok(())
    }
}

/// The service account, unless it is another project's or was deleted.
pub(crate) async fn found(
    tx: &mut Tx,
    organization: OrganizationId,
    project: ProjectId,
    account: ServiceAccountId,
) -> Result<ServiceAccount, Error> {
    tx.service_accounts()
        .show(organization, account)
        .await?
        .filter(|found| found.project == project && found.deleted_at.is_none())
        .ok_or(Error::NotFound)
}
