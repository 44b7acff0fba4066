//! Invitations into an organization or one of its projects.

use berth_domain::clock::Timestamp;
use berth_domain::id::{InvitationId, OrganizationId, ProjectId, UserId};
use berth_domain::name::Email;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::roles::GivenRole;
use crate::row::Row;

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// The organization.
    pub organization: OrganizationId,
    /// The project, if it is not the whole organization.
    pub project: Option<ProjectId>,
    /// Whom it was sent to.
    pub email: Email,
    /// In which role they would belong.
    pub role: GivenRole,
    /// Who invited, if it was a person.
    pub invited_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Invitation {
    /// Whether it can still be accepted at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// An invitation to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewInvitation {
    /// Its id.
    pub id: InvitationId,
    /// The project, if it is not the whole organization.
    pub project: Option<ProjectId>,
    /// Whom it goes to.
    pub email: Email,
    /// In which role they will belong.
    pub role: GivenRole,
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// Who invites, if it is a person.
    pub invited_by: Option<UserId>,
    /// When it is made.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

/// Invitations, inside a transaction.
pub struct Invitations<'t>(pub(crate) &'t mut PgConnection);

impl Invitations<'_> {
    /// Adds an invitation.
    pub async fn insert(
        &mut self,
        organization: OrganizationId,
        invitation: &NewInvitation,
    ) -> Result<(), Error> {
        let (role, role_id) = invitation.role.columns();
        let done = sqlx::query!(
            "INSERT INTO invitations (invitation_id, organization_id, project_id, email, role, role_id, token_hash,
                invited_by, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            invitation.id.as_uuid(),
            organization.as_uuid(),
            invitation.project.map(ProjectId::as_uuid),
            invitation.email.as_str(),
            role,
            role_id,
            &invitation.token_hash,
            invitation.invited_by.map(UserId::as_uuid),
            invitation.created_at,
            invitation.expires_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("invitations", done.rows_affected())
    }

    /// The invitation.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        invitation: InvitationId,
    ) -> Result<Option<Invitation>, Error> {
        sqlx::query_as!(
            InvitationRow,
            "SELECT invitation_id, organization_id, project_id, email, role, role_id, invited_by, created_at,
                expires_at, accepted_at, revoked_at
            FROM invitations
            WHERE organization_id = $1 AND invitation_id = $2",
            organization.as_uuid(),
            invitation.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Invitation::try_from)
        .transpose()
    }

    /// The invitation, locked until the transaction ends, so that it is accepted once.
    pub async fn lock(
        &mut self,
        organization: OrganizationId,
        invitation: InvitationId,
    ) -> Result<Option<Invitation>, Error> {
        sqlx::query_as!(
            InvitationRow,
            "SELECT invitation_id, organization_id, project_id, email, role, role_id, invited_by, created_at,
                expires_at, accepted_at, revoked_at
            FROM invitations
            WHERE organization_id = $1 AND invitation_id = $2
            FOR UPDATE",
            organization.as_uuid(),
            invitation.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Invitation::try_from)
        .transpose()
    }

    /// The invitations that were neither accepted nor taken back; expired ones are among them.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        page: &Page<InvitationId>,
    ) -> Result<List<Invitation>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            InvitationRow,
            "SELECT invitation_id, organization_id, project_id, email, role, role_id, invited_by, created_at,
                expires_at, accepted_at, revoked_at
            FROM invitations
            WHERE organization_id = $4 AND accepted_at IS NULL AND revoked_at IS NULL",
            "invitation_id",
            organization.as_uuid(),
        )?;
        window.list(rows)
    }

    /// The same, of one project; those into the whole organization are left out.
    pub async fn list_of_project(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<InvitationId>,
    ) -> Result<List<Invitation>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            InvitationRow,
            "SELECT invitation_id, organization_id, project_id, email, role, role_id, invited_by, created_at,
                expires_at, accepted_at, revoked_at
            FROM invitations
            WHERE organization_id = $4 AND project_id = $5 AND accepted_at IS NULL AND revoked_at IS NULL",
            "invitation_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Notes that it was accepted. Answers whether it was neither accepted nor taken back before.
    pub async fn mark_accepted(
        &mut self,
        organization: OrganizationId,
        invitation: InvitationId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE invitations
            SET accepted_at = $3
            WHERE organization_id = $1
                AND invitation_id = $2
                AND accepted_at IS NULL
                AND revoked_at IS NULL",
            organization.as_uuid(),
            invitation.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("invitations", done.rows_affected())
    }

    /// Takes it back. Answers whether it was neither accepted nor taken back before.
    pub async fn revoke(
        &mut self,
        organization: OrganizationId,
        invitation: InvitationId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE invitations
            SET revoked_at = $3
            WHERE organization_id = $1
                AND invitation_id = $2
                AND accepted_at IS NULL
                AND revoked_at IS NULL",
            organization.as_uuid(),
            invitation.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("invitations", done.rows_affected())
    }

    /// Takes back what `inviter` has open in the organization, or in one project of it. Answers how many that were.
    pub async fn revoke_of_inviter(
        &mut self,
        organization: OrganizationId,
        project: Option<ProjectId>,
        inviter: UserId,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let done = sqlx::query!(
            "UPDATE invitations
            SET revoked_at = $4
            WHERE organization_id = $1
                AND ($2::uuid IS NULL OR project_id = $2)
                AND invited_by = $3
                AND accepted_at IS NULL
                AND revoked_at IS NULL",
            organization.as_uuid(),
            project.map(ProjectId::as_uuid),
            inviter.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}

pub(crate) struct InvitationRow {
    pub(crate) invitation_id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) project_id: Option<Uuid>,
    pub(crate) email: String,
    pub(crate) role: Option<String>,
    pub(crate) role_id: Option<Uuid>,
    pub(crate) invited_by: Option<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) accepted_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl TryFrom<InvitationRow> for Invitation {
    type Error = Error;

    fn try_from(stored: InvitationRow) -> Result<Self, Error> {
        let row = Row::new("invitations", stored.invitation_id);
        Ok(Self {
            id: InvitationId::from_uuid(stored.invitation_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: stored.project_id.map(ProjectId::from_uuid),
            email: row.parse("email", &stored.email)?,
            role: row.given_role(stored.role.as_deref(), stored.role_id)?,
            invited_by: stored.invited_by.map(UserId::from_uuid),
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            accepted_at: stored.accepted_at,
            revoked_at: stored.revoked_at,
        })
    }
}
