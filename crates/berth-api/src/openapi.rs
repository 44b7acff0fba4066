//! The OpenAPI document, made from the endpoints themselves.

use std::collections::BTreeSet;

use actix_web::App;
use actix_web::http::Method;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation as Described;
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{
    Flow, HttpAuthScheme, HttpBuilder, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, Object, PathItem, RefOr, Tag};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Server};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_actix_web::AppExt as _;

use crate::{errors, repeats, routes};

const DESCRIPTION: &str = "\
Berth serves models to tenants. Three surfaces share one address:

- `/v1`, the OpenAI API, and `/v2`, the Open Inference Protocol, call models. They take an API key.
- `/api/v1` manages organizations, people, keys, models and deployments. It takes an API key, whose scopes decide what \
it may do, or the access token of a signed-in person.

Both go into the header `authorization` as `Bearer …`. Errors have stable codes, explained at `/errors`.";

/// The tags, in the order of the document.
const TAGS: &[(&str, &str)] = &[
    (
        "inference",
        "Calling models: the OpenAI API and the Open Inference Protocol v2.",
    ),
    ("auth", "Signing up and in, sessions, passwords, invitations."),
    (
        "organizations",
        "Organizations, their members, invitations and roles.",
    ),
    ("projects", "Projects, their service accounts and API keys."),
    ("models", "Models and their versions."),
    ("deployments", "Names under which versions are served."),
    ("platform", "What operators of the installation do."),
    ("operations", "Health, metrics, and this description."),
];

/// The name of the scheme for API keys and access tokens.
pub(crate) const BEARER: &str = "bearer";
/// The name of the scheme that signs in from the documentation's own pages.
pub(crate) const SIGN_IN: &str = "sign_in";

/// The document of a server that clients reach at `public_url`, or wherever they fetched it from.
pub fn document(public_url: Option<&str>) -> OpenApi {
    let (_, mut document) = App::new()
        .into_utoipa_app()
        .openapi(frame(public_url))
        .configure(routes::configure)
        .split_for_parts();
    document.tags = Some(tags());
    describe_replays(&mut document);
    let used = examples_used(&document);
    let components = document.components.get_or_insert_with(Components::new);
    add_error_schemas(components);
    components
        .examples
        .extend(errors::examples().filter(|(name, _)| used.contains(name)));
    components.security_schemes.extend([
        (BEARER.to_owned(), bearer().into()),
        (SIGN_IN.to_owned(), sign_in().into()),
    ]);
    document
}

/// An operation of the document.
#[derive(Clone)]
pub struct Operation {
    /// The path, with names in braces.
    pub path: String,
    /// The method.
    pub method: Method,
    /// What the document says of it.
    pub described: Described,
}

/// The operations of `document`, in order of path.
pub fn operations(document: &OpenApi) -> Vec<Operation> {
    document
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| {
            methods(item).into_iter().map(|(method, described)| Operation {
                path: path.clone(),
                method,
                described: described.clone(),
            })
        })
        .collect()
}

/// The names of the examples that operations refer to.
fn examples_used(document: &OpenApi) -> BTreeSet<String> {
    let items = document.paths.paths.values();
    let operations = items.flat_map(methods).map(|(_, operation)| operation);
    let responses = operations.flat_map(|operation| operation.responses.responses.values());
    let contents = responses
        .filter_map(inline)
        .flat_map(|response| response.content.values());
    let examples = contents
        .filter_map(inline)
        .flat_map(|content| content.examples.values());
    examples
        .filter_map(|example| match example {
            RefOr::Ref(reference) => reference.ref_location.rsplit('/').next().map(str::to_owned),
            RefOr::T(_) => None,
        })
        .collect()
}

/// What stands here, and not somewhere else.
fn inline<T>(part: &RefOr<T>) -> Option<&T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

/// Whoever takes an `idempotency-key` may answer with what was answered before, and says so in a header.
fn describe_replays(document: &mut OpenApi) {
    let operations = document
        .paths
        .paths
        .values_mut()
        .filter_map(|item| item.post.as_mut());
    for operation in operations {
        let mut parameters = operation.parameters.iter().flatten();
        if !parameters.any(|parameter| matches!(parameter, RefOr::T(known) if known.name == repeats::KEY)) {
            continue;
        }
        let responses = operation.responses.responses.iter_mut();
        for (_, response) in responses.filter(|(status, _)| status.starts_with('2')) {
            if let RefOr::T(response) = response {
                response
                    .headers
                    .insert(repeats::REPLAYED.to_owned(), RefOr::T(replayed()));
            }
        }
    }
}

fn replayed() -> Header {
    HeaderBuilder::new()
        .schema(Some(Object::with_type(Type::Boolean)))
        .description(Some(
            "`true` when this is the answer to an earlier request with the same `idempotency-key`.",
        ))
        .build()
}

fn methods(item: &PathItem) -> Vec<(Method, &Described)> {
    [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
    .collect()
}

fn frame(public_url: Option<&str>) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Berth")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some(vec![Server::new(public_url.unwrap_or("/"))]))
        .build()
}

fn tags() -> Vec<Tag> {
    TAGS.iter()
        .map(|(name, description)| {
            TagBuilder::new()
                .name(*name)
                .description(Some(*description))
                .build()
        })
        .collect()
}

/// The endpoints refer to the error bodies by name only, so their schemas are put in here.
fn add_error_schemas(components: &mut Components) {
    let mut schemas = Vec::new();
    berth_wire::openai::ErrorBody::schemas(&mut schemas);
    berth_wire::problem::Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.schemas.extend([
        ("OpenAiError".to_owned(), berth_wire::openai::ErrorBody::schema()),
        ("OipError".to_owned(), berth_wire::oip::ErrorBody::schema()),
        ("Problem".to_owned(), berth_wire::problem::Problem::schema()),
    ]);
}

fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("API key or access token")
        .description(Some(
            "An API key (`bth_…`), or the access token of a signed-in person.",
        ))
        .build();
    SecurityScheme::Http(scheme)
}

fn sign_in() -> SecurityScheme {
    let flow = Flow::Password(Password::new("/api/v1/auth/token", Scopes::new()));
    SecurityScheme::OAuth2(OAuth2::with_description(
        [flow],
        "Sign in with e-mail address and password, for the pages at `/docs`.",
    ))
}
