//! `POST /api/v1/platform/users/{user_id}/password-links`

use actix_web::post;
use berth_domain::id::UserId;

use crate::answer::Created;
use crate::control::platform::PasswordLink;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Make a link to set a password
///
/// For who forgot it. The link is sent, or its token given where no mail is set up.
#[utoipa::path(
    operation_id = "platform_create_password_link",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(("user_id" = UserId, Path, description = "The person.")),
    responses((status = 201, description = "The link.", body = PasswordLink), Errors)
)]
#[post("/api/v1/platform/users/{user_id}/password-links")]
pub(crate) async fn create_password_link(
    caller: Operating,
    user: InPath<UserId>,
) -> Result<Created<PasswordLink>, Failure> {
    let link = caller.auth.create_password_link(caller.proof(), user.0).await?;
    Ok(Created(link.into()))
}
