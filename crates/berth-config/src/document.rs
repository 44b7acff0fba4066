//! The commented settings file, as it is committed to `docs/berth.default.toml`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::schema;

const WIDTH: usize = 100;

const HEAD: &str = "\
Settings of Berth, with every field and its default. Settings are commented out: take away the # of what you
change. Fields without a default show an example.

A variable BERTH_SECTION__FIELD wins over this file. Times are written as 250ms, 30s, 10m, 2h, 7d; sizes as
512KiB, 64MiB, 10GiB. Each secret has a twin that ends in _file and names a file with the secret in it; set
exactly one of both. `berth config check` tells what is wrong with a file, all of it at once.

This file is written by `berth config default`; do not edit the copy in the repository.";

/// A settings file with every field, its meaning and its default, all commented out.
pub fn default_document() -> String {
    let schema = schema::schema_document();
    let mut out = String::new();
    comment(&mut out, HEAD);
    for (path, fields) in schema::groups().into_iter().filter(|(path, _)| !path.is_empty()) {
        let parts: Vec<_> = path.split('.').map(str::to_owned).collect();
        let Some(group) = schema::find(&schema, &parts) else {
            continue;
        };
        let Some(properties) = schema::properties(group) else {
            continue;
        };
        out.push('\n');
        comment(&mut out, description(group));
        let header = if schema::admits(group, "array") {
            format!("[[{path}]]")
        } else {
            format!("[{path}]")
        };
        // A table that may be absent means something when it is there, so it is commented out like a setting.
        let always_there = group.get("properties").is_some() && !schema::admits(group, "null");
        let _ = writeln!(out, "{}{header}", if always_there { "" } else { "#" });
        for field in fields {
            let inner = &properties[*field];
            if schema::properties(inner).is_some() {
                continue;
            }
            out.push('\n');
            comment(&mut out, description(inner));
            let _ = writeln!(out, "#{field} = {}", shown_value(inner));
        }
    }
    out
}

fn description(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The default, or an example where there is none.
fn shown_value(schema: &Value) -> String {
    let example = || schema.get("examples").and_then(|examples| examples.get(0));
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        _ => false,
    };
    let default = schema.get("default").filter(|value| !nothing(value));
    default.or_else(example).map(toml_text).unwrap_or_default()
}

/// A value as it stands behind `=` in TOML.
fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let fields: Vec<_> = table
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml_text(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Writes text as comment lines, each paragraph filled anew.
fn comment(out: &mut String, text: &str) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            out.push_str("#\n");
        }
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                out.push_str(&line);
                out.push('\n');
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
}
