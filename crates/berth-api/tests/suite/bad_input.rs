//! What each operation answers to bodies and queries that are not as they should be: never a 500, always a code that the
//! operation declares.

use berth_api::openapi::{Operation, operations};
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, DOCUMENT};
use crate::house::{House, PASSWORD, Tenant, fill};

/// A body that fits, for each operation that takes JSON; the fields that must be there come first.
fn sample(id: &str) -> Option<Value> {
    Some(match id {
        "auth_sign_up" => json!({"email": "ada@acme.example", "password": PASSWORD, "name": "Ada"}),
        "auth_sign_in" => json!({"email": "ada@acme.example", "password": PASSWORD}),
        "auth_refresh" => json!({"refresh_token": "bthr_x"}),
        "auth_change_password" => json!({"current_password": "a", "new_password": "b"}),
        "auth_request_password_reset" => json!({"email": "ada@acme.example"}),
        "auth_confirm_password_reset" => json!({"token": "bthp_x", "new_password": PASSWORD}),
        "auth_accept_invitation" => json!({"token": "bthi_x"}),
        "organizations_create" => json!({"name": "second", "title": "Second"}),
        "organizations_update" => json!({"title": "Acme"}),
        "members_update" | "project_members_update" => json!({"role": "viewer"}),
        "invitations_create" | "project_invitations_create" => {
            json!({"email": "ada@acme.example", "role": "viewer"})
        }
        "roles_create" => json!({"name": "reader", "title": "Reader", "permissions": ["models.read"]}),
        "roles_update" => json!({"title": "Reader"}),
        "projects_create" => json!({"name": "second", "title": "Second", "origins": []}),
        "projects_update" => json!({"origins": ["https://app.example"]}),
        "service_accounts_create" => json!({"name": "ci", "title": "CI"}),
        "api_keys_create" => json!({"title": "k", "scopes": ["inference.run"], "addresses": []}),
        "api_keys_rotate" => json!({"grace_seconds": 5}),
        "models_create" => json!({"name": "m", "description": ""}),
        "models_update" => json!({"visibility": "project"}),
        "deployments_create" => json!({"name": "d", "model": "m", "versions": [{"number": 1}]}),
        "deployments_update" => json!({"stopped": true}),
        "platform_create_organization" => {
            json!({"name": "third", "title": "Third", "owner_email": "ada@acme.example"})
        }
        "platform_create_user" => json!({"email": "bob@acme.example"}),
        "platform_update_user" => json!({"operator": false}),
        _ => return None,
    })
}

struct Place {
    operation: Operation,
    method: Method,
    path: String,
    credential: Option<String>,
}

impl Place {
    async fn send(&self, house: &House, body: impl Into<reqwest::Body>, kind: Option<&str>) -> Answer {
        let mut request = house.request(self.method.clone(), &self.path, self.credential.as_deref());
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let answer = house.send(request.body(body)).await;
        answer.check(&self.method, &self.operation.path);
        answer
    }

    async fn json(&self, house: &House, body: &Value) -> Answer {
        self.send(house, body.to_string(), Some("application/json")).await
    }
}

async fn places(house: &House, tenant: &Tenant) -> Vec<Place> {
    let operator = house.operator().await;
    operations(&berth_api::openapi::document(None))
        .into_iter()
        .map(|operation| Place {
            method: operation.method.as_str().parse().expect("a method"),
            path: fill(&operation.path, &tenant.parts()),
            credential: match &operation {
                open if !is_guarded(open) => None,
                operation if operation.path.contains("/platform/") => Some(operator.clone()),
                _ => Some(tenant.token.clone()),
            },
            operation,
        })
        .collect()
}

fn is_guarded(operation: &Operation) -> bool {
    serde_json::to_value(&operation.described.security).is_ok_and(|security| security != json!([{}]))
}

fn takes_json(operation: &Operation) -> bool {
    let body = serde_json::to_value(&operation.described.request_body).unwrap_or_default();
    operation.path.starts_with("/api/") && body.pointer("/content/application~1json").is_some()
}

/// The schema of the operation's body.
fn schema(operation: &Operation) -> &'static Value {
    let body = serde_json::to_value(&operation.described.request_body).expect("serializes");
    let reference = body
        .pointer("/content/application~1json/schema/$ref")
        .and_then(Value::as_str);
    let pointer = reference
        .and_then(|reference| reference.strip_prefix('#'))
        .expect("a reference");
    DOCUMENT.pointer(pointer).expect("the schema")
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let json = Some("application/json");
    for place in places(&house, &tenant).await {
        if !takes_json(&place.operation) {
            continue;
        }
        for (body, status, code) in [
            (b"".to_vec(), 400, "invalid_json"),
            (b"{".to_vec(), 400, "invalid_json"),
            (b"NaN".to_vec(), 400, "invalid_json"),
            (b"\xff\xfe{}".to_vec(), 400, "invalid_json"),
            (b"[]".to_vec(), 400, "invalid_type"),
            (b"\"text\"".to_vec(), 400, "invalid_type"),
            (b"null".to_vec(), 400, "invalid_type"),
            (vec![b' '; 10_001], 413, "body_too_large"),
        ] {
            place.send(&house, body, json).await.refused(status, code);
        }
        place
            .send(&house, "{}", None)
            .await
            .refused(415, "content_type_unsupported");
        place
            .send(&house, "{}", Some("text/plain"))
            .await
            .refused(415, "content_type_unsupported");
        let packed = house
            .request(place.method.clone(), &place.path, place.credential.as_deref())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, "gzip")
            .body("{}");
        house
            .send(packed)
            .await
            .refused(415, "content_encoding_unsupported");
    }
}

