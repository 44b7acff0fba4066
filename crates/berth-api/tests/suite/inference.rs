//! The inference surfaces, as far as they go without a worker; with one they are tested over the built binaries.

use std::collections::BTreeMap;

use berth_test_support::wait_until;
use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::furniture::deploy;
use crate::house::{House, LIMIT};

async fn infer(house: &House, path: &str, key: &str, body: &Value) -> Answer {
    let answer = house.post(path, key, body).await;
    assert_ne!(answer.status.as_u16(), 500, "{answer:?}");
    answer
}

#[tokio::test]
async fn deployment_is_listed_described_and_not_ready_without_a_worker() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    deploy(&house, &tenant).await;
    let key = house.key(&tenant, &["inference.run"]).await;

    let list = house.get("/v1/models", &key).await.succeeded(200);
    assert_eq!(list["object"], "list");
    assert_eq!(
        (&list["data"][0]["id"], &list["data"][0]["owned_by"]),
        (&json!("sum"), &json!("acme"))
    );
    assert_eq!(
        house.get("/v1/models/sum", &key).await.succeeded(200)["object"],
        "model"
    );
    for name in ["sum", "sum@1", "sum%401"] {
        let shown = house
            .get(&format!("/v1/models/{name}"), &key)
            .await
            .succeeded(200);
        assert_eq!(shown["id"], name.replace("%40", "@"), "as calls name it");
        assert_eq!(shown["owned_by"], "acme");
    }
    for missing in ["other", "sum@2", "sum@x", "sum@"] {
        house
            .get(&format!("/v1/models/{missing}"), &key)
            .await
            .refused(404, "model_not_found");
    }

    let metadata = house.get("/v2/models/sum", &key).await.succeeded(200);
    assert_eq!(
        metadata,
        json!({
            "name": "sum", "versions": ["1"], "platform": "onnx_onnxv1",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        })
    );
    for one in ["/v2/models/sum/versions/1", "/v2/models/sum@1/versions/1"] {
        house.get(one, &key).await.succeeded(200);
    }
    for missing in [
        "/v2/models/sum/versions/2",
        "/v2/models/sum@1/versions/2",
        "/v2/models/sum@2/versions/1",
        "/v2/models/sum/versions/x",
        "/v2/models/other",
    ] {
        let answer = house.get(missing, &key).await;
        assert_eq!(answer.status.as_u16(), 404, "{missing}");
        assert!(answer.json()["error"].is_string(), "{missing}: {answer:?}");
    }

    let body = json!({"model": "sum", "input": "a"});
    let answer = infer(&house, "/v1/embeddings", &key, &body)
        .await
        .refused(503, "model_not_ready");
    assert!(
        answer
            .header("retry-after")
            .is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait >= 1))
    );
    assert!(answer.header("retry-after-ms").is_some());
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert!(answer.header("openai-processing-ms").is_some());
    assert_eq!(house.get("/v2/models/sum/ready", &key).await.status.as_u16(), 503);
    for (versions, status) in [("sum@1/versions/1", 503), ("sum@1/versions/2", 404)] {
        let path = format!("/v2/models/{versions}/infer");
        let input = json!({"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]});
        let answer = infer(&house, &path, &key, &json!({"inputs": [input]})).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn models_are_listed_by_pages_when_asked() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    deploy(&house, &tenant).await;
    let deployments = format!("{}/deployments", tenant.project_root());
    for name in ["alpha", "beta", "gamma"] {
        let body = json!({"name": name, "model": "adder"});
        house
            .post(&deployments, &tenant.token, &body)
            .await
            .succeeded(201);
    }
    let key = house.key(&tenant, &["inference.run"]).await;
    let all = json!(["alpha", "beta", "gamma", "sum"]);
    let listed = wait_until(LIMIT, async || {
        let list = house.get("/v1/models", &key).await.succeeded(200);
        list["data"].as_array().is_some_and(|models| models.len() == 4)
    });
    listed.await.expect("all are listed");
    for (query, names, has_more) in [
        ("", all.clone(), false),
        ("limit=4", all.clone(), false),
        ("limit=2", json!(["alpha", "beta"]), true),
        ("limit=2&after=beta", json!(["gamma", "sum"]), false),
        ("limit=2&after=alpha", json!(["beta", "gamma"]), true),
        ("after=beside", json!(["beta", "gamma", "sum"]), false),
        ("limit=2&order=desc", json!(["sum", "gamma"]), true),
        ("after=gamma&order=desc", json!(["beta", "alpha"]), false),
        ("limit=2&before=sum", json!(["beta", "gamma"]), true),
        ("limit=2&before=gamma", json!(["alpha", "beta"]), false),
        ("after=alpha&before=sum", json!(["beta", "gamma"]), false),
        ("after=sum", json!([]), false),
        ("client_version=1", all, false),
    ] {
        let list = house.get(&format!("/v1/models?{query}"), &key).await;
        list.check(&Method::GET, "/v1/models");
        let list = list.succeeded(200);
        let models = list["data"].as_array().expect("models");
        let ids: Vec<_> = models.iter().map(|model| model["id"].clone()).collect();
        assert_eq!(json!(ids), names, "{query}");
        assert_eq!(list["has_more"], has_more, "{query}");
        assert_eq!(
            list["first_id"],
            ids.first().cloned().unwrap_or_default(),
            "{query}"
        );
        assert_eq!(
            list["last_id"],
            ids.last().cloned().unwrap_or_default(),
            "{query}"
        );
    }
    for (query, code, param) in [
        ("limit=0", "invalid_value", "limit"),
        ("limit=201", "invalid_value", "limit"),
        ("limit=many", "invalid_value", "limit"),
        ("order=up", "invalid_value", "order"),
        ("after=No%20Name", "invalid_value", "after"),
        ("before=", "invalid_value", "before"),
        ("limit=1&limit=2", "duplicate_parameter", "limit"),
    ] {
        let answer = house.get(&format!("/v1/models?{query}"), &key).await;
        let answer = answer.refused(400, code);
        answer.check(&Method::GET, "/v1/models");
        assert_eq!(answer.json()["error"]["param"], param, "{query}");
    }
}

#[tokio::test]
async fn key_calls_what_its_list_names_and_its_project_holds() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    deploy(&house, &tenant).await;
    let stranger = house.tenant("other").await;
    let body = json!({"model": "sum", "input": "a"});
    let narrow = house
        .key_with(
            &tenant,
            &json!({"title": "k", "scopes": ["inference.run"], "models": ["another"]}),
        )
        .await;
    let foreign = house.key(&stranger, &["inference.run"]).await;
    for key in [&narrow, &foreign] {
        infer(&house, "/v1/embeddings", key, &body)
            .await
            .refused(404, "model_not_found");
        assert_eq!(
            house.get("/v1/models", key).await.succeeded(200)["data"],
            json!([])
        );
    }
}

#[tokio::test]
async fn bad_requests_have_their_code() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let key = house.key(&tenant, &["inference.run"]).await;
    for (body, status, code, param) in [
        (
            json!({"input": "a"}),
            400,
            "missing_required_parameter",
            Some("model"),
        ),
        (
            json!({"model": 7, "input": "a"}),
            400,
            "invalid_type",
            Some("model"),
        ),
        (json!({"model": null}), 400, "invalid_type", Some("model")),
        (json!([1]), 400, "invalid_type", Some("")),
        (
            json!({"model": "nothing", "input": "a"}),
            404,
            "model_not_found",
            Some("model"),
        ),
        (
            json!({"model": "a@b@c", "input": "a"}),
            404,
            "model_not_found",
            Some("model"),
        ),
        (
            json!({"model": "\u{0}\n", "input": "a"}),
            404,
            "model_not_found",
            Some("model"),
        ),
        (
            json!({"model": "x".repeat(5000), "input": "a"}),
            404,
            "model_not_found",
            Some("model"),
        ),
    ] {
        let answer = infer(&house, "/v1/embeddings", &key, &body)
            .await
            .refused(status, code);
        answer.check(&Method::POST, "/v1/embeddings");
        assert_eq!(answer.json()["error"]["param"].as_str(), param, "{body:.100}");
    }
    let raw = |body: Vec<u8>| {
        house
            .request(Method::POST, "/v1/embeddings", Some(&key))
            .body(body)
    };
    house
        .send(raw(b"{\"model\":\"a\",\"input\":NaN}".to_vec()))
        .await
        .refused(400, "invalid_json");
    house
        .send(raw(b"{\"model\":\"\xff\"}".to_vec()))
        .await
        .refused(400, "invalid_json");
    house
        .send(raw(vec![b'['; 90_000]))
        .await
        .refused(400, "invalid_type");
    house
        .send(raw(vec![b' '; 100_001]))
        .await
        .refused(413, "body_too_large");
    let form = raw(b"a=b".to_vec()).header("content-type", "multipart/form-data; boundary=x");
    house.send(form).await.refused(415, "content_type_unsupported");
}

