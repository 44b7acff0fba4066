//! Uploads that are sent again under the same key.

use berth_test_support::onnx_models::adder;
use reqwest::Response;
use serde_json::Value;

use crate::installation::OneApi;
use crate::tenant::Tenant;

async fn send(api: &OneApi, tenant: &Tenant, file_name: &str, bytes: Vec<u8>) -> Response {
    let path = tenant.path("/models/adder/versions");
    reqwest::Client::new()
        .post(format!("{}{path}?filename={file_name}", api.address))
        .bearer_auth(&tenant.token)
        .header("content-type", "application/octet-stream")
        .header("idempotency-key", "one")
        .body(bytes)
        .send()
        .await
        .expect("the server answers")
}

#[tokio::test]
async fn upload_is_known_by_its_bytes() {
    let api = OneApi::start_with(&[]).await.expect("starts");
    let tenant = Tenant::sign_up(&api.address, "tenant").await.expect("signs up");
    let first = send(&api, &tenant, "adder.onnx", adder()).await;
    assert_eq!(first.status().as_u16(), 201);
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first = first.text().await.expect("a body");

    // Without the key the version that is there would be given, with 200.
    let again = send(&api, &tenant, "adder.onnx", adder()).await;
    assert_eq!(again.status().as_u16(), 201);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.text().await.expect("a body"), first);

    let mut other = adder();
    other.push(0);
    for (file_name, bytes) in [("adder.onnx", other), ("another.onnx", adder())] {
        let refused = send(&api, &tenant, file_name, bytes).await;
        assert_eq!(refused.status().as_u16(), 422);
        let refused: Value = refused.json().await.expect("a problem");
        assert_eq!(refused["code"], "idempotency_key_reused");
    }
    let versions = tenant.path("/models/adder/versions");
    let versions = tenant.get(&versions).await.expect("the server answers");
    assert_eq!(versions.body["data"].as_array().map(Vec::len), Some(1));
}
