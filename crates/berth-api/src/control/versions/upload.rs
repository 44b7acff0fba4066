//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions`

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post};
use berth_domain::access::can;
use berth_domain::name::Handle;
use berth_serving::uploads::{Accepted, Incoming};
use berth_store::idempotency_keys::Keep;

use crate::control::paths::ProjectPath;
use crate::control::versions::VersionWithFiles;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, Upload, UploadQuery};
use crate::repeats::{RepeatHeader, Repeats};
use crate::request::RequestContext;

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY, groups::UPLOAD, groups::REPEATS],
);

/// Upload a version
///
/// The body is the file itself: a `.onnx` graph, or a `.zip` or `.tar.gz` of a folder. It is judged while the client
/// waits; what is accepted becomes a version in the state `checking`, and `ready` or `failed` once a runner has tried
/// it. Makes the model if it is not there. The same files again give the version that is there (200).
///
/// Under an `idempotency-key`, a request is the same when its address, the name of the file and the bytes are.
#[utoipa::path(
    operation_id = "versions_upload",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(
        ProjectPath,
        UploadQuery,
        RepeatHeader,
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
    repeats: Repeats,
    upload: Upload,
) -> Result<HttpResponse, Failure> {
    let recheck = upload.recheck.clone();
    let incoming = Incoming {
        file_name: upload.file_name.clone().unwrap_or_default(),
        digest: upload.digest,
        limit_bytes: upload.limit,
        traceparent: context.traceparent().map(str::to_owned),
        body: upload.bytes(),
    };
    // A request is known once its body is there: until then nothing has happened that a repetition could do twice.
    let upload = caller.uploads.receive(caller.proof(), incoming).await?;
    recheck.run().await?;
    let digest = upload.digest().to_string();
    let repeats = repeats.of(&caller, &[upload.file_name(), &digest]);
    let make = async |keep: &Keep<'_, _>| {
        let access = caller.proof();
        caller.uploads.accept(access, &name.0, upload, keep).await
    };
    repeats.answer(show, make).await
}

fn show(accepted: &Accepted) -> (StatusCode, VersionWithFiles) {
    let status = if accepted.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let Accepted { version, files, .. } = accepted.clone();
    (status, VersionWithFiles::new(version, files))
}
