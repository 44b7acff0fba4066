//! Every operation of `/api` that the server describes: bodies, paths and queries that are not as they should be.

use std::collections::BTreeMap;

use reqwest::{Client, Method};
use serde_json::{Map, Value, json};

use super::{nested, samples};
use crate::installation::OneMachine;
use crate::tenant::{Answer, Tenant, http};

/// The most that the server takes of somebody whom it does not know yet.
const STRANGERS_BYTES: usize = 16 << 10;

/// An operation, as the server describes it, with a path that leads to something.
struct Operation {
    id: String,
    method: Method,
    template: String,
    parameters: Vec<Value>,
    /// The fields of its JSON body, if it takes one.
    fields: Option<Vec<String>>,
    credential: String,
}

/// Sends requests and collects the answers that should not be.
struct Attack {
    client: Client,
    address: String,
    places: BTreeMap<&'static str, String>,
    asked: usize,
    wrong: Vec<String>,
}

impl Attack {
    fn path(&self, operation: &Operation) -> String {
        self.places
            .iter()
            .fold(operation.template.clone(), |path, (name, value)| {
                path.replace(&format!("{{{name}}}"), value)
            })
    }

    async fn send(&mut self, operation: &Operation, path: &str, body: Option<&str>) -> Answer {
        let mut request = self
            .client
            .request(operation.method.clone(), format!("{}{path}", self.address))
            .bearer_auth(&operation.credential);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        self.asked += 1;
        let answer = request.send().await.expect("the server answers");
        Answer::read(answer).await.expect("is whole")
    }

    /// Sends a body; `codes` are those that it may get, and none of them means that any refusal will do.
    async fn body(&mut self, operation: &Operation, what: &str, body: &str, codes: &[&str]) {
        let path = self.path(operation);
        let answer = self.send(operation, &path, Some(body)).await;
        let code = answer.code().unwrap_or_default();
        // Of a stranger, large bodies are refused before they are looked at.
        let too_large = body.len() > STRANGERS_BYTES && code == "body_too_large";
        let right = codes.is_empty() || codes.contains(&code) || too_large;
        let fits = answer.status.is_client_error() && right;
        if !fits {
            let id = &operation.id;
            self.wrong
                .push(format!("{id} {what}: {} {:.200}", answer.status, answer.text));
        }
    }
}

fn operations(document: &Value, tenant: &str, operator: &str) -> Vec<Operation> {
    let mut found = Vec::new();
    for (template, methods) in document["paths"].as_object().expect("paths") {
        if !template.starts_with("/api/") {
            continue;
        }
        for (method, described) in methods.as_object().expect("methods") {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            let Some(id) = described["operationId"].as_str() else {
                continue;
            };
            let schema = &described["requestBody"]["content"]["application/json"]["schema"];
            let schema = schema["$ref"].as_str().and_then(|reference| {
                let pointer = reference.strip_prefix('#')?;
                document.pointer(pointer)
            });
            let names = |schema: &Value| {
                let fields = schema["properties"].as_object().expect("fields");
                fields.keys().cloned().collect()
            };
            found.push(Operation {
                id: id.to_owned(),
                method,
                template: template.clone(),
                parameters: described["parameters"].as_array().cloned().unwrap_or_default(),
                fields: schema.map(names),
                credential: if template.contains("/platform/") {
                    operator.to_owned()
                } else {
                    tenant.to_owned()
                },
            });
        }
    }
    found
}

/// `sample` with another value, as JSON text, for one field.
fn with(sample: &Map<String, Value>, field: &str, value: &str) -> String {
    let mut fields: Vec<String> = sample
        .iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    fields.push(format!("{}:{value}", json!(field)));
    format!("{{{}}}", fields.join(","))
}

