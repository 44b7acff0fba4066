//! `GET /docs/{file}`: Swagger UI, out of the binary.

use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::errors::{Code, Failure, declare_errors};
use crate::frame::Frame;

/// Everything comes from this server; styles stand in the elements that Swagger UI makes, and its icons are inlined.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(
        Config::new(["/openapi.json"])
            .persist_authorization(true)
            .display_request_duration(true)
            .filter(true)
            .try_it_out_enabled(true)
            .doc_expansion("none"),
    )
});

declare_errors!(Errors for Native: [], RouteNotFound);

/// The pages that explain this description
///
/// Swagger UI. *Authorize* takes an API key or an access token, or signs in.
#[utoipa::path(
    operation_id = "documents_pages",
    tag = "operations",
    security(()),
    params(("file" = String, Path, description = "A file of the pages; empty for the first page.")),
    responses((status = 200, description = "The file.", body = String, content_type = "text/html"), Errors)
)]
#[get("/docs/{file:.*}")]
pub(crate) async fn pages(frame: Frame, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let name = request.match_info().query("file");
    let file = if frame.options().documentation {
        read(name)?
    } else {
        None
    };
    let file = file.ok_or_else(|| {
        Failure::new(
            Code::RouteNotFound,
            format!("There is no page `{}` here.", name.escape_debug()),
        )
    })?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(file.bytes.into_owned()))
}

fn read(name: &str) -> Result<Option<SwaggerFile<'static>>, Failure> {
    utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).map_err(|error| Failure::internal(error.to_string()))
}
