//! The OpenAPI document is complete and refers to nothing that is not there.

use std::collections::{BTreeMap, BTreeSet};

use berth_api::openapi::{document, operations};
use serde_json::Value;

fn json() -> Value {
    serde_json::to_value(document(Some("https://berth.example"))).expect("serializes")
}

/// Every value under `name`, wherever it stands.
fn gather<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == name {
                    found.push(member);
                }
                gather(member, name, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, name, found)),
        _ => {}
    }
}

#[test]
fn document_is_of_openapi_3_1() {
    let document = json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    assert_eq!(document["servers"][0]["url"], "https://berth.example");
    let elsewhere = serde_json::to_value(berth_api::openapi::document(None)).expect("serializes");
    assert_eq!(elsewhere["servers"][0]["url"], "/", "where it was fetched");
}

#[test]
fn every_reference_leads_somewhere() {
    let document = json();
    let mut references = Vec::new();
    gather(&document, "$ref", &mut references);
    assert!(
        references.len() > 100,
        "the walk found {} references",
        references.len()
    );
    for reference in references {
        let pointer = reference
            .as_str()
            .and_then(|text| text.strip_prefix('#'))
            .expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_operation_is_described() {
    let document = json();
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .filter_map(|tag| tag["name"].as_str())
        .collect();
    let mut ids = BTreeSet::new();
    for operation in operations(&berth_api::openapi::document(None)) {
        let path = operation.path.replace('~', "~0").replace('/', "~1");
        let method = operation.method.as_str().to_lowercase();
        let described = document
            .pointer(&format!("/paths/{path}/{method}"))
            .expect("the operation");
        let place = format!("{method} {}", operation.path);

        let id = described["operationId"].as_str().unwrap_or_default();
        assert!(
            !id.is_empty() && ids.insert(id.to_owned()),
            "{place}: operationId {id:?}"
        );
        for field in ["summary", "description"] {
            let text = described[field].as_str().unwrap_or_default();
            assert!(!text.trim().is_empty(), "{place} has no {field}");
        }
        let tag = described["tags"][0].as_str().unwrap_or_default();
        assert!(tags.contains(tag), "{place} has the unknown tag {tag:?}");
        assert!(
            described["security"].is_array(),
            "{place} does not say who may call it"
        );
        let responses = described["responses"].as_object().expect("responses");
        assert!(
            responses
                .keys()
                .any(|status| status.starts_with('2') || status.starts_with('3')),
            "{place} never succeeds"
        );
        assert!(responses.contains_key("500"), "{place} declares no errors");
        check_parameters(&place, &operation.path, described);
    }
}

/// The names in the path and the parameters are the same.
fn check_parameters(place: &str, path: &str, described: &Value) {
    let named: BTreeSet<&str> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect();
    let empty = Vec::new();
    let declared: BTreeSet<&str> = described["parameters"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter(|parameter| parameter["in"] == "path")
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    assert_eq!(named, declared, "{place}");
}

#[test]
fn whoever_is_checked_is_told_so() {
    for operation in operations(&document(None)) {
        let described = serde_json::to_value(&operation.described).expect("serializes");
        let open = described["security"] == serde_json::json!([{}]);
        let refuses = described["responses"].get("401").is_some_and(|refusal| {
            refusal["description"]
                .as_str()
                .is_some_and(|text| text.contains("credentials_missing"))
        });
        assert_eq!(open, !refuses, "{} {}", operation.method, operation.path);
    }
}

#[test]
fn security_schemes_are_those_that_operations_name() {
    let document = json();
    let schemes: BTreeSet<String> = document["components"]["securitySchemes"]
        .as_object()
        .expect("schemes")
        .keys()
        .cloned()
        .collect();
    let mut requirements = Vec::new();
    gather(&document["paths"], "security", &mut requirements);
    let named: BTreeSet<String> = requirements
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|requirement| requirement.keys().cloned())
        .collect();
    assert_eq!(schemes, named);
}

#[test]
fn every_example_is_shown_somewhere() {
    let document = json();
    let mut references = Vec::new();
    gather(&document["paths"], "$ref", &mut references);
    let references: BTreeSet<&str> = references.into_iter().filter_map(Value::as_str).collect();
    let examples = document["components"]["examples"].as_object().expect("examples");
    assert!(examples.len() > 100, "{} examples", examples.len());
    for name in examples.keys() {
        let reference = format!("#/components/examples/{name}");
        assert!(references.contains(&*reference), "{name} is shown nowhere");
    }
}

/// Two types under one name would overwrite each other in silence; their fields would differ from what is served. The
/// names of the shared shapes are pinned here, so that a second type of the same name stands out.
#[test]
fn schemas_have_the_fields_of_their_type() {
    let document = json();
    let fields: BTreeMap<&str, &str> = [
        ("Organization", "organization_id"),
        ("Project", "project_id"),
        ("ApiKey", "api_key_id"),
        ("Role", "role_id"),
        ("Session", "session_id"),
        ("SessionTokens", "access_token"),
        ("OpenAiModel", "owned_by"),
        ("Problem", "code"),
    ]
    .into();
    for (schema, field) in fields {
        let properties = &document["components"]["schemas"][schema]["properties"];
        assert!(
            properties.get(field).is_some(),
            "{schema} has no {field}: {properties}"
        );
    }
}