/// Everything that can be wrong with a body.
async fn attack_bodies(attack: &mut Attack, operation: &Operation) {
    const NO_JSON: &[&str] = &["invalid_json"];
    const ANY: &[&str] = &[];
    let Some(fields) = &operation.fields else { return };
    let sample = samples::body(&operation.id).unwrap_or_else(|| panic!("`{}` has no sample", operation.id));
    let sample = sample.as_object().expect("an object").clone();
    let whole = Value::Object(sample.clone()).to_string();

    let list = nested(10_000);
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for (what, body, codes) in [
        ("cut off", &whole[..whole.len() - 1], NO_JSON),
        ("twice", &format!("{whole}{whole}"), NO_JSON),
        ("lists ten thousand deep", &list, &["invalid_type"]),
        (
            "objects ten thousand deep",
            &objects,
            &["unknown_parameter", "invalid_json"],
        ),
        (
            "a field of no name",
            &with(&sample, "", "1"),
            &["unknown_parameter"],
        ),
        (
            "a field with a zero character",
            &with(&sample, "a\0b", "1"),
            &["unknown_parameter"],
        ),
        (
            "a field of 100,000 letters",
            &with(&sample, &"x".repeat(100_000), "1"),
            &["unknown_parameter"],
        ),
        (
            "a hundred thousand fields",
            &format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000)),
            &["unknown_parameter"],
        ),
    ] {
        attack.body(operation, what, body, codes).await;
    }
    for (number, field) in fields.iter().enumerate() {
        let twice = with(&sample, field, &format!("1,{}:1", json!(field)));
        let attempts = [
            ("twice", twice, ANY),
            ("NaN", with(&sample, field, "NaN"), NO_JSON),
            (
                "half a surrogate pair",
                with(&sample, field, "\"\\ud800\""),
                NO_JSON,
            ),
            (
                "a bare control character",
                with(&sample, field, "\"\u{1}\""),
                NO_JSON,
            ),
            (
                "a zero character",
                with(&sample, field, "\"a\\u0000b\""),
                &["invalid_value", "invalid_type"],
            ),
            (
                "a zero character in a list",
                with(&sample, field, "[\"a\\u0000b\"]"),
                &["invalid_value", "invalid_type"],
            ),
            (
                "lists ten thousand deep",
                with(&sample, field, &list),
                &["invalid_type", "invalid_value", "invalid_json"],
            ),
            (
                "a number beyond 64 bits",
                with(&sample, field, "18446744073709551616"),
                &["invalid_type", "invalid_value"],
            ),
            (
                "a number beyond all",
                with(&sample, field, "1e400"),
                &["invalid_json", "invalid_type"],
            ),
            (
                "a negative number",
                with(&sample, field, "-1"),
                &["invalid_type", "invalid_value"],
            ),
            ("a fraction", with(&sample, field, "1.5"), &["invalid_type"]),
            (
                "an object",
                with(&sample, field, "{\"no\":{\"such\":\"value\"}}"),
                ANY,
            ),
        ];
        // Large bodies take long, and all fields go the same way.
        let huge = [
            (
                "900,000 letters",
                with(&sample, field, &json!("x".repeat(900_000)).to_string()),
                ANY,
            ),
            (
                "two million letters",
                with(&sample, field, &json!("x".repeat(2_000_000)).to_string()),
                &["body_too_large"],
            ),
        ];
        let huge = huge.into_iter().filter(|_| number == 0);
        for (what, body, codes) in attempts.into_iter().chain(huge) {
            attack
                .body(operation, &format!("`{field}` {what}"), &body, codes)
                .await;
        }
    }
}

/// What names nothing in a path.
async fn attack_paths(attack: &mut Attack, operation: &Operation) {
    let long = "9".repeat(2000);
    for name in ["%00", "%FF%2f", "018f2d6c-0000-7000-8000-000000000000", &long] {
        for (place, _) in attack.places.clone() {
            let braces = format!("{{{place}}}");
            if !operation.template.contains(&braces) {
                continue;
            }
            let right = attack.places.insert(place, name.to_owned()).expect("was there");
            let path = attack.path(operation);
            attack.places.insert(place, right);
            let body = operation.fields.as_ref().map(|_| "{}");
            let answer = attack.send(operation, &path, body).await;
            let status = answer.status.as_u16();
            if !matches!(status, 400 | 404 | 415) {
                attack.wrong.push(format!(
                    "{} at {path:.200}: {status} {:.200}",
                    operation.method, answer.text
                ));
            }
        }
    }
}

/// Queries that no list understands.
async fn attack_queries(attack: &mut Attack, operation: &Operation) {
    let pages = operation
        .parameters
        .iter()
        .any(|parameter| parameter["name"] == "after");
    if !pages {
        return;
    }
    let long = format!("after={}", "x".repeat(20_000));
    for query in [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=18446744073709551616",
        "limit=1.5",
        "limit=",
        "limit=%00",
        "limit=1&limit=2",
        "order=sideways",
        "order=%FF",
        "after=",
        "after=%00",
        "after=%FF%FE",
        "after=x",
        "after=018f2d6c-0000-7000-8000-000000000000",
        "before=%F0%9F%98%80",
        "before=req_01jd0000000000000000000000",
        "after[]=x",
        "page=2",
        "%00=1",
        &long,
    ] {
        let path = format!("{}?{query}", attack.path(operation));
        let answer = attack.send(operation, &path, None).await;
        if answer.status.as_u16() != 400 {
            let (id, status) = (&operation.id, answer.status);
            attack
                .wrong
                .push(format!("{id}?{query:.100}: {status} {:.200}", answer.text));
        }
    }
}

