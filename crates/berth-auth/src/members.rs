//! Members of an organization and of its projects. They come by invitation, or with the organization that they make.

use berth_domain::access::{Holds, Person, can};
use berth_domain::id::{MembershipId, OrganizationId, ProjectId};
use berth_domain::permission::{BuiltinRole, PermissionSet};
use berth_store::Tx;
use berth_store::memberships::{Member, Membership};
use berth_store::page::{List, Page};
use berth_store::roles::GivenRole;

use crate::access;
use crate::auth::Auth;
use crate::roles::{Beyond, check_within, permissions_of};

/// Why a membership was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such membership here.
    #[error("there is no such member")]
    NotFound,
    /// The organization has no such role.
    #[error("there is no such role")]
    NoSuchRole,
    /// The organization would be left without an owner: make someone else an owner first.
    #[error("the last owner of an organization cannot go")]
    LastOwner,
    /// The caller may not do this any more.
    #[error("the caller may not manage members any more")]
    Access(#[from] access::Error),
    /// The member has, or would get, more than the caller has.
    #[error("the member has or would get more than the caller has")]
    Beyond(#[from] Beyond),
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write members")]
    Store(#[from] berth_store::Error),
}

impl Auth {
    /// The members of the organization and of its projects, or of the project that `access` is confined to.
    pub async fn list_members(
        &self,
        access: &impl Holds<can::MembersRead>,
        page: &Page<MembershipId>,
    ) -> Result<List<Member>, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        Ok(match access.scope() {
            None => tx.memberships().list(organization, page).await?,
            Some(project) => {
                tx.memberships()
                    .list_of_project(organization, project, page)
                    .await?
            }
        })
    }

    /// One member.
    pub async fn show_member(
        &self,
        access: &impl Holds<can::MembersRead>,
        membership: MembershipId,
    ) -> Result<Member, Error> {
        let mut tx = self.store().tenant(access.organization()).await?;
        find(&mut tx, access.organization(), access.scope(), membership).await
    }

    /// Gives a member another role. The caller must have what the member had and what the member gets.
    pub async fn give_role(
        &self,
        access: &impl Holds<can::MembersManage>,
        membership: MembershipId,
        role: GivenRole,
    ) -> Result<Member, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        let others_own = others_own(&mut tx, organization, membership).await?;
        let held = self.hold(&mut tx, access).await?;
        let given = permissions_of(&mut tx, organization, role)
            .await?
            .ok_or(Error::NoSuchRole)?;
        check_within(&held, &given)?;
        let member = find(&mut tx, organization, access.scope(), membership).await?;
        check_held(&mut tx, &member.membership, &held).await?;
        let stays_owner =
            member.membership.project.is_none() && role == GivenRole::Builtin(BuiltinRole::Owner);
        if !others_own && !stays_owner && is_owner(&member.membership) {
            return Err(Error::LastOwner);
        }
        tx.memberships().give_role(organization, membership, role).await?;
        tx.commit().await?;
        Ok(Member {
            membership: Membership {
                role,
                ..member.membership
            },
            ..member
        })
    }

    /// Removes a member, who loses the API keys that are their own there; invitations by them that are still open are taken
    /// back. The caller must have what the member has.
    pub async fn remove_member(
        &self,
        access: &impl Holds<can::MembersManage>,
        membership: MembershipId,
    ) -> Result<(), Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        let others_own = others_own(&mut tx, organization, membership).await?;
        let held = self.hold(&mut tx, access).await?;
        let member = find(&mut tx, organization, access.scope(), membership).await?;
        check_held(&mut tx, &member.membership, &held).await?;
        self.remove(tx, &member.membership, others_own).await
    }

    /// Lets `person` leave: ends one of their own memberships.
    pub async fn leave(
        &self,
        person: &Person,
        organization: OrganizationId,
        membership: MembershipId,
    ) -> Result<(), Error> {
        let mut tx = self.store().tenant(organization).await?;
        let others_own = others_own(&mut tx, organization, membership).await?;
        let member = find(&mut tx, organization, None, membership).await?;
        if member.membership.user != person.user {
            return Err(Error::NotFound);
        }
        self.remove(tx, &member.membership, others_own).await
    }

    async fn remove(&self, mut tx: Tx, membership: &Membership, others_own: bool) -> Result<(), Error> {
        if !others_own && is_owner(membership) {
            return Err(Error::LastOwner);
        }
        let organization = membership.organization;
        if !tx.memberships().remove(organization, membership.id).await? {
            return Err(Error::NotFound);
        }
        let left = tx.memberships().of_user(organization, membership.user).await?;
        let still_everywhere = left.iter().any(|held| held.membership.project.is_none());
        if still_everywhere {
            tx.commit().await?;
            return Ok(());
        }
        let now = self.now();
        tx.invitations()
            .revoke_of_inviter(organization, membership.project, membership.user, now)
            .await?;
        let revoked = tx
            .api_keys()
            .revoke_of_user(organization, membership.project, membership.user, now)
            .await?;
        if revoked.is_empty() {
            tx.commit().await?;
        } else {
            self.commit_and_announce_all(tx).await?;
        }
        Ok(())
    }
}

/// Whether somebody else than the holder of `membership` owns the organization. From here on it is locked, so that of two
/// who remove the last two owners the second one sees what the first did.
async fn others_own(
    tx: &mut Tx,
    organization: OrganizationId,
    membership: MembershipId,
) -> Result<bool, berth_store::Error> {
    let owners = tx.memberships().lock_owners(organization).await?;
    Ok(owners.iter().any(|owner| owner.id != membership))
}

fn is_owner(membership: &Membership) -> bool {
    membership.project.is_none() && membership.role == GivenRole::Builtin(BuiltinRole::Owner)
}

async fn find(
    tx: &mut Tx,
    organization: OrganizationId,
    scope: Option<ProjectId>,
    membership: MembershipId,
) -> Result<Member, Error> {
    let member = tx
        .memberships()
        .show(organization, membership)
        .await?
        .ok_or(Error::NotFound)?;
    if scope.is_some() && scope != member.membership.project {
        return Err(Error::NotFound);
    }
    Ok(member)
}

/// Checks that whoever has `held` may decide about `membership`: nobody overrules those who have more.
async fn check_held(tx: &mut Tx, membership: &Membership, held: &PermissionSet) -> Result<(), Error> {
    let theirs = permissions_of(tx, membership.organization, membership.role).await?;
    Ok(check_within(held, &theirs.unwrap_or_default())?)
}
