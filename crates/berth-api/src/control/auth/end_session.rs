//! `DELETE /api/v1/auth/sessions/{session_id}`

use actix_web::delete;
use berth_domain::id::SessionId;

use crate::answer::NoContent;
use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::{InPath, SignedIn};

declare_errors!(Errors for Native: [groups::CALLER, groups::PERSON], NotFound);

/// End one of the caller's sessions
///
/// Whoever uses it has to sign in again.
#[utoipa::path(
    operation_id = "auth_end_session",
    tag = "auth",
    security(("bearer" = []), ("sign_in" = [])),
    params(("session_id" = SessionId, Path, description = "The session.")),
    responses((status = 204, description = "The session has ended."), Errors)
)]
#[delete("/api/v1/auth/sessions/{session_id}")]
pub(crate) async fn end_session(caller: SignedIn, session: InPath<SessionId>) -> Result<NoContent, Failure> {
    if caller.auth.end_session(caller.person(), session.0).await? {
        Ok(NoContent)
    } else {
        Err(Failure::new(Code::NotFound, "The caller has no such session."))
    }
}
