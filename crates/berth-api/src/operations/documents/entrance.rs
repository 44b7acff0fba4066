//! `GET /docs`

use actix_web::http::header;
use actix_web::{HttpResponse, get};

use crate::errors::{Failure, declare_errors};

declare_errors!(Errors for Native: []);

/// The way to the pages
///
/// Leads to `/docs/`, where the pages find each other.
#[utoipa::path(
    operation_id = "documents_entrance",
    tag = "operations",
    security(()),
    responses((status = 308, description = "The pages are at `/docs/`."), Errors)
)]
#[get("/docs")]
pub(crate) async fn entrance() -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "/docs/"))
        .finish())
}
