//! `POST /api/v1/organizations/{organization_id}/invitations`

use actix_web::{HttpResponse, post};
use berth_domain::access::can;
use berth_store::idempotency_keys::Keep;

use crate::control::invitations::{CreateInvitation, CreatedInvitation};
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS], PermissionBeyondOwn);

/// Invite somebody into an organization
///
/// Sends the link by mail, or gives its token where no mail is set up. The caller must have what the role gives.
#[utoipa::path(
    operation_id = "invitations_create",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, RepeatHeader),
    request_body = CreateInvitation,
    responses((status = 201, description = "The invitation.", body = CreatedInvitation), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/invitations")]
pub(crate) async fn create(
    caller: InOrganization<can::MembersManage>,
    repeats: Repeats,
    body: JsonBody<CreateInvitation>,
) -> Result<HttpResponse, Failure> {
    let (CreateInvitation { email, role }, digest) = body.read_with_digest().await?;
    let make = async |keep: &Keep<'_, _>| caller.auth.invite(caller.proof(), email, role.0, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, CreatedInvitation>, make)
        .await
}
