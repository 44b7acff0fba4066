//! What the client calls itself.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};

use crate::errors::Failure;

/// The header `user-agent`, by which people recognize their sessions.
#[derive(Debug, Clone)]
pub(crate) struct ClientName(pub(crate) Option<String>);

impl FromRequest for ClientName {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let name = request
            .headers()
            .get(header::USER_AGENT)
            .and_then(|name| name.to_str().ok())
            .map(str::to_owned);
        ready(Ok(Self(name)))
    }
}
