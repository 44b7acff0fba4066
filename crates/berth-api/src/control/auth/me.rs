//! `GET /api/v1/auth/me`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::{Caller, KeyIdentity};
use berth_domain::id::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId, SessionId, UserId};
use berth_domain::name::{Email, Handle, Title};
use berth_domain::permission::PermissionSet;
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::Authenticated;

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Me {
    /// A signed-in person.
    Person {
        /// The person.
        user: Account,
        /// The session.
        session_id: SessionId,
    },
    /// An API key.
    Key {
        /// The key.
        key: Key,
    },
}

/// A person's account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    /// The person.
    user_id: UserId,
    /// The address to sign in with.
    email: Email,
    /// What the person calls themselves.
    #[schema(required)]
    name: Option<Title>,
    /// Whether the person operates the platform.
    operator: bool,
}

/// What an API key stands for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallingKey)]
pub(crate) struct Key {
    /// The key's record.
    api_key_id: ApiKeyId,
    /// The organization.
    organization_id: OrganizationId,
    /// The project.
    project_id: ProjectId,
    /// The service account that holds the key, if one does.
    #[schema(required)]
    service_account_id: Option<ServiceAccountId>,
    /// What the key may do.
    scopes: PermissionSet,
    /// The names that the key may call; null admits every name.
    #[schema(required)]
    models: Option<Vec<Handle>>,
}

impl From<&KeyIdentity> for Key {
    fn from(key: &KeyIdentity) -> Self {
        Self {
            api_key_id: key.key,
            organization_id: key.organization,
            project_id: key.project,
            service_account_id: key.service_account,
            scopes: key.scopes.clone(),
            models: key.models.clone(),
        }
    }
}

declare_errors!(Errors for Native: [groups::CALLER]);

/// Who calls
///
/// What the server knows of the key or token of the request.
#[utoipa::path(
    operation_id = "auth_me",
    tag = "auth",
    security(("bearer" = []), ("sign_in" = [])),
    responses((status = 200, description = "Who calls.", body = Me), Errors)
)]
#[get("/api/v1/auth/me")]
pub(crate) async fn me(caller: Authenticated) -> Result<Json<Me>, Failure> {
    let person = match caller.caller() {
        Caller::Key(key) => {
            return Ok(Json(Me::Key {
                key: Key::from(&**key),
            }));
        }
        Caller::Person(person) => person,
    };
    let user = caller
        .auth
        .account(person)
        .await?
        .ok_or_else(|| Failure::of(Code::SessionEnded))?;
    let user = Account {
        user_id: user.id,
        email: user.email,
        name: user.name,
        operator: user.operator,
    };
    Ok(Json(Me::Person {
        user,
        session_id: person.session,
    }))
}
