//! What is read of a body to route it; the rest is the runner's.

use std::borrow::Cow;

use serde::Deserialize;

use crate::errors::Failure;
use crate::extract::parse_json;

#[derive(Debug, Deserialize)]
struct Routing<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
}

/// The model that `body` names. The body is not understood beyond that, but it is valid JSON.
pub(super) fn model_of(body: &[u8]) -> Result<Cow<'_, str>, Failure> {
    parse_json::<Routing<'_>>(body).map(|routing| routing.model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Code;

    fn refused(body: &str) -> (Code, Option<String>) {
        let failure = model_of(body.as_bytes()).expect_err("refused");
        (
            failure.code(),
            failure.fields().first().map(|field| field.pointer.clone()),
        )
    }

    #[test]
    fn model_is_found_among_whatever_else() {
        let body = br#"{"input":[[1,2],{"model":"inner"}],"model":"minilm@2","x":null}"#;
        assert_eq!(model_of(body).expect("a model"), "minilm@2");
        assert_eq!(model_of(br#"{"model":"m\u0061"}"#).expect("a model"), "ma");
    }

    #[test]
    fn body_without_a_model_is_refused_with_the_field() {
        let at = Some("/model".to_owned());
        assert_eq!(refused(r#"{"input":"a"}"#), (Code::MissingParameter, at.clone()));
        assert_eq!(refused(r#"{"model":7}"#), (Code::InvalidType, at.clone()));
        assert_eq!(
            refused(r#"{"model":"a","model":"b"}"#),
            (Code::DuplicateParameter, at)
        );
        assert_eq!(refused(r#"{"model":"a","input":NaN}"#).0, Code::InvalidJson);
        assert_eq!(refused(r#"{"model":"a""#).0, Code::InvalidJson);
    }
}
