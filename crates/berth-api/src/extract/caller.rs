//! Who calls: an API key or the access token of a signed-in person, both as `Bearer`.

use std::future::Future;

use actix_web::HttpRequest;
use actix_web::http::header;
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

/// Who makes `request`.
pub(super) async fn authenticate(
    services: &Services,
    credential: &str,
    context: &RequestContext,
) -> Result<Caller, Failure> {
    if credential.starts_with(KEY_PREFIX) {
        let key = services
            .authenticator
            .authenticate_key(credential, context.client_address())
            .await?;
        context.note(|facts| {
            facts.organization = Some(key.organization);
            facts.project = Some(key.project);
            facts.key = Some(key.key);
            facts.origins.clone_from(&key.origins);
        });
        Ok(Caller::Key(key))
    } else if credential.split('.').count() != JWT_PARTS {
        // Neither of ours. Most callers mean a key, and their clients look for this code.
        Err(Failure::of(Code::ApiKeyInvalid))
    } else {
        let person = services.auth.authenticate_token(credential).await?;
        context.note(|facts| facts.user = Some(person.user));
        Ok(Caller::Person(person))
    }
}

/// The text after `Bearer` in the header `authorization`.
pub(super) fn bearer(request: &HttpRequest) -> Result<String, Failure> {
    let header = request.headers().get(header::AUTHORIZATION).ok_or_else(|| {
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
    let (scheme, credential) = header
        .to_str()
        .ok()
        .and_then(|text| text.trim().split_once(' '))
        .ok_or_else(malformed)?;
    let credential = credential.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty() {
        Ok(credential.to_owned())
    } else {
        Err(malformed())
    }
}

/// Checks the caller of `request`, then builds something of it.
pub(super) fn with_caller<T, F>(
    request: &HttpRequest,
    build: impl FnOnce(State, Caller, HttpRequest) -> F + 'static,
) -> LocalBoxFuture<'static, Result<T, Failure>>
where
    F: Future<Output = Result<T, Failure>>,
{
    let request = request.clone();
    Box::pin(async move {
        let state = State::of(&request)?.clone();
        let context = RequestContext::of(&request)?;
        let credential = bearer(&request)?;
        let caller = authenticate(state.services(), &credential, &context).await?;
        build(state, caller, request).await
    })
}
