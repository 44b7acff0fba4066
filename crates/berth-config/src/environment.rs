//! Environment variables as settings: `BERTH_SECTION__FIELD`.

use std::ffi::OsString;

use serde_json::{Map, Value};

use crate::check::Origins;
use crate::{Origin, Problem, keys, schema};

const PREFIX: &str = "BERTH_";
const SEPARATOR: &str = "__";

/// Puts the settings among `variables` into `tree`. A variable without the two underscores is none of the settings
/// (`BERTH_CONFIG`); one that leads nowhere is told.
pub(crate) fn overlay(
    tree: &mut Value,
    variables: &[(OsString, OsString)],
    schema: &Value,
    origins: &mut Origins,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(path) = name.strip_prefix(PREFIX).filter(|rest| rest.contains(SEPARATOR)) else {
            continue;
        };
        let parts: Vec<String> = path.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
        let path = parts.join(".");
        let mut tell = |message: String| {
            problems.push(Problem {
                path: path.clone(),
                message,
                origin: Origin::Variable(name.to_owned()),
            });
        };
        let Some(field) = schema::find(schema, &parts) else {
            let nearest = keys::nearest(&path).map(|path| variable_name(&path));
            tell(keys::unknown_message(nearest.as_deref()));
            continue;
        };
        let Some(text) = value.to_str() else {
            tell("is not valid UTF-8".to_owned());
            continue;
        };
        match parse(text, field) {
            Ok(value) => {
                set(tree, &parts, value);
                origins.variables.insert(path, name.to_owned());
            }
            Err(message) => tell(message),
        }
    }
}

/// The variable that sets a path.
pub(crate) fn variable_name(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', SEPARATOR).to_ascii_uppercase())
}

/// Reads a variable as the type that its setting has. What does not fit is left as text, so that the setting itself
/// says what it wants.
fn parse(text: &str, schema: &Value) -> Result<Value, String> {
    let kind = |name| schema::admits(schema, name);
    if kind("boolean") {
        return Ok(text.parse().map_or_else(|_| text.into(), Value::Bool));
    }
    if kind("integer") {
        return Ok(text.parse::<i64>().map_or_else(|_| text.into(), Value::from));
    }
    if kind("number") {
        return Ok(text.parse::<f64>().map_or_else(|_| text.into(), Value::from));
    }
    if kind("array") && !text.trim_start().starts_with('[') {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Ok(items.map(Value::from).collect());
    }
    if kind("array") || kind("object") {
        return toml_value(text);
    }
    Ok(text.into())
}

/// Reads a list or table as it would stand behind `=` in the settings file.
fn toml_value(text: &str) -> Result<Value, String> {
    let read: Result<Map<String, Value>, _> = toml::from_str(&format!("value = {text}"));
    // The parser's own message would quote the line, and the line may hold a secret.
    let unreadable =
        || "cannot be read: write it as it would stand behind `=` in the settings file".to_owned();
    read.ok()
        .and_then(|mut table| table.remove("value"))
        .ok_or_else(unreadable)
}

fn set(tree: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    if let Value::Object(table) = tree {
        set(table.entry(first.as_str()).or_insert(Value::Null), rest, value);
    }
}
