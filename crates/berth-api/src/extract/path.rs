//! Ids and names in the path.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use berth_domain::id;
use berth_domain::name::Handle;

use crate::errors::{Code, Failure};

/// Something that stands in a path under a fixed name.
pub(crate) trait PathPart: FromStr {
    /// The name between the braces of the route.
    const NAME: &'static str;
}

macro_rules! path_parts {
    ($($kind:ty = $name:literal;)*) => {$(
        impl PathPart for $kind {
            const NAME: &'static str = $name;
        }
    )*};
}

path_parts! {
    id::OrganizationId = "organization_id";
    id::ProjectId = "project_id";
    id::MembershipId = "membership_id";
    id::RoleId = "role_id";
    id::InvitationId = "invitation_id";
    id::ServiceAccountId = "service_account_id";
    id::ApiKeyId = "api_key_id";
    id::SessionId = "session_id";
    id::UserId = "user_id";
    id::ModelId = "model_id";
    id::VersionId = "version_id";
    id::DeploymentId = "deployment_id";
    id::RequestId = "request_id";
    Handle = "name";
    Number = "number";
}

/// The number of a version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(pub(crate) u32);

impl FromStr for Number {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The part of the path that is a `T`. What does not have the form of one names nothing, so it is not found.
#[derive(Debug, Clone)]
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: PathPart> FromRequest for InPath<T> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(part(request).map(Self))
    }
}

/// The part of the path of `request` that is a `T`.
pub(super) fn part<T: PathPart>(request: &HttpRequest) -> Result<T, Failure> {
    let text = request
        .match_info()
        .get(T::NAME)
        .ok_or_else(|| Failure::internal(format!("the route has no `{}`", T::NAME)))?;
    text.parse().map_err(|_| {
        Failure::new(
            Code::NotFound,
            format!(
                "`{}` in the path has the form of no {}.",
                text.escape_debug(),
                T::NAME.replace('_', " ")
            ),
        )
    })
}
