//! `POST /api/v1/auth/invitations/accept`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::id::{MembershipId, OrganizationId, ProjectId};
use berth_domain::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{JsonBody, SignedIn};
use crate::request::RequestContext;

/// Which invitation is accepted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptInvitation {
    /// The token of the invitation's link.
    token: Secret,
}

/// Where the person belongs now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedInvitation {
    /// The organization.
    organization_id: OrganizationId,
    /// The project, if it is not the whole organization.
    #[schema(required)]
    project_id: Option<ProjectId>,
    /// The new membership.
    membership_id: MembershipId,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::PERSON, groups::BODY],
    InvitationInvalid,
);

/// Accept an invitation
///
/// As the person who is signed in, whose address must be the invited one.
#[utoipa::path(
    operation_id = "auth_accept_invitation",
    tag = "auth",
    security(("bearer" = []), ("sign_in" = [])),
    request_body = AcceptInvitation,
    responses((status = 200, description = "The person is a member.", body = AcceptedInvitation), Errors)
)]
#[post("/api/v1/auth/invitations/accept")]
pub(crate) async fn accept_invitation(
    caller: SignedIn,
    context: RequestContext,
    body: JsonBody<AcceptInvitation>,
) -> Result<Json<AcceptedInvitation>, Failure> {
    let AcceptInvitation { token } = body.read().await?;
    let address = context.client_address();
    let accepted = caller
        .auth
        .accept_invitation(caller.person(), &token, address)
        .await?;
    Ok(Json(AcceptedInvitation {
        organization_id: accepted.organization,
        project_id: accepted.project,
        membership_id: accepted.membership,
    }))
}
