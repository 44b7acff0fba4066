//! `POST /api/v1/platform/organizations`

use actix_web::post;
use berth_auth::organizations::OrganizationWish;
use berth_domain::name::{Email, Handle, Title};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Created;
use crate::control::invitations::CreatedInvitation;
use crate::control::organizations::Organization;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{JsonBody, Operating};

/// An organization that is wanted, and who is to own it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOrganizationFor {
    /// A short name; no two organizations have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// The address of its owner.
    owner_email: Email,
}

/// The organization, and the invitation of its owner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationFor {
    /// The organization.
    organization: Organization,
    /// The invitation of its owner; null when the owner has an account and belongs to it already.
    #[schema(required)]
    invitation: Option<CreatedInvitation>,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR, groups::BODY], NameTaken);

/// Make an organization for somebody
///
/// Its owner is who has the address, or is invited to it.
#[utoipa::path(
    operation_id = "platform_create_organization",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    request_body = CreateOrganizationFor,
    responses((status = 201, description = "The organization.", body = OrganizationFor), Errors)
)]
#[post("/api/v1/platform/organizations")]
pub(crate) async fn create_organization(
    caller: Operating,
    body: JsonBody<CreateOrganizationFor>,
) -> Result<Created<OrganizationFor>, Failure> {
    let CreateOrganizationFor {
        name,
        title,
        owner_email,
    } = body.read().await?;
    let wish = OrganizationWish { name, title };
    let (made, invited) = caller
        .auth
        .create_organization_for(caller.proof(), wish, &owner_email)
        .await?;
    Ok(Created(OrganizationFor {
        organization: made.into(),
        invitation: invited.map(CreatedInvitation::from),
    }))
}
