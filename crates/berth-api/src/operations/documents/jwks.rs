//! `GET /.well-known/jwks.json`

use actix_web::http::header;
use actix_web::{HttpResponse, get};
use berth_auth::signing::KeySet;

use crate::errors::{Failure, declare_errors};
use crate::extract::Public;

declare_errors!(Errors for Native: []);

/// The keys that sign access tokens
///
/// Their public halves, as a JSON Web Key Set (RFC 7517), so that other services can check access tokens themselves.
#[utoipa::path(
    operation_id = "documents_jwks",
    tag = "operations",
    security(()),
    responses((status = 200, description = "The keys.", body = serde_json::Value), Errors)
)]
#[get("/.well-known/jwks.json")]
pub(crate) async fn jwks(public: Public) -> Result<HttpResponse, Failure> {
    let keys: KeySet = public.auth.key_set();
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(keys))
}
