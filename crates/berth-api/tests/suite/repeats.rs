//! Requests that are sent again under the same `idempotency-key`.

use berth_api::openapi::{Operation, operations};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, DOCUMENT};
use crate::furniture::{prove, upload};
use crate::house::{House, Tenant, fill, text};

const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";

/// Operations that make something without taking a key, and why doing them twice does no harm.
const WITHOUT: [(&str, &str); 3] = [
    (
        "auth_sign_up",
        "the address is taken, and signing in gives what was lost",
    ),
    (
        "platform_create_user",
        "the address is taken, and another link can be had",
    ),
    ("platform_create_password_link", "another link does no harm"),
];

async fn send(house: &House, path: &str, credential: &str, key: &str, body: &Value) -> Answer {
    let request = house.request(Method::POST, path, Some(credential));
    house.send(request.header(KEY, key).json(body)).await
}

fn key_body() -> Value {
    json!({"title": "ci", "scopes": ["models.read"]})
}

fn keys_of(tenant: &Tenant) -> String {
    format!("{}/api-keys", tenant.project_root())
}

async fn count(house: &House, path: &str, credential: &str) -> usize {
    let listed = house.get(path, credential).await.succeeded(200);
    listed["data"].as_array().expect("a list").len()
}

/// Whether the operation takes the header.
fn takes_key(operation: &Operation) -> bool {
    let described = serde_json::to_value(&operation.described).expect("serializes");
    let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
    parameters
        .iter()
        .any(|parameter| parameter["name"] == KEY && parameter["in"] == "header")
}

#[tokio::test]
async fn lost_answer_is_given_again_with_the_secret() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = keys_of(&tenant);
    let first = send(&house, &path, &tenant.token, "one", &key_body()).await;
    assert!(first.header(REPLAYED).is_none());
    for quoted in ["one", "\"one\""] {
        let again = send(&house, &path, &tenant.token, quoted, &key_body()).await;
        assert_eq!(again.header(REPLAYED), Some("true"));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        assert_eq!(again.body, first.body);
    }
    let secret = text(&first.succeeded(201)["secret"]);
    house.get("/api/v1/auth/me", &secret).await.succeeded(200);
    assert_eq!(count(&house, &path, &tenant.token).await, 1);
    send(&house, &path, &tenant.token, "two", &key_body())
        .await
        .succeeded(201);
    assert_eq!(count(&house, &path, &tenant.token).await, 2);
}

#[tokio::test]
async fn many_at_once_make_one_key() {
    let house = House::with(|options| options.threads = 4).await;
    let tenant = house.tenant("acme").await;
    let path = keys_of(&tenant);
    let body = key_body();
    let answers = join_all((0..12).map(|_| send(&house, &path, &tenant.token, "one", &body))).await;
    let mut made = Vec::new();
    for answer in answers {
        if answer.status.as_u16() == 201 {
            made.push(answer.body);
        } else {
            let refused = answer.refused(409, "idempotency_key_in_use");
            assert_eq!(refused.header("x-should-retry"), Some("true"));
            assert!(refused.header("retry-after").is_some());
        }
    }
    let again = send(&house, &path, &tenant.token, "one", &body).await;
    assert!(made.iter().all(|body| *body == again.body));
    assert!(!made.is_empty());
    assert_eq!(count(&house, &path, &tenant.token).await, 1);
}

#[tokio::test]
async fn key_of_another_request_is_refused() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = keys_of(&tenant);
    send(&house, &path, &tenant.token, "one", &key_body())
        .await
        .succeeded(201);
    let mut other = key_body();
    other["title"] = json!("another");
    let refused = send(&house, &path, &tenant.token, "one", &other)
        .await
        .refused(422, "idempotency_key_reused");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let body = json!({"name": "side", "title": "Side"});
    let projects = format!("{}/projects", tenant.root());
    // Another route knows nothing of it; another project on the same route does.
    let side = send(&house, &projects, &tenant.token, "one", &body)
        .await
        .succeeded(201);
    let side = Tenant {
        project: text(&side["project_id"]),
        ..tenant.clone()
    };
    send(&house, &keys_of(&side), &tenant.token, "one", &key_body())
        .await
        .refused(422, "idempotency_key_reused");
    // Somebody else of the organization is told no secret.
    let admin = house.member(&tenant, "admin@acme.example", "admin").await;
    send(&house, &path, &admin, "one", &key_body())
        .await
        .refused(422, "idempotency_key_reused");
    assert_eq!(count(&house, &path, &tenant.token).await, 1);
}

