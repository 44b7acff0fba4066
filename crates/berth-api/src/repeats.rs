//! Requests that may be repeated under the header `idempotency-key`: the first one is carried out, and whoever sends the
//! same again gets the answer of the first.

use std::fmt::Write as _;
use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use berth_auth::auth::Auth;
use berth_auth::repeats::{Begun, Key, Repeatable};
use berth_domain::access::Caller;
use berth_domain::digest::Sha256;
use berth_store::idempotency_keys::{Answer, Keep, Owner};
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::IntoParams;

use crate::errors::{Code, Failure};
use crate::services::Services;

/// The header that carries the key.
pub(crate) const KEY: &str = "idempotency-key";
/// The header that an answer carries when it is that of an earlier request.
pub(crate) const REPLAYED: &str = "idempotency-replayed";

/// For how long a request may show no sign of life before it counts as abandoned by a process that died.
const PATIENCE: TimeDelta = TimeDelta::minutes(1);

/// The header, for the OpenAPI document. [`Repeats`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header, rename_all = "kebab-case")]
#[expect(dead_code, reason = "the field exists to be described")]
pub(crate) struct RepeatHeader {
    /// A text of the client's own choice for this request, such as a UUID: 1 to 255 printable ASCII characters, bare or in
    /// double quotes. Whoever sends the same request under it again within 24 hours gets the first answer again.
    #[param(nullable = false)]
    idempotency_key: Option<String>,
}

/// Somebody who makes something, and with whom the answer is kept.
pub(crate) trait Maker: Deref<Target = Services> {
    /// Who makes it.
    fn maker(&self) -> Caller;

    /// The organization in which it is made, or the person who makes it where there is none.
    fn owner(&self) -> Owner;
}

/// What tells a request from others: where it goes, and the key that the client gave it, if it did.
#[derive(Debug)]
pub(crate) struct Repeats {
    route: String,
    target: String,
    key: Option<Key>,
}

impl FromRequest for Repeats {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::new(request))
    }
}

impl Repeats {
    fn new(request: &HttpRequest) -> Result<Self, Failure> {
        let route = request
            .match_pattern()
            .ok_or_else(|| Failure::internal("an endpoint answers at no route"))?;
        let method = request.method();
        Ok(Self {
            route: format!("{method} {route}"),
            target: format!("{method} {}?{}", request.path(), request.query_string()),
            key: key(request.headers())?,
        })
    }

    /// The request with what it holds: each part of `content` is a digest or a text that belongs to what is asked for.
    pub(crate) fn of<'a>(self, maker: &'a impl Maker, content: &[&str]) -> Request<'a> {
        let mut parts = self.target;
        for part in content {
            // With its length, so that no two lists of parts make the same text.
            let _ = write!(parts, "\n{} {part}", part.len());
        }
        Request {
            auth: &maker.auth,
            maker: maker.maker(),
            owner: maker.owner(),
            route: self.route,
            key: self.key,
            content: Sha256::of(parts.as_bytes()),
        }
    }
}

/// A request that is ready to be carried out, once.
pub(crate) struct Request<'a> {
    auth: &'a Auth,
    maker: Caller,
    owner: Owner,
    route: String,
    key: Option<Key>,
    content: Sha256,
}

impl Request<'_> {
    /// The answer: what `show` makes of what `make` makes, or, when the same was done before under the same key, what was
    /// answered then. `make` must write what it is given in the transaction of its change.
    pub(crate) async fn answer<T, S: Serialize, E: Into<Failure>>(
        self,
        show: impl Fn(&T) -> (StatusCode, S) + Send + Sync,
        make: impl AsyncFnOnce(&Keep<'_, T>) -> Result<T, E>,
    ) -> Result<HttpResponse, Failure> {
        let Some(key) = self.key else {
            let made = make(&Keep::nothing()).await.map_err(Into::into)?;
            return respond(&written(&show(&made)).map_err(Failure::internal)?);
        };
        let repeatable = Repeatable {
            caller: &self.maker,
            owner: self.owner,
            route: self.route,
            key,
            content: self.content,
            patience: PATIENCE,
        };
        let attempt = match self.auth.begin(repeatable).await? {
            Begun::Fresh(attempt) => attempt,
            Begun::Answered(kept) => return replay(&kept),
        };
        let keep = attempt.keep(|made| Ok(written(&show(made))?));
        let made = attempt.carry_out(make(&keep)).await;
        drop(keep);
        match made {
            Ok(made) => {
                attempt.done();
                respond(&written(&show(&made)).map_err(Failure::internal)?)
            }
            // Nothing was made, so the key is free again; or it is not known what became of it, as when the database
            // went away during the commit, and the same request will tell.
            Err(error) => match attempt.give_up().await {
                Ok(true) => Err(error.into()),
                Ok(false) => {
                    let failure: Failure = error.into();
                    let code = failure.code().as_str();
                    tracing::warn!(
                        error.code = code,
                        "a request lost its idempotency key, or was done after all"
                    );
                    Err(Failure::of(Code::IdempotencyKeyInUse))
                }
                Err(lost) => {
                    tracing::warn!(%lost, "a failed request keeps its idempotency key for a while");
                    Err(error.into())
                }
            },
        }
    }
}

