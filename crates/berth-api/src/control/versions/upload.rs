//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions`

use actix_web::{HttpResponse, post};
use berth_domain::access::can;
use berth_domain::name::Handle;
use berth_serving::uploads::Incoming;

use crate::control::paths::ProjectPath;
use crate::control::versions::VersionWithFiles;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, Upload, UploadQuery};
use crate::request::RequestContext;

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY, groups::UPLOAD],
);

/// Upload a version
///
/// The body is the file itself: a `.onnx` graph, or a `.zip` or `.tar.gz` of a folder. It is judged while the client
/// waits; what is accepted becomes a version in the state `checking`, and `ready` or `failed` once a runner has tried
/// it. Makes the model if it is not there. The same files again give the version that is there (200).
#[utoipa::path(
    operation_id = "versions_upload",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(
        ProjectPath,
        UploadQuery,
        ("name" = Handle, Path, description = "The name of the model."),
        ("content-disposition" = Option<String>, Header, description = "The name of the file, instead of the query."),
        ("content-digest" = Option<String>, Header, description = "What the bytes must have: `sha-256=:…:` (RFC 9530)."),
        ("repr-digest" = Option<String>, Header, description = "The same.")
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "The new version.", body = VersionWithFiles),
        (status = 200, description = "The version that has these very files.", body = VersionWithFiles),
        Errors
    )
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions")]
pub(crate) async fn upload(
    caller: InProject<can::ModelsWrite>,
    context: RequestContext,
    name: InPath<Handle>,
    upload: Upload,
) -> Result<HttpResponse, Failure> {
    let incoming = Incoming {
        file_name: upload.file_name.clone().unwrap_or_default(),
        digest: upload.digest,
        limit_bytes: upload.limit,
        traceparent: context.traceparent().map(str::to_owned),
        body: upload.bytes(),
    };
    let received = caller.uploads.receive(caller.proof(), &name.0, incoming).await?;
    let mut answer = if received.is_new {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(answer.json(VersionWithFiles::new(received.version, received.files)))
}
