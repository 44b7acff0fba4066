//! `GET /errors`

use actix_web::{HttpResponse, get};

use crate::errors::{Failure, declare_errors, handbook};

declare_errors!(Errors for Native: []);

/// Every error code
///
/// What each code means and what to do, as Markdown.
#[utoipa::path(
    operation_id = "error_codes_list",
    tag = "operations",
    security(()),
    responses((status = 200, description = "The codes.", body = String, content_type = "text/markdown"), Errors)
)]
#[get("/errors")]
pub(crate) async fn list() -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok()
        .content_type("text/markdown; charset=utf-8")
        .body(handbook()))
}
