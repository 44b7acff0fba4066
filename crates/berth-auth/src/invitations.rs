//! Invitations into an organization or one of its projects: the only way in for people who do not make the organization.

use std::net::IpAddr;

use berth_domain::access::{Holds, Person, can};
use berth_domain::clock::Timestamp;
use berth_domain::id::{InvitationId, MembershipId, MessageId, OrganizationId, ProjectId, UserId};
use berth_domain::name::Email;
use berth_domain::permission::{Permission, PermissionSet};
use berth_domain::secret::Secret;
use berth_domain::work::MailSend;
use berth_store::Tx;
use berth_store::idempotency_keys::Keep;
use berth_store::invitations::{Invitation, NewInvitation};
use berth_store::lookups::FoundInvitation;
use berth_store::memberships::{self, NewMembership};
use berth_store::page::{List, Order, Page};
use berth_store::roles::GivenRole;

use crate::access;
use crate::auth::Auth;
use crate::links::{self, Link, Subject};
use crate::roles::{Beyond, check_within, permissions_of};
use crate::throttle::{Attempt, Exceeded};

/// An invitation that was just made.
#[derive(Debug, Clone)]
pub struct Invited {
    /// Its id.
    pub id: InvitationId,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// The token of its link, if no mail can be sent: to be handed on by whoever invites. Shown once.
    pub token: Option<Secret>,
}

/// What accepting an invitation led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The organization.
    pub organization: OrganizationId,
    /// The project, if it is not the whole organization.
    pub project: Option<ProjectId>,
    /// The new membership.
    pub membership: MembershipId,
}

