//! `POST /api/v1/platform/organizations`

use actix_web::{HttpResponse, post};
use berth_auth::invitations::Invited;
use berth_auth::organizations::OrganizationWish;
use berth_domain::name::{Email, Handle, Title};
use berth_store::idempotency_keys::Keep;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::invitations::CreatedInvitation;
use crate::control::organizations::Organization;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{JsonBody, Operating};
use crate::repeats::{RepeatHeader, Repeats, created};

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

impl From<(berth_store::organizations::Organization, Option<Invited>)> for OrganizationFor {
    fn from((made, invited): (berth_store::organizations::Organization, Option<Invited>)) -> Self {
        Self {
            organization: made.into(),
            invitation: invited.map(CreatedInvitation::from),
        }
    }
}

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR, groups::BODY, groups::REPEATS], NameTaken);

/// Make an organization for somebody
///
/// Its owner is who has the address, or is invited to it.
#[utoipa::path(
    operation_id = "platform_create_organization",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(RepeatHeader),
    request_body = CreateOrganizationFor,
    responses((status = 201, description = "The organization.", body = OrganizationFor), Errors)
)]
#[post("/api/v1/platform/organizations")]
pub(crate) async fn create_organization(
    caller: Operating,
    repeats: Repeats,
    body: JsonBody<CreateOrganizationFor>,
) -> Result<HttpResponse, Failure> {
    let (wanted, digest) = body.read_with_digest().await?;
    let wish = OrganizationWish {
        name: wanted.name,
        title: wanted.title,
    };
    let owner = wanted.owner_email;
    let make = async |keep: &Keep<'_, _>| {
        let operator = caller.proof();
        caller
            .auth
            .create_organization_for(operator, wish, &owner, keep)
            .await
    };
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, OrganizationFor>, make)
        .await
}