#[tokio::test]
async fn organizations_know_nothing_of_each_others_keys() {
    let house = House::new().await;
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let mut secrets = Vec::new();
    for tenant in [&acme, &other] {
        let made = send(&house, &keys_of(tenant), &tenant.token, "one", &key_body()).await;
        assert!(made.header(REPLAYED).is_none());
        secrets.push(text(&made.succeeded(201)["secret"]));
    }
    assert_ne!(secrets[0], secrets[1]);
}

#[tokio::test]
async fn answer_is_for_those_who_still_may_ask() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = keys_of(&tenant);
    let admin = house.member(&tenant, "admin@acme.example", "admin").await;
    send(&house, &path, &admin, "one", &key_body())
        .await
        .succeeded(201);
    let members = format!("{}/members", tenant.root());
    let listed = house.get(&members, &tenant.token).await.succeeded(200);
    let member = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|member| member["email"] == "admin@acme.example");
    let member = text(&member.expect("the admin")["membership_id"]);
    house
        .delete(&format!("{members}/{member}"), &tenant.token)
        .await
        .succeeded(204);
    send(&house, &path, &admin, "one", &key_body())
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn refused_request_does_not_use_its_key_up() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = format!("{}/models", tenant.project_root());
    let body = json!({"name": "iris"});
    house.post(&path, &tenant.token, &body).await.succeeded(201);
    for _ in 0..2 {
        send(&house, &path, &tenant.token, "one", &body)
            .await
            .refused(409, "name_taken");
    }
    house
        .delete(&format!("{path}/iris"), &tenant.token)
        .await
        .succeeded(204);
    send(&house, &path, &tenant.token, "one", &body)
        .await
        .succeeded(201);
    // Now it is used up: what was answered stands, whatever became of the model.
    house
        .delete(&format!("{path}/iris"), &tenant.token)
        .await
        .succeeded(204);
    let again = send(&house, &path, &tenant.token, "one", &body).await;
    assert_eq!(again.header(REPLAYED), Some("true"));
    again.succeeded(201);
    assert_eq!(count(&house, &path, &tenant.token).await, 0);
}

#[tokio::test]
async fn key_is_rotated_once() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let path = keys_of(&tenant);
    let made = house.post(&path, &tenant.token, &key_body()).await.succeeded(201);
    let rotate = format!("{path}/{}/rotate", text(&made["api_key_id"]));
    let body = json!({"grace_seconds": 600});
    let first = send(&house, &rotate, &tenant.token, "one", &body).await;
    let again = send(&house, &rotate, &tenant.token, "one", &body).await;
    assert_eq!(again.header(REPLAYED), Some("true"));
    assert_eq!(again.body, first.body);
    let new = text(&first.succeeded(200)["secret"]);
    for secret in [&text(&made["secret"]), &new] {
        house.get("/api/v1/auth/me", secret).await.succeeded(200);
    }
}

