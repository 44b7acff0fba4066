//! Answers as they are compared: whole, with what differs from run to run taken out.

use chrono::DateTime;
use serde_json::{Map, Value};

/// Names of fields whose texts are secret, or drawn at random.
const RANDOM: [&str; 5] = ["secret", "token", "access_token", "refresh_token", "public_id"];

/// `value` with `<time>` for times, `<prefix>` for ids and `<random>` for secrets.
pub(crate) fn snapshot(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(field).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().map(snapshot).collect(),
        Value::String(text) => match kind(text) {
            Some(kind) => format!("<{kind}>").into(),
            None => value.clone(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn field((name, value): (&String, &Value)) -> (String, Value) {
    let value = if RANDOM.contains(&name.as_str()) && value.is_string() {
        "<random>".into()
    } else {
        snapshot(value)
    };
    (name.clone(), value)
}

fn kind(text: &str) -> Option<&str> {
    if DateTime::parse_from_rfc3339(text).is_ok_and(|_| text.ends_with('Z')) {
        return Some("time");
    }
    let (prefix, id) = text.split_once('_')?;
    let is_id = id.len() == 26 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_id.then_some(prefix)
}

/// The items of a page.
#[track_caller]
pub(crate) fn items(page: &Value) -> Vec<Value> {
    let mut fields: Vec<&String> = page.as_object().expect("a page").keys().collect();
    fields.sort_unstable();
    assert_eq!(fields, ["data", "first_id", "has_more", "last_id"], "{page}");
    page["data"].as_array().expect("items").clone()
}

/// The texts of a field of all items of a page, in order.
#[track_caller]
pub(crate) fn texts(page: &Value, field: &str) -> Vec<String> {
    let mut texts: Vec<String> = items(page)
        .iter()
        .map(|item| item[field].as_str().expect("a text").to_owned())
        .collect();
    texts.sort_unstable();
    texts
}
