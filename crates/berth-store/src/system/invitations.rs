//! Invitations of every organization: for the letters that carry them, and for operators who disable who sent them.

use berth_domain::clock::Timestamp;
use berth_domain::id::{InvitationId, UserId};
use berth_domain::name::Title;
use sqlx::PgConnection;

use crate::error::Error;
use crate::invitations::{Invitation, InvitationRow};
use crate::row::Row;

/// What the letter of an invitation says.
#[derive(Clone, PartialEq, Eq)]
pub struct InvitationLetter {
    /// The invitation.
    pub invitation: Invitation,
    /// SHA-256 of the token that is in the link.
    pub token_hash: [u8; 32],
    /// What the organization is called.
    pub organization_title: Title,
    /// What the project is called, if it is not the whole organization.
    pub project_title: Option<Title>,
    /// What the person who invited calls themselves, or their address.
    pub invited_by: Option<String>,
}

/// Every invitation, inside a transaction.
pub struct Invitations<'t>(pub(crate) &'t mut PgConnection);

impl Invitations<'_> {
    /// Takes back what `inviter` has open, in every organization. Answers how many that were.
    pub async fn revoke_of_inviter(&mut self, inviter: UserId, now: Timestamp) -> Result<u64, Error> {
        let done = sqlx::query!(
            "UPDATE invitations
            SET revoked_at = $2
            WHERE invited_by = $1 AND accepted_at IS NULL AND revoked_at IS NULL",
            inviter.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// What the letter of the invitation says; not if its organization or project was deleted.
    pub async fn letter(&mut self, invitation: InvitationId) -> Result<Option<InvitationLetter>, Error> {
        let found = sqlx::query!(
            r#"SELECT invitation_id, invitations.organization_id, invitations.project_id, invitations.email, role, role_id,
                invited_by, invitations.created_at, expires_at, accepted_at, revoked_at, token_hash,
                organizations.title AS organization_title,
                projects.title AS "project_title?",
                COALESCE(users.name, users.email) AS inviter
            FROM invitations
            JOIN organizations
                ON organizations.organization_id = invitations.organization_id
                AND organizations.deleted_at IS NULL
            LEFT JOIN projects ON projects.project_id = invitations.project_id
            LEFT JOIN users ON users.user_id = invitations.invited_by
            WHERE invitation_id = $1 AND projects.deleted_at IS NULL"#,
            invitation.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        let row = Row::new("invitations", stored.invitation_id);
        Ok(Some(InvitationLetter {
            token_hash: row.bytes32("token_hash", &stored.token_hash)?,
            organization_title: row.parse("title", &stored.organization_title)?,
            project_title: row.parse_optional("title", stored.project_title.as_deref())?,
            invited_by: stored.inviter,
            invitation: Invitation::try_from(InvitationRow {
                invitation_id: stored.invitation_id,
                organization_id: stored.organization_id,
                project_id: stored.project_id,
                email: stored.email,
                role: stored.role,
                role_id: stored.role_id,
                invited_by: stored.invited_by,
                created_at: stored.created_at,
                expires_at: stored.expires_at,
                accepted_at: stored.accepted_at,
                revoked_at: stored.revoked_at,
            })?,
        }))
    }
}
