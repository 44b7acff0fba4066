//! `GET /api/v1/auth/sessions`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::id::SessionId;
use berth_store::page::List;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::SignedIn;
use crate::list::{Item, ListBody};

/// A session of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// Its id.
    session_id: SessionId,
    /// What the person signed in with, as the client told.
    #[schema(required)]
    client: Option<String>,
    /// When the person signed in.
    created_at: DateTime<Utc>,
    /// When the session ends by itself.
    expires_at: DateTime<Utc>,
}

impl From<berth_store::sessions::Session> for Session {
    fn from(session: berth_store::sessions::Session) -> Self {
        Self {
            session_id: session.id,
            client: session.client,
            created_at: session.created_at,
            expires_at: session.expires_at,
        }
    }
}

impl Item for Session {
    fn id(&self) -> String {
        self.session_id.to_string()
    }
}

declare_errors!(Errors for Native: [groups::CALLER, groups::PERSON]);

/// List the caller's sessions
///
/// Those that have not ended, the newest first, on one page.
#[utoipa::path(
    operation_id = "auth_list_sessions",
    tag = "auth",
    security(("bearer" = []), ("sign_in" = [])),
    responses((status = 200, description = "The sessions.", body = ListBody<Session>), Errors)
)]
#[get("/api/v1/auth/sessions")]
pub(crate) async fn list_sessions(caller: SignedIn) -> Result<Json<ListBody<Session>>, Failure> {
    let items = caller.auth.sessions(caller.person()).await?;
    Ok(Json(ListBody::of(List {
        items,
        has_more: false,
    })))
}
