//! Requests that no endpoint takes: an unknown address, or a known one with another method.

use std::sync::LazyLock;

use actix_web::HttpRequest;
use actix_web::dev::ResourceDef;
use actix_web::http::Method;

use crate::errors::{Code, Failure};
use crate::openapi;

/// The addresses of the OpenAPI document and the methods that each takes.
static ADDRESSES: LazyLock<Vec<(ResourceDef, Vec<Method>)>> = LazyLock::new(|| {
    openapi::operations(&openapi::document(None))
        .into_iter()
        .fold(Vec::<(String, Vec<Method>)>::new(), |mut addresses, operation| {
            match addresses.iter_mut().find(|(path, _)| *path == operation.path) {
                Some((_, methods)) => methods.push(operation.method),
                None => addresses.push((operation.path, vec![operation.method])),
            }
            addresses
        })
        .into_iter()
        .map(|(path, mut methods)| {
            if methods.contains(&Method::GET) {
                methods.push(Method::HEAD);
            }
            (ResourceDef::new(path), methods)
        })
        .collect()
});

/// Tells an unknown address from a method that the address does not take.
pub(crate) async fn answer(request: HttpRequest) -> Result<actix_web::HttpResponse, Failure> {
    let methods = ADDRESSES
        .iter()
        .find(|(address, _)| address.is_match(request.path()))
        .map(|(_, methods)| methods.clone());
    Err(match methods {
        Some(methods) => Failure::new(
            Code::MethodNotAllowed,
            format!(
                "`{}` does not take {}.",
                request.path().escape_debug(),
                request.method()
            ),
        )
        .allowed_methods(methods),
        None => Failure::new(
            Code::RouteNotFound,
            format!("Nothing is served at `{}`.", request.path().escape_debug()),
        ),
    })
}
