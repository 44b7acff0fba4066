//! `GET /errors/{code}`

use actix_web::{HttpRequest, HttpResponse, get};

use crate::errors::{Code, Failure, chapter, declare_errors};

declare_errors!(Errors for Native: [], NotFound);

/// One error code
///
/// What the code means and what to do, as Markdown.
#[utoipa::path(
    operation_id = "error_codes_show",
    tag = "operations",
    security(()),
    params(("code" = String, Path, description = "The code.", example = "model_not_found")),
    responses((status = 200, description = "The code.", body = String, content_type = "text/markdown"), Errors)
)]
#[get("/errors/{code}")]
pub(crate) async fn show(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let text = request.match_info().query("code");
    let code = Code::find(text).ok_or_else(|| {
        Failure::new(
            Code::NotFound,
            format!("There is no error code `{}`.", text.escape_debug()),
        )
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/markdown; charset=utf-8")
        .body(chapter(code)))
}
