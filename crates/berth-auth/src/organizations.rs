//! Organizations: the tenants.

use berth_domain::access::{Access, Caller, Operator, Person, can};
use berth_domain::id::{MembershipId, OrganizationId, UserId};
use berth_domain::name::{Email, Handle, Title};
use berth_domain::permission::BuiltinRole;
use berth_store::Tx;
use berth_store::idempotency_keys::Keep;
use berth_store::memberships::NewMembership;
use berth_store::organizations::{self, NewOrganization, Organization, Suspender};
use berth_store::page::{List, Page};
use berth_store::roles::GivenRole;
use berth_store::users::User;

use crate::auth::{Auth, SignUpPolicy};
use crate::invitations::Invited;

/// Why an organization was not made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such organization any more.
    #[error("there is no such organization")]
    NotFound,
    /// Organizations are made by operators here: one of them can act.
    #[error("organizations are made by the operator here")]
    OperatorsOnly,
    /// Another organization has the name: choose another.
    #[error("there is an organization of that name already")]
    NameTaken,
    /// The operator suspended the organization: only they can resume it.
    #[error("the operator suspended the organization, and only they can resume it")]
    SuspendedByOperator,
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write organizations")]
    Store(#[source] berth_store::Error),
}

impl From<berth_store::Error> for Error {
    fn from(error: berth_store::Error) -> Self {
        match error.constraint() {
            Some(organizations::NAME_TAKEN) => Self::NameTaken,
            _ => Self::Store(error),
        }
    }
}

/// An organization that is wanted.
#[derive(Debug, Clone)]
pub struct OrganizationWish {
    /// What stands in addresses; no two organizations have the same.
    pub name: Handle,
    /// What people read.
    pub title: Title,
}

