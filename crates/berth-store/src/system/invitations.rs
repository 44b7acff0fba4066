//! Invitations, for the letters that carry them.

use berth_domain::id::InvitationId;
use sqlx::PgConnection;

use crate::error::Error;
use crate::invitations::{Invitation, InvitationRow};
use crate::lookups::FoundInvitation;
use crate::row::Row;

/// Every invitation, inside a transaction.
pub struct Invitations<'t>(pub(crate) &'t mut PgConnection);

impl Invitations<'_> {
    /// The invitation, and to what; not if its organization was deleted.
    pub async fn show(&mut self, invitation: InvitationId) -> Result<Option<FoundInvitation>, Error> {
        let found = sqlx::query!(
            r#"SELECT invitation_id, organization_id, project_id, email, role, role_id, invited_by,
                invitations.created_at, expires_at, accepted_at, revoked_at, title,
                suspended_at IS NOT NULL AS "suspended!"
            FROM invitations
            JOIN organizations USING (organization_id)
            WHERE invitation_id = $1 AND deleted_at IS NULL"#,
            invitation.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        Ok(Some(FoundInvitation {
            organization_title: Row::new("organizations", stored.organization_id)
                .parse("title", &stored.title)?,
            organization_suspended: stored.suspended,
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
