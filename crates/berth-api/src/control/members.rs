//! Members: who belongs to an organization or to one of its projects, in which role.

pub(crate) mod leave;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod show;
pub(crate) mod update;

use berth_domain::id::{MembershipId, ProjectId, UserId};
use berth_domain::name::{Email, Title};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::roles::RoleName;
use crate::list::Item;

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    /// The membership.
    membership_id: MembershipId,
    /// The person.
    user_id: UserId,
    /// The person's address.
    email: Email,
    /// What the person calls themselves.
    #[schema(required)]
    name: Option<Title>,
    /// The project, if the person does not belong to the whole organization.
    #[schema(required)]
    project_id: Option<ProjectId>,
    /// In which role.
    role: RoleName,
    /// Since when.
    created_at: DateTime<Utc>,
    /// Since when the person may not sign in anywhere; null when they may.
    #[schema(required)]
    disabled_at: Option<DateTime<Utc>>,
}

impl From<berth_store::memberships::Member> for Member {
    fn from(member: berth_store::memberships::Member) -> Self {
        let membership = member.membership;
        Self {
            membership_id: membership.id,
            user_id: membership.user,
            email: member.email,
            name: member.name,
            project_id: membership.project,
            role: RoleName(membership.role),
            created_at: membership.created_at,
            disabled_at: member.disabled_at,
        }
    }
}

impl Item for Member {
    fn id(&self) -> String {
        self.membership_id.to_string()
    }
}

/// What changes about a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateMember {
    /// The new role.
    pub(crate) role: RoleName,
}