impl Auth {
    /// Makes an organization that the caller owns. Operators may always, other people when everyone may make an account
    /// ([`SignUpPolicy::Open`]).
    pub async fn create_organization(
        &self,
        caller: &Caller,
        wish: OrganizationWish,
        keep: &Keep<'_, Organization>,
    ) -> Result<Organization, Error> {
        let Caller::Person(person) = caller else {
            return Err(Error::OperatorsOnly);
        };
        let organization = self.new_organization(wish);
        let mut tx = self.store().tenant_as(organization.id, person.user).await?;
        let now = account(&mut tx, person.user).await?;
        if !now.operator && self.options().sign_up != SignUpPolicy::Open {
            return Err(Error::OperatorsOnly);
        }
        tx.organizations().insert(&organization).await?;
        self.add_owner(&mut tx, organization.id, person.user).await?;
        let made = found(&mut tx, organization.id).await?;
        keep.write(&mut tx, &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Makes an organization for the person with the address `owner`, who is invited to own it, even when there is such an
    /// account: where people sign up by themselves an account proves nothing about its address, a link that was sent there
    /// does. An operator who names their own account owns it at once.
    pub async fn create_organization_for(
        &self,
        operator: &Operator,
        wish: OrganizationWish,
        owner: &Email,
        keep: &Keep<'_, (Organization, Option<Invited>)>,
    ) -> Result<(Organization, Option<Invited>), Error> {
        let organization = self.new_organization(wish);
        let inviter = operator.person().user;
        let mut tx = self.store().tenant_as(organization.id, inviter).await?;
        let now = account(&mut tx, inviter).await?;
        if !now.operator {
            return Err(Error::OperatorsOnly);
        }
        tx.organizations().insert(&organization).await?;
        let invited = if now.email == *owner {
            self.add_owner(&mut tx, organization.id, inviter).await?;
            None
        } else {
            let role = GivenRole::Builtin(BuiltinRole::Owner);
            let invitation =
                self.insert_invitation(&mut tx, organization.id, None, owner.clone(), role, Some(inviter));
            Some(invitation.await?)
        };
        let made = (found(&mut tx, organization.id).await?, invited);
        keep.write(&mut tx, &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    fn new_organization(&self, wish: OrganizationWish) -> NewOrganization {
        NewOrganization {
            id: OrganizationId::new(self.clock(), self.random()),
            name: wish.name,
            title: wish.title,
            created_at: self.now(),
        }
    }

    async fn add_owner(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<(), berth_store::Error> {
        let membership = NewMembership {
            id: MembershipId::new(self.clock(), self.random()),
            project: None,
            user,
            role: GivenRole::Builtin(BuiltinRole::Owner),
            created_at: self.now(),
        };
        tx.memberships().insert(organization, &membership).await
    }

    /// The organizations that `person` belongs to.
    pub async fn list_organizations(
        &self,
        person: &Person,
        page: &Page<OrganizationId>,
    ) -> Result<List<Organization>, Error> {
        let mut tx = self.store().person(person.user).await?;
        Ok(tx.organizations().list_mine(person.user, page).await?)
    }

    /// One organization.
    pub async fn show_organization(
        &self,
        access: &Access<can::OrganizationRead>,
    ) -> Result<Organization, Error> {
        let mut tx = self.store().tenant(access.organization()).await?;
        found(&mut tx, access.organization()).await
    }

    /// Changes what the organization is called; what is `None` stays.
    pub async fn rename_organization(
        &self,
        access: &Access<can::OrganizationManage>,
        name: Option<&Handle>,
        title: Option<&Title>,
    ) -> Result<Organization, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        if !tx.organizations().rename(organization, name, title).await? {
            return Err(Error::NotFound);
        }
        let renamed = found(&mut tx, organization).await?;
        tx.commit().await?;
        Ok(renamed)
    }

    /// Suspends the organization: its keys stop within a second, and only reading goes on. Done again, it changes nothing.
    pub async fn suspend_organization(
        &self,
        access: &Access<can::OrganizationManage>,
    ) -> Result<Organization, Error> {
        self.suspend(access.organization(), Suspender::Owner).await
    }

    /// Suspends an organization as an operator: its owners cannot resume it.
    pub async fn suspend_organization_as_operator(
        &self,
        _operator: &Operator,
        organization: OrganizationId,
    ) -> Result<Organization, Error> {
        self.suspend(organization, Suspender::Operator).await
    }

    async fn suspend(&self, organization: OrganizationId, by: Suspender) -> Result<Organization, Error> {
        let mut tx = self.store().tenant(organization).await?;
        tx.organizations().suspend(organization, by, self.now()).await?;
        let suspended = found(&mut tx, organization).await?;
        self.commit_and_announce_all(tx).await?;
        Ok(suspended)
    }

    /// Resumes the organization, unless an operator suspended it. Done again, it changes nothing.
    pub async fn resume_organization(
        &self,
        access: &Access<can::OrganizationManage>,
    ) -> Result<Organization, Error> {
        self.resume(access.organization(), Suspender::Owner).await
    }

    /// Resumes an organization as an operator, whoever suspended it.
    pub async fn resume_organization_as_operator(
        &self,
        _operator: &Operator,
        organization: OrganizationId,
    ) -> Result<Organization, Error> {
        self.resume(organization, Suspender::Operator).await
    }

    async fn resume(&self, organization: OrganizationId, by: Suspender) -> Result<Organization, Error> {
        let mut tx = self.store().tenant(organization).await?;
        tx.organizations().resume(organization, by).await?;
        let resumed = found(&mut tx, organization).await?;
        if resumed.suspended.is_some() {
            return Err(Error::SuspendedByOperator);
        }
        self.commit_and_announce_all(tx).await?;
        Ok(resumed)
    }

    /// Deletes the organization: its keys stop within a second, nothing of it is found any more, and its name is free.
    /// What concerns money stays.
    pub async fn delete_organization(&self, access: &Access<can::OrganizationManage>) -> Result<(), Error> {
        self.delete(access.organization()).await
    }

    /// Deletes an organization as an operator.
    pub async fn delete_organization_as_operator(
        &self,
        _operator: &Operator,
        organization: OrganizationId,
    ) -> Result<(), Error> {
        self.delete(organization).await
    }

    async fn delete(&self, organization: OrganizationId) -> Result<(), Error> {
        let mut tx = self.store().tenant(organization).await?;
        if !tx.organizations().delete(organization, self.now()).await? {
            return Err(Error::NotFound);
        }
        self.commit_and_announce_all(tx).await?;
        Ok(())
    }

    /// Every organization of the installation; deleted ones are left out.
    pub async fn list_all_organizations(
        &self,
        _operator: &Operator,
        page: &Page<OrganizationId>,
    ) -> Result<List<Organization>, Error> {
        Ok(self.store().system().await?.organizations().list(page).await?)
    }

    /// One organization of the installation, a deleted one too.
    pub async fn show_any_organization(
        &self,
        _operator: &Operator,
        organization: OrganizationId,
    ) -> Result<Organization, Error> {
        let mut tx = self.store().system().await?;
        tx.organizations()
            .show(organization)
            .await?
            .ok_or(Error::NotFound)
    }
}

/// The account of `user`, in their own scope, as it is now: between the proof and this moment they may have lost what they
/// proved.
async fn account(tx: &mut Tx, user: UserId) -> Result<User, Error> {
    let found = tx.users().show(user).await?;
    found
        .filter(|found| found.disabled_at.is_none())
        .ok_or(Error::OperatorsOnly)
}

/// The organization, unless it was deleted.
async fn found(tx: &mut Tx, organization: OrganizationId) -> Result<Organization, Error> {
    tx.organizations()
        .show(organization)
        .await?
        .filter(|found| found.deleted_at.is_none())
        .ok_or(Error::NotFound)
}