#[tokio::test]
async fn length_of_the_json_before_binary_tensors_must_be_a_number() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    deploy(&house, &tenant).await;
    let key = house.key(&tenant, &["inference.run"]).await;
    for (length, status, code) in [
        ("", 400, "header_invalid"),
        ("+2", 400, "header_invalid"),
        ("2.0", 400, "header_invalid"),
        ("99999999999999999999", 400, "header_invalid"),
        // The runner would look into it.
        ("2", 503, "model_not_ready"),
    ] {
        let request = house
            .request(Method::POST, "/v2/models/sum/infer", Some(&key))
            .header("inference-header-content-length", length)
            .header("content-type", "application/octet-stream")
            .header("accept", "application/problem+json")
            .body("{}\0\0");
        house.send(request).await.refused(status, code);
    }
}

#[tokio::test]
async fn errors_of_all_surfaces_become_problems_when_asked_for() {
    let house = House::new().await;
    let parts = BTreeMap::from([
        ("/v1/models", "credentials_missing"),
        ("/v2/models/m", "credentials_missing"),
    ]);
    for (path, code) in parts {
        let request = house
            .request(Method::GET, path, None)
            .header("accept", "application/problem+json");
        let answer = house.send(request).await.refused(401, code);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["instance"].as_str(), answer.header("x-request-id"));
    }
}