/// 201 with what was made.
pub(crate) fn created<T: Clone, S: From<T>>(made: &T) -> (StatusCode, S) {
    (StatusCode::CREATED, made.clone().into())
}

fn written((status, shown): &(StatusCode, impl Serialize)) -> Result<Answer, serde_json::Error> {
    Ok(Answer {
        status: status.as_u16(),
        content_type: Some("application/json".to_owned()),
        body: serde_json::to_vec(shown)?,
    })
}

fn respond(answer: &Answer) -> Result<HttpResponse, Failure> {
    let status = StatusCode::from_u16(answer.status).map_err(Failure::internal)?;
    let mut response = HttpResponse::build(status);
    if let Some(content_type) = &answer.content_type {
        response.insert_header((header::CONTENT_TYPE, content_type.as_str()));
    }
    Ok(response.body(answer.body.clone()))
}

fn replay(kept: &Answer) -> Result<HttpResponse, Failure> {
    let mut response = respond(kept)?;
    response.headers_mut().insert(
        HeaderName::from_static(REPLAYED),
        HeaderValue::from_static("true"),
    );
    Ok(response)
}

/// The key in the headers: a text in quotes (RFC 9651, "String") or, as most clients send it, bare.
fn key(headers: &HeaderMap) -> Result<Option<Key>, Failure> {
    let mut values = headers.get_all(KEY);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let malformed = |what: &str| {
        let told = format!("The header `{KEY}` is not as it should be: {what}.");
        Failure::new(Code::IdempotencyKeyInvalid, told)
    };
    if values.next().is_some() {
        return Err(malformed("it is there twice"));
    }
    let text = value
        .to_str()
        .map_err(|_| malformed("the key has characters that are not printable ASCII"))?
        .trim_matches(' ');
    let text = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or_else(|| malformed("its quotes do not match"))?,
        None => text.to_owned(),
    };
    text.parse()
        .map(Some)
        .map_err(|error| malformed(&format!("{error}")))
}

/// What stands before the closing quote, which must be the end; `\"` and `\\` stand for `"` and `\`.
fn unquoted(rest: &str) -> Option<String> {
    let mut text = String::with_capacity(rest.len());
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(text),
            '\\' => text.push(letters.next().filter(|letter| matches!(letter, '"' | '\\'))?),
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header");
            headers.append(HeaderName::from_static(KEY), value);
        }
        key(&headers)
            .map(|key| key.map(|key| key.as_str().to_owned()))
            .map_err(|failure| failure.code())
    }

    #[test]
    fn key_is_read_bare_and_in_quotes() {
        let longest = "k".repeat(255);
        for (value, text) in [
            (
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            (r#""8e03978e""#, "8e03978e"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (r#"a"b"#, r#"a"b"#),
            ("  a b  ", "a b"),
            (&longest, &longest),
            (&format!("\"{longest}\""), &longest),
        ] {
            assert_eq!(read(&[value.as_bytes()]), Ok(Some(text.to_owned())), "{value}");
        }
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let long = "k".repeat(256);
        for values in [
            &[b"".as_slice()] as &[&[u8]],
            &[b"   "],
            &[b"\"\""],
            &[b"\"a"],
            &[b"\"a\"b"],
            &[b"\"a\";x=1"],
            &[br#""a\b""#],
            &[br#""a\"#],
            &[b"a\tb"],
            &["ä".as_bytes()],
            &[b"\xff"],
            &[long.as_bytes()],
            &[b"a", b"a"],
        ] {
            assert_eq!(read(values), Err(Code::IdempotencyKeyInvalid), "{values:?}");
        }
    }
}
