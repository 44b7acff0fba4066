//! Invitations into an organization or one of its projects.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use berth_auth::invitations::Invited;
use berth_domain::id::{InvitationId, ProjectId, UserId};
use berth_domain::name::Email;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::roles::RoleName;
use crate::list::Item;

/// An invitation that was neither accepted nor taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invitation {
    /// Its id.
    invitation_id: InvitationId,
    /// The project, if it is not the whole organization.
    #[schema(required)]
    project_id: Option<ProjectId>,
    /// Who is invited.
    email: Email,
    /// In which role they would belong.
    role: RoleName,
    /// Who invited, if it was a person.
    #[schema(required)]
    invited_by_user_id: Option<UserId>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Until when it can be accepted.
    expires_at: DateTime<Utc>,
}

impl From<berth_store::invitations::Invitation> for Invitation {
    fn from(invitation: berth_store::invitations::Invitation) -> Self {
        Self {
            invitation_id: invitation.id,
            project_id: invitation.project,
            email: invitation.email,
            role: RoleName(invitation.role),
            invited_by_user_id: invitation.invited_by,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

impl Item for Invitation {
    fn id(&self) -> String {
        self.invitation_id.to_string()
    }
}

/// Whom to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateInvitation {
    /// Their address.
    pub(crate) email: Email,
    /// The role they would have.
    pub(crate) role: RoleName,
}

/// An invitation that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedInvitation {
    /// Its id.
    invitation_id: InvitationId,
    /// Until when it can be accepted.
    expires_at: DateTime<Utc>,
    /// The token to hand on, where no mail is set up; shown this once. Null when a mail is on its way.
    #[schema(required)]
    token: Option<String>,
}

impl From<Invited> for CreatedInvitation {
    fn from(invited: Invited) -> Self {
        Self {
            invitation_id: invited.id,
            expires_at: invited.expires_at,
            token: invited.token.map(|token| token.expose().to_owned()),
        }
    }
}
