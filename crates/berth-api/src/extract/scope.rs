//! The services, behind a check of the caller. Each extractor states what was checked; the logic below takes its proof.

use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use berth_auth::access::authorize_key;
use berth_domain::access::{Access, Caller, Grant, KeyIdentity, Operator, Person, ProjectAccess, can};
use berth_domain::id::{OrganizationId, ProjectId};
use berth_store::idempotency_keys::Owner;

use crate::errors::{Code, Failure};
use crate::extract::caller::{Extracting, Proof, extract};
use crate::extract::path::part;
use crate::repeats::Maker;
use crate::request::RequestContext;
use crate::services::Services;
use crate::state::State;

macro_rules! extractors {
    ($($kind:ident $(<$parameter:ident: $bound:ident>)?),*) => {$(
        impl $(<$parameter>)? Deref for $kind $(<$parameter>)? {
            type Target = Services;

            fn deref(&self) -> &Services {
                self.state.services()
            }
        }

        impl $(<$parameter: $bound>)? FromRequest for $kind $(<$parameter>)? {
            type Error = Failure;
            type Future = Extracting<Self>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                extract(request)
            }
        }
    )*};
}

extractors!(
    Authenticated,
    SignedIn,
    Operating,
    InOrganization<P: Grant>,
    InProject<P: Grant>,
    InOwnProject<P: Grant>,
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

impl Proof for Authenticated {
    type Place = ();

    fn place(_: &HttpRequest) -> Result<(), Failure> {
        Ok(())
    }

    async fn prove(state: State, caller: Caller, (): ()) -> Result<Self, Failure> {
        Ok(Self { state, caller })
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

impl Proof for SignedIn {
    type Place = ();

    fn place(_: &HttpRequest) -> Result<(), Failure> {
        Ok(())
    }

    async fn prove(state: State, caller: Caller, (): ()) -> Result<Self, Failure> {
        match caller {
            Caller::Person(person) => Ok(Self { state, person }),
            Caller::Key(_) => Err(Failure::of(Code::PersonRequired)),
        }
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

impl Proof for Operating {
    type Place = ();

    fn place(_: &HttpRequest) -> Result<(), Failure> {
        Ok(())
    }

    async fn prove(state: State, caller: Caller, (): ()) -> Result<Self, Failure> {
        let operator = state.services().auth.authorize_operator(&caller)?;
        Ok(Self { state, operator })
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

impl<P: Grant> Proof for InOrganization<P> {
    type Place = OrganizationId;

    fn place(request: &HttpRequest) -> Result<OrganizationId, Failure> {
        let organization = part(request)?;
        RequestContext::of(request)?.note(|facts| facts.organization = Some(organization));
        Ok(organization)
    }

    async fn prove(state: State, caller: Caller, organization: OrganizationId) -> Result<Self, Failure> {
        let access = state.services().auth.authorize(&caller, organization).await?;
        Ok(Self { state, access })
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

impl<P: Grant> Proof for InProject<P> {
    type Place = (OrganizationId, ProjectId);

    fn place(request: &HttpRequest) -> Result<(OrganizationId, ProjectId), Failure> {
        let (organization, project) = (part(request)?, part(request)?);
        RequestContext::of(request)?.note(|facts| {
            facts.organization = Some(organization);
            facts.project = Some(project);
        });
        Ok((organization, project))
    }

    async fn prove(
        state: State,
        caller: Caller,
        (organization, project): (OrganizationId, ProjectId),
    ) -> Result<Self, Failure> {
        let auth = &state.services().auth;
        let access = auth.authorize_project(&caller, organization, project).await?;
        Ok(Self { state, access })
    }
}

impl Maker for Authenticated {
    fn maker(&self) -> Caller {
        self.caller.clone()
    }

    fn owner(&self) -> Owner {
        match &self.caller {
            Caller::Person(person) => Owner::Person(person.user),
            Caller::Key(key) => Owner::Organization(key.organization),
        }
    }
}

impl Maker for Operating {
    fn maker(&self) -> Caller {
        Caller::Person(self.operator.person())
    }

    fn owner(&self) -> Owner {
        Owner::Person(self.operator.person().user)
    }
}

impl<P: Grant> Maker for InOrganization<P> {
    fn maker(&self) -> Caller {
        self.access.caller().clone()
    }

    fn owner(&self) -> Owner {
        Owner::Organization(self.access.organization())
    }
}

impl<P: Grant> Maker for InProject<P> {
    fn maker(&self) -> Caller {
        self.access.caller().clone()
    }

    fn owner(&self) -> Owner {
        Owner::Organization(self.access.organization())
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

impl Proof for Calling {
    type Place = ();

    fn place(_: &HttpRequest) -> Result<(), Failure> {
        Ok(())
    }

    async fn prove(state: State, caller: Caller, (): ()) -> Result<Self, Failure> {
        let Caller::Key(key) = caller else {
            return Err(Failure::of(Code::ApiKeyRequired));
        };
        authorize_key::<can::InferenceRun>(&key)?;
        Ok(Self { state, key })
    }
}

/// An API key that holds the permission `P` in its project: for protocols whose addresses name no project.
pub(crate) struct InOwnProject<P> {
    state: State,
    key: Arc<KeyIdentity>,
    access: ProjectAccess<P>,
}

impl<P> InOwnProject<P> {
    /// The key.
    pub(crate) fn key(&self) -> &Arc<KeyIdentity> {
        &self.key
    }

    /// The proof.
    pub(crate) fn proof(&self) -> &ProjectAccess<P> {
        &self.access
    }
}

impl<P: Grant> Proof for InOwnProject<P> {
    type Place = ();

    fn place(_: &HttpRequest) -> Result<(), Failure> {
        Ok(())
    }

    async fn prove(state: State, caller: Caller, (): ()) -> Result<Self, Failure> {
        let Caller::Key(key) = caller else {
            return Err(Failure::of(Code::ApiKeyRequired));
        };
        let access = authorize_key(&key)?;
        Ok(Self { state, key, access })
    }
}
