//! A request that was refused or failed, before it is rendered.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use berth_wire::problem::FieldProblem;

use crate::errors::{Code, Retry};

/// Why a request was refused or failed. Handlers and extractors give it; [`crate::errors::render`] turns it into the
/// body that the caller's protocol expects.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    fields: Vec<FieldProblem>,
    retry_after: Option<Duration>,
    allowed_methods: Vec<Method>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure with this code. `detail` is shown to the caller: it says what happened this time, in words.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
            allowed_methods: Vec::new(),
            source: None,
        }))
    }

    /// A failure whose code says everything.
    pub(crate) fn of(code: Code) -> Self {
        Self::new(code, code.title())
    }

    /// Something that should not happen. The caller learns nothing of `source`; it is logged.
    pub(crate) fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "Something went wrong on this side. It was logged with the id of this request.",
        )
        .source(source)
    }

    /// Names a field at fault by its JSON pointer into the body.
    pub(crate) fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.fields.push(FieldProblem {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// States when it is worth trying again.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// States the methods that would be answered, for the header `allow`.
    pub(crate) fn allowed_methods(mut self, methods: Vec<Method>) -> Self {
        self.0.allowed_methods = methods;
        self
    }

    /// Keeps the cause for the log. It is never shown.
    pub(crate) fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn fields(&self) -> &[FieldProblem] {
        &self.0.fields
    }

    pub(crate) fn methods(&self) -> &[Method] {
        &self.0.allowed_methods
    }

    /// How long to wait before trying again, where waiting helps.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self.0.code.retry() {
            Retry::After(usual) => Some(self.0.retry_after.unwrap_or(usual)),
            Retry::Never | Retry::Perhaps => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.code.as_str())
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    /// Only the bare status: the body depends on the request, which is not known here. The outermost layer sees every
    /// answer and replaces this one.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// A JSON pointer (RFC 6901) to `path`.
pub(crate) fn pointer<'a>(path: impl IntoIterator<Item = Cow<'a, str>>) -> String {
    path.into_iter().fold(String::new(), |mut pointer, part| {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// What an error of the logic says, as a sentence.
pub(crate) fn sentence(error: &impl std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| {
            let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
            first.to_uppercase().chain(letters).chain(end.chars()).collect()
        })
        .unwrap_or_default()
}
