//! `POST /api/v1/auth/sign-out`

use actix_web::post;

use crate::answer::NoContent;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::SignedIn;

declare_errors!(Errors for Native: [groups::CALLER, groups::PERSON]);

/// Sign out
///
/// Ends the session of the access token. On other nodes the access token goes on for a few seconds.
#[utoipa::path(
    operation_id = "auth_sign_out",
    tag = "auth",
    security(("bearer" = []), ("sign_in" = [])),
    responses((status = 204, description = "The session has ended."), Errors)
)]
#[post("/api/v1/auth/sign-out")]
pub(crate) async fn sign_out(caller: SignedIn) -> Result<NoContent, Failure> {
    caller.auth.sign_out(caller.person()).await?;
    Ok(NoContent)
}