/// Why an invitation was not made, read or taken back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such invitation, or it was accepted or taken back.
    #[error("there is no such open invitation")]
    NotFound,
    /// The organization has no such role.
    #[error("there is no such role")]
    NoSuchRole,
    /// The caller may not do this any more.
    #[error("the caller may not manage members any more")]
    Access(#[from] access::Error),
    /// Too many invitations: the caller can act by waiting.
    #[error("could not invite")]
    Throttled(#[source] Exceeded),
    /// The invitation gives, or gave, more than the caller has.
    #[error("the invitation gives more than the caller has")]
    Beyond(#[from] Beyond),
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write invitations")]
    Store(#[from] berth_store::Error),
}

/// Why a token does not open an invitation. Who invited can act, but for [`Refused::OtherAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such invitation, or its organization or project is gone.
    #[error("there is no such invitation")]
    Unknown,
    /// Its time is over.
    #[error("the invitation has expired")]
    Expired,
    /// It was accepted before.
    #[error("the invitation was accepted before")]
    Used,
    /// It was taken back.
    #[error("the invitation was taken back")]
    Revoked,
    /// It was made for another address: the person it was made for can act.
    #[error("the invitation was made for another e-mail address")]
    OtherAddress,
    /// The organization is suspended.
    #[error("the organization is suspended")]
    Suspended,
    /// Whoever invited could not invite to as much any more: someone who can may invite again.
    #[error("whoever made the invitation may not give so much any more")]
    InviterLacks,
    /// The person belongs there already; the invitation stays open.
    #[error("the person is a member there already")]
    AlreadyMember,
}

/// Why an invitation was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The token does not open it.
    #[error("the invitation is refused")]
    Refused(#[from] Refused),
    /// Too many attempts: the caller can act by waiting.
    #[error("could not accept the invitation")]
    Throttled(#[source] Exceeded),
    /// The database cannot be asked at the moment: try again.
    #[error("could not accept the invitation")]
    Store(#[from] berth_store::Error),
}

impl Auth {
    /// Invites `email` into the organization, or into the project that `access` is confined to.
    pub async fn invite(
        &self,
        access: &impl Holds<can::MembersManage>,
        email: Email,
        role: GivenRole,
        keep: &Keep<'_, Invited>,
    ) -> Result<Invited, Error> {
        let organization = access.organization();
        self.throttles()
            .hit(&[Attempt::InviteInto(organization), Attempt::InviteOf(&email)])
            .await
            .map_err(Error::Throttled)?;
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        let given = permissions_of(&mut tx, organization, role)
            .await?
            .ok_or(Error::NoSuchRole)?;
        check_within(&held, &given)?;
        let invited_by = access.caller().user();
        let invited = self
            .insert_invitation(&mut tx, organization, access.scope(), email, role, invited_by)
            .await?;
        keep.write(&mut tx, &invited).await?;
        tx.commit().await?;
        Ok(invited)
    }

    /// Writes an invitation and the order to send it.
    pub(crate) async fn insert_invitation(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        project: Option<ProjectId>,
        email: Email,
        role: GivenRole,
        invited_by: Option<UserId>,
    ) -> Result<Invited, berth_store::Error> {
        let now = self.now();
        let id = InvitationId::new(self.clock(), self.random());
        let Link { token, hash } = links::derive(self.peppers(), Subject::Invitation(id));
        let expires_at = now + self.options().invitation_lifetime;
        let invitation = NewInvitation {
            id,
            project,
            email,
            role,
            token_hash: hash,
            invited_by,
            created_at: now,
            expires_at,
        };
        tx.invitations().insert(organization, &invitation).await?;
        let token = if self.options().mail {
            let message = MessageId::new(self.clock(), self.random());
            tx.outbox()
                .add(message, Some(organization), &MailSend::Invitation(id), None, now)
                .await?;
            None
        } else {
            Some(token)
        };
        Ok(Invited {
            id,
            expires_at,
            token,
        })
    }

    /// The invitations that were neither accepted nor taken back: into the organization and its projects, or into the
    /// project that `access` is confined to.
    pub async fn list_invitations(
        &self,
        access: &impl Holds<can::MembersRead>,
        page: &Page<InvitationId>,
    ) -> Result<List<Invitation>, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        Ok(match access.scope() {
            None => tx.invitations().list(organization, page).await?,
            Some(project) => {
                tx.invitations()
                    .list_of_project(organization, project, page)
                    .await?
            }
        })
    }

    /// Takes an invitation back. The caller must have what it gives.
    pub async fn revoke_invitation(
        &self,
        access: &impl Holds<can::MembersManage>,
        invitation: InvitationId,
    ) -> Result<(), Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        let held = self.hold(&mut tx, access).await?;
        let found = tx
            .invitations()
            .show(organization, invitation)
            .await?
            .ok_or(Error::NotFound)?;
        if access.scope().is_some() && access.scope() != found.project {
            return Err(Error::NotFound);
        }
        let given = permissions_of(&mut tx, organization, found.role).await?;
        check_within(&held, &given.unwrap_or_else(PermissionSet::default))?;
        if !tx
            .invitations()
            .revoke(organization, invitation, self.now())
            .await?
        {
            return Err(Error::NotFound);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Accepts an invitation as `person`, whose address must be the invited one.
    pub async fn accept_invitation(
        &self,
        person: &Person,
        token: &Secret,
        address: IpAddr,
    ) -> Result<Accepted, AcceptError> {
        self.throttles()
            .hit(&[Attempt::SignUpFrom(address)])
            .await
            .map_err(AcceptError::Throttled)?;
        let account = self.account(person).await?.ok_or(Refused::OtherAddress)?;
        let invitation = self.find_invitation(token, &account.email).await??;
        let mut tx = self
            .store()
            .tenant_as(invitation.invitation.organization, person.user)
            .await?;
        let accepted = self.accept(&mut tx, &invitation, person.user).await??;
        tx.commit().await?;
        Ok(accepted)
    }

    /// The invitation that `token` opens for `email`, if it can be accepted now.
    pub(crate) async fn find_invitation(
        &self,
        token: &Secret,
        email: &Email,
    ) -> Result<Result<FoundInvitation, Refused>, berth_store::Error> {
        let Some(hash) = links::invitation_hash(token) else {
            return Ok(Err(Refused::Unknown));
        };
        let Some(found) = self.store().find_invitation(&hash).await? else {
            return Ok(Err(Refused::Unknown));
        };
        if found.invitation.email != *email {
            return Ok(Err(Refused::OtherAddress));
        }
        if found.organization_suspended {
            return Ok(Err(Refused::Suspended));
        }
        Ok(check_open(&found.invitation, self.now()).map(|()| found))
    }

    /// Whether a platform operator made the invitation.
    pub(crate) async fn is_from_operator(&self, found: &FoundInvitation) -> Result<bool, berth_store::Error> {
        let Some(inviter) = found.invitation.invited_by else {
            return Ok(false);
        };
        let inviter = self.store().system().await?.users().show(inviter).await?;
        Ok(inviter.is_some_and(|inviter| inviter.operator && inviter.disabled_at.is_none()))
    }

    /// Makes `user` a member by an invitation, in a transaction that sees both. Of two who accept at the same time, the
    /// second finds it used. It gives no more than whoever made it may give now.
    pub(crate) async fn accept(
        &self,
        tx: &mut Tx,
        found: &FoundInvitation,
        user: UserId,
    ) -> Result<Result<Accepted, Refused>, berth_store::Error> {
        let (organization, now) = (found.invitation.organization, self.now());
        // Memberships before invitations, as where a member is removed.
        let inviter = held_by_inviter(tx, &found.invitation).await?;
        let Some(invitation) = tx.invitations().lock(organization, found.invitation.id).await? else {
            return Ok(Err(Refused::Unknown));
        };
        if let Err(refused) = check_open(&invitation, now) {
            return Ok(Err(refused));
        }
        if !may_give(tx, &invitation, &inviter).await? {
            return Ok(Err(Refused::InviterLacks));
        }
        let membership = NewMembership {
            id: MembershipId::new(self.clock(), self.random()),
            project: invitation.project,
            user,
            role: invitation.role,
            created_at: now,
        };
        match tx.memberships().insert(organization, &membership).await {
            Err(error) if error.constraint() == Some(memberships::MEMBER_ALREADY) => {
                return Ok(Err(Refused::AlreadyMember));
            }
            inserted => inserted?,
        }
        tx.invitations()
            .mark_accepted(organization, invitation.id, now)
            .await?;
        Ok(Ok(Accepted {
            organization,
            project: invitation.project,
            membership: membership.id,
        }))
    }
}

/// What whoever made the invitation may do where it leads, as it will be until the transaction ends.
async fn held_by_inviter(tx: &mut Tx, invitation: &Invitation) -> Result<PermissionSet, berth_store::Error> {
    let Some(inviter) = invitation.invited_by else {
        return Ok(PermissionSet::default());
    };
    let memberships = tx
        .memberships()
        .lock_of_user(invitation.organization, inviter)
        .await?;
    Ok(memberships
        .iter()
        .filter(|held| held.membership.project.is_none() || held.membership.project == invitation.project)
        .fold(PermissionSet::default(), |all, held| all.union(&held.permissions)))
}

/// Whether whoever has `held` may give what the invitation gives. Where nobody is a member yet it is the one that an operator
/// made together with the organization, and gives what it gives.
async fn may_give(
    tx: &mut Tx,
    invitation: &Invitation,
    held: &PermissionSet,
) -> Result<bool, berth_store::Error> {
    let organization = invitation.organization;
    let given = permissions_of(tx, organization, invitation.role).await?;
    let within = given.is_some_and(|given| check_within(held, &given).is_ok());
    if within && held.contains(Permission::MembersManage) {
        return Ok(true);
    }
    let anybody = Page::first(1, Order::Ascending);
    let members = tx.memberships().list(organization, &anybody).await?;
    Ok(members.items.is_empty())
}

/// Whether an invitation can be accepted at `now`.
fn check_open(invitation: &Invitation, now: Timestamp) -> Result<(), Refused> {
    if invitation.accepted_at.is_some() {
        Err(Refused::Used)
    } else if invitation.revoked_at.is_some() {
        Err(Refused::Revoked)
    } else if invitation.expires_at <= now {
        Err(Refused::Expired)
    } else {
        Ok(())
    }
}