#[tokio::test]
async fn everything_that_takes_a_key_answers_again() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let operator = house.operator().await;
    let (root, project) = (tenant.root(), tenant.project_root());
    let named = json!({"name": "fresh", "title": "Fresh"});
    let guest = json!({"email": "guest@acme.example", "role": "viewer"});
    let role = json!({"name": "reader", "title": "Reader", "permissions": ["models.read"]});
    let models = format!("{project}/models");
    house
        .post(&models, &tenant.token, &json!({"name": "adder"}))
        .await
        .succeeded(201);
    let version = upload(&house, &tenant, "adder", b"adder").await;
    prove(&house, version).await;
    let deployed = json!({"name": "fresh", "model": "adder"});
    let mut owned = named.clone();
    owned["name"] = json!("owned");
    owned["owner_email"] = json!("somebody@owned.example");
    for (path, credential, body) in [
        ("/api/v1/organizations".to_owned(), &tenant.token, &named),
        ("/api/v1/platform/organizations".to_owned(), &operator, &owned),
        (format!("{root}/projects"), &tenant.token, &named),
        (format!("{root}/roles"), &tenant.token, &role),
        (format!("{root}/invitations"), &tenant.token, &guest),
        (format!("{project}/invitations"), &tenant.token, &guest),
        (format!("{project}/service-accounts"), &tenant.token, &named),
        (format!("{project}/api-keys"), &tenant.token, &key_body()),
        (models, &tenant.token, &json!({"name": "fresh"})),
        (format!("{project}/deployments"), &tenant.token, &deployed),
    ] {
        let first = send(&house, &path, credential, "one", body).await;
        assert_eq!(first.status.as_u16(), 201, "{path}: {first:?}");
        assert!(first.header(REPLAYED).is_none(), "{path}");
        let before = house.database.rows().await.expect("the rows");
        let again = send(&house, &path, credential, "one", body).await;
        assert_eq!(again.header(REPLAYED), Some("true"), "{path}");
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!(
            house.database.rows().await.expect("the rows"),
            before,
            "{path} changed something"
        );
    }
}

#[tokio::test]
async fn malformed_keys_are_refused_wherever_one_is_taken() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let operator = house.operator().await;
    let before = house.database.rows().await.expect("the rows");
    let long = "k".repeat(256);
    let mut taken = 0;
    for operation in operations(&berth_api::openapi::document(None)) {
        if !takes_key(&operation) {
            continue;
        }
        taken += 1;
        let path = fill(&operation.path, &tenant.parts());
        let credential = if operation.path.contains("/platform/") {
            &operator
        } else {
            &tenant.token
        };
        for keys in [
            &[b"".as_slice()] as &[&[u8]],
            &[b"\"\""],
            &[b"\"open"],
            &[b"a\tb"],
            &["schl\u{fc}ssel".as_bytes()],
            &[long.as_bytes()],
            &[b"one", b"two"],
        ] {
            let mut request = house
                .request(Method::POST, &path, Some(credential))
                .json(&json!({}));
            if operation.path.ends_with("/versions") {
                request = house
                    .request(Method::POST, &path, Some(credential))
                    .header("content-type", "application/octet-stream")
                    .body("bytes");
            }
            for key in keys {
                request = request.header(KEY, *key);
            }
            let answer = house.send(request).await;
            answer.check(&Method::POST, &operation.path);
            answer.refused(400, "idempotency_key_invalid");
        }
    }
    assert_eq!(taken, 12, "operations that take a key");
    assert_eq!(house.database.rows().await.expect("the rows"), before);
}

#[test]
fn whatever_makes_something_takes_a_key() {
    for operation in operations(&berth_api::openapi::document(None)) {
        let id = operation.described.operation_id.clone().expect("an id");
        let pointer = format!(
            "/paths/{}/{}/responses",
            operation.path.replace('~', "~0").replace('/', "~1"),
            operation.method.as_str().to_lowercase()
        );
        let responses = DOCUMENT.pointer(&pointer).expect("responses");
        let makes = operation.method.as_str() == "POST"
            && operation.path.starts_with("/api/")
            && (responses.get("201").is_some() || id == "api_keys_rotate");
        let excused = WITHOUT.iter().any(|(without, _)| *without == id);
        assert_eq!(takes_key(&operation), makes && !excused, "{id}");
        if takes_key(&operation) {
            for (status, response) in responses.as_object().expect("an object") {
                let says = response["headers"].get(REPLAYED).is_some();
                assert_eq!(says, status.starts_with('2'), "{id}: {status}");
            }
            for (status, code) in [
                ("400", "idempotency_key_invalid"),
                ("409", "idempotency_key_in_use"),
                ("422", "idempotency_key_reused"),
            ] {
                let description = responses[status]["description"].as_str().unwrap_or_default();
                assert!(description.contains(code), "{id} does not declare `{code}`");
            }
        }
    }
}
