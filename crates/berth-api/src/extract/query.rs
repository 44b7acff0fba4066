//! Parameters of the query.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::errors::Failure;
use crate::extract::json::kind;

/// The query as a `T`. Let `T` refuse unknown fields: a misspelled filter that is ignored shows too much.
#[derive(Debug, Clone)]
pub(crate) struct InQuery<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for InQuery<T> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self))
    }
}

pub(super) fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Failure> {
    pairs(query).map_err(|told| {
        let (code, name) = kind(&told);
        let failure = Failure::new(code, format!("The query is not as it should be: {told}."));
        match name {
            Some(name) => failure.field(format!("/{name}"), told.clone()),
            None => failure,
        }
    })
}

/// A form, which is written like a query.
pub(super) fn form<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    pairs(text).map_err(|told| {
        let (code, name) = kind(&told);
        let field = name.map(|name| format!("/{name}")).unwrap_or_default();
        Failure::new(code, format!("The form is not as it should be: {told}.")).field(field, told)
    })
}

fn pairs<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    use actix_web::error::QueryPayloadError as E;
    match web::Query::<T>::from_query(text) {
        Ok(value) => Ok(value.into_inner()),
        Err(E::Deserialize(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::errors::Code;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        #[serde(default)]
        limit: Option<u16>,
    }

    #[test]
    fn unknown_and_malformed_parameters_are_refused() {
        assert_eq!(parse::<Page>("limit=5").ok(), Some(Page { limit: Some(5) }));
        assert_eq!(parse::<Page>("").ok(), Some(Page { limit: None }));
        for (query, code) in [
            ("limit=x", Code::InvalidValue),
            ("limit=-1", Code::InvalidValue),
            ("limit=70000", Code::InvalidValue),
            ("limits=5", Code::UnknownParameter),
            ("limit=5&limit=6", Code::DuplicateParameter),
        ] {
            assert_eq!(parse::<Page>(query).expect_err(query).code(), code, "{query}");
        }
    }
}
