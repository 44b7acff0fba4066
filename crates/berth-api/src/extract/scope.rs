//! The services, behind a check of the caller. Each extractor states what was checked; the logic below takes its proof.

use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use berth_auth::access::authorize_key;
use berth_domain::access::{Access, Caller, Grant, KeyIdentity, Operator, Person, ProjectAccess, can};
use berth_domain::id::{OrganizationId, ProjectId};
use futures_util::future::LocalBoxFuture;

use crate::errors::{Code, Failure};
use crate::extract::caller::with_caller;
use crate::extract::path::part;
use crate::request::RequestContext;
use crate::services::Services;
use crate::state::State;

type Extracting<T> = LocalBoxFuture<'static, Result<T, Failure>>;

macro_rules! services {
    ($($kind:ident $(<$parameter:ident>)?),*) => {$(
        impl $(<$parameter>)? Deref for $kind $(<$parameter>)? {
            type Target = Services;

            fn deref(&self) -> &Services {
                self.state.services()
            }
        }
    )*};
}

services!(
    Authenticated,
    SignedIn,
    Operating,
    InOrganization<P>,
    InProject<P>,
    Calling
);

/// Anyone with a valid key or token.
pub(crate) struct Authenticated {
    state: State,
    caller: Caller,
}

impl Authenticated {
    /// Who calls.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl FromRequest for Authenticated {
    type Error = Failure;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        with_caller(request, |state, caller, _| async { Ok(Self { state, caller }) })
    }
}

/// A signed-in person.
pub(crate) struct SignedIn {
    state: State,
    person: Person,
}

impl SignedIn {
    /// The person.
    pub(crate) fn person(&self) -> &Person {
        &self.person
    }
}

impl FromRequest for SignedIn {
    type Error = Failure;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        with_caller(request, |state, caller, _| async move {
            match caller {
                Caller::Person(person) => Ok(Self { state, person }),
                Caller::Key(_) => Err(Failure::of(Code::PersonRequired)),
            }
        })
    }
}

/// An operator of the platform.
pub(crate) struct Operating {
    state: State,
    operator: Operator,
}

impl Operating {
    /// The proof.
    pub(crate) fn proof(&self) -> &Operator {
        &self.operator
    }
}

impl FromRequest for Operating {
    type Error = Failure;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        with_caller(request, |state, caller, _| async move {
            let operator = state.services().auth.authorize_operator(&caller)?;
            Ok(Self { state, operator })
        })
    }
}

/// Somebody who holds the permission `P` in the organization of the path.
pub(crate) struct InOrganization<P> {
    state: State,
    access: Access<P>,
}

impl<P> InOrganization<P> {
    /// The proof.
    pub(crate) fn proof(&self) -> &Access<P> {
        &self.access
    }
}

impl<P: Grant> FromRequest for InOrganization<P> {
    type Error = Failure;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        with_caller(request, |state, caller, request| async move {
            let organization: OrganizationId = part(&request)?;
            RequestContext::of(&request)?.note(|facts| facts.organization = Some(organization));
            let access = state.services().auth.authorize(&caller, organization).await?;
            Ok(Self { state, access })
        })
    }
}

/// Somebody who holds the permission `P` in the project of the path.
pub(crate) struct InProject<P> {
    state: State,
    access: ProjectAccess<P>,
}

impl<P> InProject<P> {
    /// The proof.
    pub(crate) fn proof(&self) -> &ProjectAccess<P> {
        &self.access
    }
}

impl<P: Grant> FromRequest for InProject<P> {
    type Error = Failure;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        with_caller(request, |state, caller, request| async move {
            let organization: OrganizationId = part(&request)?;
            let project: ProjectId = part(&request)?;
            RequestContext::of(&request)?.note(|facts| {
                facts.organization = Some(organization);
                facts.project = Some(project);
            });
            let auth = &state.services().auth;
            let access = auth.authorize_project(&caller, organization, project).await?;
            Ok(Self { state, access })
        })
    }
}

/// An API key that may call models.
pub(crate) struct Calling {
    state: State,
    key: Arc<KeyIdentity>,
}

impl Calling {
    /// The key.
    pub(crate) fn key(&self) -> &Arc<KeyIdentity> {
        &self.key
    }
}

impl FromRequest for Calling {
    type Error = Failure;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        with_caller(request, |state, caller, _| async move {
            let Caller::Key(key) = caller else {
                return Err(Failure::of(Code::ApiKeyRequired));
            };
            authorize_key::<can::InferenceRun>(&key)?;
            Ok(Self { state, key })
        })
    }
}
