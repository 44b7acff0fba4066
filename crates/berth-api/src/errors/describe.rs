//! Errors in the OpenAPI document: each endpoint declares the codes that it can give.

use std::collections::BTreeMap;

use berth_wire::{oip, openai, problem};
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::errors::Code;

/// Whose protocol an address speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The OpenAI API, under `/v1`.
    OpenAi,
    /// The Open Inference Protocol, under `/v2`.
    Oip,
    /// Berth's own API and everything else.
    Native,
}

impl Audience {
    /// Whose protocol `path` speaks.
    pub(crate) fn of(path: &str) -> Self {
        let under = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match path {
            _ if under("/v1") => Self::OpenAi,
            _ if under("/v2") => Self::Oip,
            _ => Self::Native,
        }
    }
}

/// Declares the codes of an endpoint as a type for `responses(…)` of `utoipa::path`:
/// `declare_errors!(Errors for Native: [groups…], Code, Code);`.
macro_rules! declare_errors {
    ($name:ident for $audience:ident: [$($group:expr),* $(,)?] $(, $code:ident)* $(,)?) => {
        /// The errors of the endpoint in this file.
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::response::Response>,
            > {
                let groups: &[&[$crate::errors::Code]] = &[$($group,)* &[$($crate::errors::Code::$code,)*]];
                $crate::errors::responses($crate::errors::Audience::$audience, groups)
            }
        }
    };
}
pub(crate) use declare_errors;

/// The codes of `groups` and those that every address can give, by status, with an example of each body.
pub(crate) fn responses(audience: Audience, groups: &[&[Code]]) -> BTreeMap<String, RefOr<Response>> {
    let everywhere: &[Code] = &[Code::Internal];
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for &code in groups.iter().copied().chain([everywhere]).flatten() {
        let codes = by_status.entry(code.status().as_u16()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), RefOr::T(response(audience, &codes))))
        .collect()
}

fn response(audience: Audience, codes: &[Code]) -> Response {
    let description = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.title()))
        .collect::<Vec<_>>()
        .join("\n\n");
    let own = match audience {
        Audience::OpenAi => Some("OpenAiError"),
        Audience::Oip => Some("OipError"),
        Audience::Native => None,
    };
    let mut response = ResponseBuilder::new().description(description);
    if let Some(schema) = own {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .examples_from_iter(references(audience, codes))
            .build();
        response = response.content("application/json", content);
    }
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(references(Audience::Native, codes))
        .build();
    response.content(problem::CONTENT_TYPE, content).build()
}

/// References to the examples of `codes`, which stand once in the components of the document.
fn references(audience: Audience, codes: &[Code]) -> impl Iterator<Item = (&'static str, RefOr<Example>)> {
    codes.iter().map(move |&code| {
        let reference = Ref::new(format!("#/components/examples/{}", example_name(audience, code)));
        (code.as_str(), RefOr::Ref(reference))
    })
}

fn example_name(audience: Audience, code: Code) -> String {
    let form = match audience {
        Audience::OpenAi => "openai",
        Audience::Oip => "oip",
        Audience::Native => "problem",
    };
    format!("{form}.{}", code.as_str())
}

/// Examples of every error body, for the components of the document.
pub(crate) fn examples() -> impl Iterator<Item = (String, RefOr<Example>)> {
    Code::SECTIONS
        .iter()
        .flat_map(|(_, codes)| *codes)
        .flat_map(|&code| {
            [Audience::OpenAi, Audience::Oip, Audience::Native]
                .map(|audience| (example_name(audience, code), RefOr::T(example(audience, code))))
        })
}

fn example(audience: Audience, code: Code) -> Example {
    let body = match audience {
        Audience::OpenAi => serde_json::json!(openai::ErrorBody {
            error: openai::ErrorObject {
                message: code.title().to_owned(),
                kind: code.openai_type().to_owned(),
                param: None,
                code: Some(code.as_str().to_owned()),
            },
        }),
        Audience::Oip => serde_json::json!(oip::ErrorBody {
            error: code.title().to_owned(),
        }),
        Audience::Native => serde_json::json!(problem::Problem {
            kind: format!("/errors/{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: code.title().to_owned(),
            instance: "req_01jd3zq8k4e6h9m2n5p7r0s1t3".to_owned(),
            code: code.as_str().to_owned(),
            errors: Vec::new(),
            retry_after_ms: None,
        }),
    };
    ExampleBuilder::new()
        .summary(code.title())
        .value(Some(body))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audience_follows_the_path() {
        assert_eq!(Audience::of("/v1/embeddings"), Audience::OpenAi);
        assert_eq!(Audience::of("/v1"), Audience::OpenAi);
        assert_eq!(Audience::of("/v2/models/m"), Audience::Oip);
        assert_eq!(Audience::of("/v10/x"), Audience::Native);
        assert_eq!(Audience::of("/api/v1/auth"), Audience::Native);
    }

    #[test]
    fn codes_are_gathered_by_status() {
        let responses = responses(
            Audience::OpenAi,
            &[&[Code::InvalidJson, Code::InvalidValue], &[Code::InvalidValue]],
        );
        assert_eq!(responses.keys().collect::<Vec<_>>(), ["400", "500"]);
    }
}
