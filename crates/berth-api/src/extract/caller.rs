//! Who calls: an API key or the access token of a signed-in person, both as `Bearer`.

use std::cell::RefCell;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest};
use berth_domain::access::Caller;
use futures_util::future::LocalBoxFuture;

use crate::errors::{Code, Failure};
use crate::request::RequestContext;
use crate::services::Services;
use crate::state::State;

/// What every API key begins with.
const KEY_PREFIX: &str = "bth_";

/// An access token is a JSON Web Token: three parts with dots between them.
const JWT_PARTS: usize = 3;

/// Whose `credential` it is, as far as it may be used from `address`.
pub(crate) async fn identify(
    services: &Services,
    credential: &str,
    address: IpAddr,
) -> Result<Caller, Failure> {
    if credential.starts_with(KEY_PREFIX) {
        let key = services.authenticator.authenticate_key(credential, address);
        Ok(Caller::Key(key.await?))
    } else if credential.split('.').count() != JWT_PARTS {
        // Neither of ours. Most callers mean a key, and their clients look for this code.
        Err(Failure::of(Code::ApiKeyInvalid))
    } else {
        Ok(Caller::Person(
            services.auth.authenticate_token(credential).await?,
        ))
    }
}

/// Who makes the request of `context`.
pub(super) async fn authenticate(
    services: &Services,
    credential: &str,
    context: &RequestContext,
) -> Result<Caller, Failure> {
    let caller = identify(services, credential, context.client_address()).await?;
    context.note(|facts| facts.called_by(&caller));
    Ok(caller)
}

/// The text after `Bearer` in the header `authorization`.
pub(super) fn bearer(request: &HttpRequest) -> Result<String, Failure> {
    let header = request.headers().get(header::AUTHORIZATION);
    credential(header.map(header::HeaderValue::as_bytes)).map(str::to_owned)
}

/// The text after `Bearer` in the value of the header `authorization`.
pub(crate) fn credential(header: Option<&[u8]>) -> Result<&str, Failure> {
    let header = header.ok_or_else(|| {
        Failure::new(
            Code::CredentialsMissing,
            "The header `authorization` is missing; it should be `Bearer` and an API key or access token.",
        )
    })?;
    let malformed = || {
        Failure::new(
            Code::CredentialsMissing,
            "The header `authorization` should be `Bearer` and an API key or access token.",
        )
    };
    let (scheme, credential) = std::str::from_utf8(header)
        .ok()
        .filter(|text| {
            text.bytes()
                .all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte))
        })
        .and_then(|text| text.trim().split_once(' '))
        .ok_or_else(malformed)?;
    let credential = credential.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty() {
        Ok(credential)
    } else {
        Err(malformed())
    }
}

/// An extractor on its way.
pub(super) type Extracting<T> = LocalBoxFuture<'static, Result<T, Failure>>;

/// What an extractor proves of a caller: once before the body is read, and once more when it is there.
pub(super) trait Proof: Sized + 'static {
    /// Where in the tree of organizations and projects.
    type Place: Copy + 'static;

    /// The place in the path of `request`.
    fn place(request: &HttpRequest) -> Result<Self::Place, Failure>;

    /// The proof, as things stand now.
    fn prove(
        state: State,
        caller: Caller,
        place: Self::Place,
    ) -> impl Future<Output = Result<Self, Failure>> + 'static;
}

/// Checks the caller of `request`, and notes how that is done once more.
pub(super) fn extract<T: Proof>(request: &HttpRequest) -> Extracting<T> {
    let request = request.clone();
    Box::pin(async move {
        let state = State::of(&request)?.clone();
        let context = RequestContext::of(&request)?;
        let credential = bearer(&request)?;
        let caller = authenticate(state.services(), &credential, &context).await?;
        let place = T::place(&request)?;
        let proof = T::prove(state.clone(), caller.clone(), place).await?;
        let sender = Sender {
            state,
            credential,
            address: context.client_address(),
            caller,
        };
        Recheck::of(&request).add(move || {
            let sender = sender.clone();
            Box::pin(async move {
                let caller = sender.confirm().await?;
                T::prove(sender.state, caller, place).await.map(drop)
            })
        });
        Ok(proof)
    })
}

/// Who sent a request, and what it takes to ask again.
#[derive(Clone)]
struct Sender {
    state: State,
    credential: String,
    address: IpAddr,
    caller: Caller,
}

impl Sender {
    /// The caller as they are now.
    async fn confirm(&self) -> Result<Caller, Failure> {
        let services = self.state.services();
        Ok(match &self.caller {
            Caller::Key(_) => {
                let authenticator = &services.authenticator;
                Caller::Key(
                    authenticator
                        .authenticate_key(&self.credential, self.address)
                        .await?,
                )
            }
            // The token may have expired while the body came in; the session decides.
            Caller::Person(person) => Caller::Person(services.auth.confirm_person(person).await?),
        })
    }
}

type Check = Rc<dyn Fn() -> LocalBoxFuture<'static, Result<(), Failure>>>;

/// The checks of a request's caller, to be made once more when its body is there: somebody who holds the last byte back can
/// be removed meanwhile, and a key revoked. Clones share the checks.
#[derive(Clone, Default)]
pub(crate) struct Recheck(Rc<RefCell<Vec<Check>>>);

impl Recheck {
    /// The checks of `request`; those that its extractors add later are among them.
    pub(super) fn of(request: &HttpRequest) -> Self {
        if let Some(known) = request.extensions().get::<Self>() {
            return known.clone();
        }
        let fresh = Self::default();
        request.extensions_mut().insert(fresh.clone());
        fresh
    }

    fn add(&self, check: impl Fn() -> LocalBoxFuture<'static, Result<(), Failure>> + 'static) {
        self.0.borrow_mut().push(Rc::new(check));
    }

    /// Makes them.
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let checks = self.0.borrow().clone();
        for check in checks {
            check().await?;
        }
        Ok(())
    }
}