#[tokio::test]
async fn fields_that_do_not_fit_are_named() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    for place in places(&house, &tenant).await {
        if !takes_json(&place.operation) {
            continue;
        }
        let id = place.operation.described.operation_id.clone().expect("an id");
        let fits = object(&sample(&id).unwrap_or_else(|| panic!("`{id}` has no sample here")));
        let schema = schema(&place.operation);
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();

        let mut unknown = fits.clone();
        unknown.insert("no_such_field".to_owned(), json!(1));
        named(&place, &house, unknown, "unknown_parameter", "/no_such_field").await;
        for field in &required {
            let mut missing = fits.clone();
            missing
                .remove(*field)
                .unwrap_or_else(|| panic!("the sample of `{id}` lacks `{field}`"));
            named(
                &place,
                &house,
                missing,
                "missing_required_parameter",
                &format!("/{field}"),
            )
            .await;
        }
        for field in schema["properties"].as_object().expect("properties").keys() {
            let mut wrong = fits.clone();
            wrong.insert(field.clone(), json!({"no": {"such": "value"}}));
            let body = Value::Object(wrong);
            let answer = place.json(&house, &body).await;
            assert_eq!(answer.status.as_u16(), 400, "`{field}` of {id}: {answer:?}");
            let pointer = answer.json()["errors"][0]["pointer"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert!(
                pointer.starts_with(&format!("/{field}")),
                "`{field}` of {id}: {pointer}"
            );
        }
    }
}

async fn named(place: &Place, house: &House, body: Map<String, Value>, code: &str, pointer: &str) {
    let answer = place.json(house, &Value::Object(body)).await.refused(400, code);
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", place.path);
}

#[tokio::test]
async fn queries_that_do_not_fit_are_refused() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let mut lists = 0;
    for place in places(&house, &tenant).await {
        let described = serde_json::to_value(&place.operation.described).expect("serializes");
        let pages = described["parameters"]
            .as_array()
            .is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == "after"));
        // Those of the other surfaces have rules of their own.
        if !pages || !place.operation.path.starts_with("/api/") {
            continue;
        }
        lists += 1;
        for (query, code) in [
            ("limit=0", "invalid_value"),
            ("limit=201", "invalid_value"),
            ("limit=x", "invalid_value"),
            ("limit=-1", "invalid_value"),
            ("limit=1&limit=2", "duplicate_parameter"),
            ("order=sideways", "invalid_value"),
            ("after=x", "invalid_value"),
            ("before=%FF", "invalid_value"),
            ("page=2", "unknown_parameter"),
        ] {
            let path = format!("{}?{query}", place.path);
            let request = house.request(place.method.clone(), &path, place.credential.as_deref());
            let answer = house.send(request).await;
            answer.check(&place.method, &place.operation.path);
            answer.refused(400, code);
        }
    }
    assert!(lists > 10, "{lists} lists were found");
}

#[tokio::test]
async fn paths_with_malformed_ids_are_not_found() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    for place in places(&house, &tenant).await {
        if !place.operation.path.starts_with("/api/") || !place.operation.path.contains('{') {
            continue;
        }
        for bad in [
            "x",
            "%00",
            "%F0%9F%8C%8A",
            "..",
            "org_zzzzzzzzzzzzzzzzzzzzzzzzzz",
            &"9".repeat(2000),
        ] {
            let mut parts = tenant.parts();
            for value in parts.values_mut() {
                bad.clone_into(value);
            }
            let path = fill(&place.operation.path, &parts);
            let request = house.request(place.method.clone(), &path, place.credential.as_deref());
            let answer = house.send(request.json(&json!({}))).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404 | 405 | 415),
                "{} {path:.100}: {answer:?}",
                place.method
            );
        }
    }
}

#[tokio::test]
async fn uploads_that_are_no_uploads_are_refused() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/models/m/versions?filename=m.onnx", tenant.project_root());
    let upload = |body: Vec<u8>| {
        house
            .request(Method::POST, &path, Some(&tenant.token))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body)
    };
    house.send(upload(vec![])).await.refused(400, "upload_empty");
    house
        .send(upload(vec![0; 1_000_001]))
        .await
        .refused(413, "body_too_large");
    let wrong = upload(vec![1]).header(
        "repr-digest",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
    );
    house.send(wrong).await.refused(400, "digest_mismatch");
    let malformed = upload(vec![1]).header("content-digest", "sha-256=abc");
    house.send(malformed).await.refused(400, "header_invalid");
    let form = house
        .request(Method::POST, &path, Some(&tenant.token))
        .header(CONTENT_TYPE, "multipart/form-data; boundary=x")
        .body("--x--");
    house.send(form).await.refused(415, "content_type_unsupported");
    let stream = reqwest::Body::from(vec![0; 2_000_000]);
    let endless = house
        .request(Method::POST, &path, Some(&tenant.token))
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(stream);
    house.send(endless).await.refused(413, "body_too_large");
    let models = house
        .get(&format!("{}/models", tenant.project_root()), &tenant.token)
        .await;
    assert_eq!(models.succeeded(200)["data"], json!([]), "nothing of it is kept");
}
