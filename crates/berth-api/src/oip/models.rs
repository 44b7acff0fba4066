//! Models, by name or by one version of a name.

pub(crate) mod config;
pub(crate) mod infer;
pub(crate) mod metadata;
pub(crate) mod ready;
pub(crate) mod statistics;

use actix_web::HttpRequest;

use crate::errors::{Failure, model_not_found};

/// The model in the path.
pub(super) fn name(request: &HttpRequest) -> &str {
    request.match_info().query("model")
}

/// The number of the version in the path; what is no number names no version.
fn version(request: &HttpRequest) -> Result<u32, Failure> {
    let text = request.match_info().query("version");
    text.parse()
        .map_err(|_| model_not_found(&format!("{}@{text}", name(request))))
}
