//! `POST /api/v1/organizations/{organization_id}/invitations`

use actix_web::post;
use berth_domain::access::can;

use crate::answer::Created;
use crate::control::invitations::{CreateInvitation, CreatedInvitation};
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, JsonBody};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY], PermissionBeyondOwn);

/// Invite somebody into an organization
///
/// Sends the link by mail, or gives its token where no mail is set up. The caller must have what the role gives.
#[utoipa::path(
    operation_id = "invitations_create",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    request_body = CreateInvitation,
    responses((status = 201, description = "The invitation.", body = CreatedInvitation), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/invitations")]
pub(crate) async fn create(
    caller: InOrganization<can::MembersManage>,
    body: JsonBody<CreateInvitation>,
) -> Result<Created<CreatedInvitation>, Failure> {
    let CreateInvitation { email, role } = body.read().await?;
    let invited = caller.auth.invite(caller.proof(), email, role.0).await?;
    Ok(Created(invited.into()))
}
