//! Uploads that mean harm: each is refused with its code, and nothing of it is kept.

use std::fs;
use std::path::{Path, PathBuf};

use berth_test_support::hostile_models::hostile_uploads;
use berth_test_support::onnx_models::adder;
use reqwest::Method;
use serde_json::json;

use crate::installation::OneMachine;
use crate::tenant::Tenant;

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn hostile_uploads_are_refused_and_leave_nothing() {
    let state = OneMachine::state().expect("a folder");
    let machine = OneMachine::start(state.path(), false).await.expect("starts");
    let tenant = Tenant::sign_up(machine.told("address").expect("is told"), "tenant")
        .await
        .expect("signs up");
    let artifacts = state.path().join("artifacts");

    let uploads = hostile_uploads().expect("can be made");
    assert!(uploads.len() > 10, "there is something to refuse");
    let mut wrong = Vec::new();
    for upload in uploads {
        let answer = tenant
            .upload("hostile", upload.file_name, upload.bytes)
            .await
            .expect("the server answers");
        let found = (answer.status.as_u16(), answer.code().unwrap_or_default());
        if found != (422, upload.code) {
            wrong.push(format!(
                "{}: {found:?} instead of {:?}: {}",
                upload.name, upload.code, answer.text
            ));
        }
        let left = files(&artifacts);
        assert!(left.is_empty(), "{} left {left:?}", upload.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let models = tenant
        .get(&tenant.path("/models"))
        .await
        .expect("the server answers");
    assert_eq!(
        models.body["data"],
        json!([]),
        "no model was made for any of them"
    );

    // What means no harm is served as if nothing had happened.
    tenant
        .serve("adder", "adder.onnx", adder())
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");
    let input = json!({ "name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0] });
    let body = json!({ "inputs": [input] });
    let answer = tenant
        .call(Method::POST, "/v2/models/adder/infer", &key, Some(&body))
        .await
        .expect("answers");
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    assert!(
        files(&artifacts)
            .iter()
            .all(|path| !path.starts_with(artifacts.join(".staging"))),
        "nothing is staged"
    );
}