/// Makes what paths lead to.
async fn places(tenant: &Tenant) -> BTreeMap<&'static str, String> {
    let organization = format!("/api/v1/organizations/{}", tenant.organization);
    let make = async |path: &str, body: Value, id: &str| {
        let made = tenant.post(path, &body).await.expect("the server answers");
        made.accepted().expect("is made").text_of(id).expect("has an id")
    };
    let members = tenant.get(&format!("{organization}/members")).await;
    let member = &members.expect("the server answers").body["data"][0];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let role = json!({ "name": "reader", "title": "Reader", "permissions": ["models.read"] });
    let invitation = json!({ "email": "dan@example.com", "role": "viewer" });
    let account = json!({ "name": "ci", "title": "CI" });
    [
        ("organization_id", tenant.organization.clone()),
        ("project_id", tenant.project.clone()),
        ("membership_id", text(&member["membership_id"])),
        ("user_id", text(&member["user_id"])),
        (
            "role_id",
            make(&format!("{organization}/roles"), role, "role_id").await,
        ),
        (
            "invitation_id",
            make(
                &format!("{organization}/invitations"),
                invitation,
                "invitation_id",
            )
            .await,
        ),
        (
            "service_account_id",
            make(&tenant.path("/service-accounts"), account, "service_account_id").await,
        ),
        ("api_key_id", tenant.make_key().await.expect("makes a key").id),
        (
            "model_id",
            make(&tenant.path("/models"), json!({ "name": "m" }), "model_id").await,
        ),
        ("name", "m".to_owned()),
        ("number", "1".to_owned()),
        ("session_id", "sess_01jd0000000000000000000000".to_owned()),
    ]
    .into()
}

#[tokio::test]
async fn bad_requests_to_the_control_plane_are_refused() {
    let state = OneMachine::state().expect("a folder");
    // Guessing is not what this is about.
    let settings = [
        ("BERTH_AUTH__THROTTLE__SIGN_IN_PER_ACCOUNT", "100000"),
        ("BERTH_AUTH__THROTTLE__SIGN_IN_PER_ADDRESS", "100000"),
        ("BERTH_AUTH__THROTTLE__SIGN_UP_PER_ADDRESS", "100000"),
        ("BERTH_AUTH__THROTTLE__RESET_PER_ACCOUNT", "100000"),
        ("BERTH_AUTH__THROTTLE__RESET_PER_ADDRESS", "100000"),
    ];
    let machine = OneMachine::start_with(state.path(), false, &settings)
        .await
        .expect("starts");
    let address = machine.told("address").expect("is told").to_owned();
    let tenant = Tenant::sign_up(&address, "tenant").await.expect("signs up");
    let sign_in = json!({
        "email": machine.told("email").expect("is told"),
        "password": machine.told("password").expect("is told"),
    });
    let operator = tenant.post("/api/v1/auth/sign-in", &sign_in).await;
    let operator = operator
        .expect("the server answers")
        .text_of("access_token")
        .expect("signs in");
    let document = tenant
        .get("/openapi.json")
        .await
        .expect("the server answers")
        .body;
    let operations = operations(&document, &tenant.token, &operator);
    assert!(operations.len() > 60, "{} operations", operations.len());

    let mut attack = Attack {
        client: http(),
        places: places(&tenant).await,
        address,
        asked: 0,
        wrong: Vec::new(),
    };
    for operation in &operations {
        attack_bodies(&mut attack, operation).await;
        attack_paths(&mut attack, operation).await;
        attack_queries(&mut attack, operation).await;
    }
    let Attack { asked, wrong, .. } = attack;
    assert!(asked > 1000, "{asked} requests");
    assert!(wrong.is_empty(), "{} of {asked}: {wrong:#?}", wrong.len());
    let log = machine.process.output();
    assert!(!log.contains("ERROR request"), "no fault of the server: {log}");
}
