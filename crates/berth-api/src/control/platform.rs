//! What operators of the platform do. They stand outside organizations and see none of their data.

pub(crate) mod create_organization;
pub(crate) mod create_password_link;
pub(crate) mod create_user;
pub(crate) mod delete_organization;
pub(crate) mod disable_user;
pub(crate) mod enable_user;
pub(crate) mod list_organizations;
pub(crate) mod list_users;
pub(crate) mod publish_model;
pub(crate) mod resume_organization;
pub(crate) mod show_organization;
pub(crate) mod show_user;
pub(crate) mod suspend_organization;
pub(crate) mod unpublish_model;
pub(crate) mod update_user;

use berth_auth::people;
use berth_domain::id::UserId;
use berth_domain::name::{Email, Title};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::Item;

/// A person's account, as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// The person.
    user_id: UserId,
    /// The address to sign in with.
    email: Email,
    /// What the person calls themselves.
    #[schema(required)]
    name: Option<Title>,
    /// Whether the person operates the platform.
    operator: bool,
    /// When the account was made.
    created_at: DateTime<Utc>,
    /// Since when the person may not sign in; null when they may.
    #[schema(required)]
    disabled_at: Option<DateTime<Utc>>,
}

impl From<berth_store::users::User> for User {
    fn from(user: berth_store::users::User) -> Self {
        Self {
            user_id: user.id,
            email: user.email,
            name: user.name,
            operator: user.operator,
            created_at: user.created_at,
            disabled_at: user.disabled_at,
        }
    }
}

impl Item for User {
    fn id(&self) -> String {
        self.user_id.to_string()
    }
}

/// A link to set a password.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PasswordLink {
    /// Until when it works.
    expires_at: DateTime<Utc>,
    /// The token to hand on, where no mail is set up; shown this once. Null when a mail is on its way.
    #[schema(required)]
    token: Option<String>,
}

impl From<people::PasswordLink> for PasswordLink {
    fn from(link: people::PasswordLink) -> Self {
        Self {
            expires_at: link.expires_at,
            token: link.token.map(|token| token.expose().to_owned()),
        }
    }
}
