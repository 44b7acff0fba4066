//! JSON that says where it is wrong.

use std::borrow::Cow;

use actix_web::http::header::{self, HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::errors::{Code, Failure, pointer};

const FORM: &str = "application/x-www-form-urlencoded";

/// `body`, which must be an object, as a `T`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Failure::new(
            Code::InvalidJson,
            format!("The body is not valid UTF-8 at byte {}.", error.valid_up_to()),
        )
    })?;
    refuse_other_than_object(text)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| refusal(text, error.path(), error.inner()))?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// As [`parse`], for what will be kept: the character U+0000 is refused in every text, since Postgres keeps none.
pub(super) fn parse_kept<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let value = parse(body)?;
    refuse_zero_characters(body)?;
    Ok(value)
}

/// In valid JSON the character is always an escape.
fn refuse_zero_characters(json: &[u8]) -> Result<(), Failure> {
    if !has_zero_escape(json) {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    let told = "a text holds the character U+0000";
    let at = find_zero(&value).map(pointer).unwrap_or_default();
    let detail = format!("The field `{at}` is not as it should be: {told}.");
    Err(Failure::new(Code::InvalidValue, detail).field(at, told))
}

fn has_zero_escape(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(place) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[place + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        // What follows may be a backslash itself, and begins no further escape then.
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// Where a text with the character U+0000 stands, as a key or as a value.
fn find_zero(value: &Value) -> Option<Vec<Cow<'_, str>>> {
    let below = |key, value| {
        find_zero(value).map(|mut path| {
            path.insert(0, key);
            path
        })
    };
    match value {
        Value::String(text) => text.contains('\0').then(Vec::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| below(Cow::Owned(index.to_string()), item)),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            if key.contains('\0') {
                return Some(vec![Cow::Borrowed(key.as_str())]);
            }
            below(Cow::Borrowed(key), value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Serde would read a list as the fields of a structure, in the order in which they happen to be declared.
fn refuse_other_than_object(text: &str) -> Result<(), Failure> {
    let first = text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .as_bytes()
        .first();
    if matches!(first, Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) {
        let told = "the body should be a JSON object";
        return Err(Failure::new(Code::InvalidType, "The body should be a JSON object.").field("", told));
    }
    Ok(())
}

fn malformed(error: &serde_json::Error) -> Failure {
    Failure::new(Code::InvalidJson, format!("The body is not valid JSON: {error}."))
}

fn refusal(text: &str, path: &Path, error: &serde_json::Error) -> Failure {
    if !error.is_data() {
        return match serde_json::from_str::<Value>(text) {
            // A number where one of several names should be is told as if it were no JSON.
            Ok(_) => {
                let pointer = pointer(path.iter().filter_map(part));
                let told = "one of the names that the description lists should stand here";
                let detail = format!("The field `{pointer}` is not as it should be: {told}.");
                Failure::new(Code::InvalidType, detail).field(pointer, told)
            }
            Err(error) => malformed(&error),
        };
    }
    let told = error.to_string();
    // The position means something to people who look at text, not to those who look at a field.
    let told = told.split(" at line ").next().unwrap_or_default();
    let (code, pointer) = judge(path, told);
    let detail = if pointer.is_empty() {
        format!("The body is not as it should be: {told}.")
    } else {
        format!("The field `{pointer}` is not as it should be: {told}.")
    };
    Failure::new(code, detail).field(pointer, told)
}

/// What kind of fault it is, and where. Serde tells it in words alone; a field that is missing or unknown is pointed at
/// itself, not its parent.
fn judge(path: &Path, told: &str) -> (Code, String) {
    let mut parts: Vec<Cow<'_, str>> = path.iter().filter_map(part).collect();
    let (code, named) = kind(told);
    if let Some(name) = named
        && parts.last().is_none_or(|last| last != name)
    {
        parts.push(Cow::Borrowed(name));
    }
    (code, pointer(parts))
}

/// What serde tells, as a code, with the name of the field that it names.
pub(super) fn kind(told: &str) -> (Code, Option<&str>) {
    for (begin, code) in [
        ("missing field `", Code::MissingParameter),
        ("unknown field `", Code::UnknownParameter),
        ("duplicate field `", Code::DuplicateParameter),
    ] {
        if let Some(rest) = told.strip_prefix(begin) {
            return (code, rest.split('`').next());
        }
    }
    if told.starts_with("invalid type:") {
        (Code::InvalidType, None)
    } else {
        (Code::InvalidValue, None)
    }
}

fn part(segment: &Segment) -> Option<Cow<'_, str>> {
    match segment {
        Segment::Seq { index } => Some(Cow::Owned(index.to_string())),
        Segment::Map { key } => Some(Cow::Borrowed(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The content type must say JSON.
pub(super) fn accept_strict(headers: &HeaderMap) -> Result<(), Failure> {
    match media_type(headers) {
        Some(kind) if is_json(&kind) => Ok(()),
        Some(kind) => Err(unsupported(&kind)),
        None => Err(Failure::new(
            Code::ContentTypeUnsupported,
            "The header `content-type` is missing; it should be `application/json`.",
        )),
    }
}

/// The content type may be absent, as some clients of the Open Inference Protocol send none, but not another one.
/// Without one, HTTP libraries like to say `application/x-www-form-urlencoded` or `application/octet-stream`.
pub(super) fn accept_lenient(headers: &HeaderMap) -> Result<(), Failure> {
    match media_type(headers) {
        Some(kind) if !is_json(&kind) && kind != "application/octet-stream" && kind != FORM => {
            Err(unsupported(&kind))
        }
        _ => Ok(()),
    }
}

/// The content type must say that it is a form.
pub(super) fn accept_form(headers: &HeaderMap) -> Result<(), Failure> {
    if media_type(headers).is_some_and(|kind| kind == FORM) {
        return Ok(());
    }
    Err(Failure::new(
        Code::ContentTypeUnsupported,
        format!("The body should be a form, `{FORM}`."),
    ))
}

fn unsupported(kind: &str) -> Failure {
    Failure::new(
        Code::ContentTypeUnsupported,
        format!(
            "The body is `{}`; it should be `application/json`.",
            kind.escape_default()
        ),
    )
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The content type in lower case, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    text.split(';')
        .next()
        .map(|kind| kind.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses matters")]
    struct Order {
        title: String,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses matters")]
    struct Item {
        count: u8,
        #[serde(default)]
        size: Option<Size>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        Small,
        Large,
    }

    fn refused(body: &[u8]) -> (Code, Option<String>) {
        let failure = parse::<Order>(body).expect_err("refused");
        (
            failure.code(),
            failure.fields().first().map(|field| field.pointer.clone()),
        )
    }

    #[test]
    fn field_at_fault_is_named() {
        use Code::{DuplicateParameter, InvalidType, InvalidValue, MissingParameter, UnknownParameter};
        for (body, code, at) in [
            (r#"{"title":7}"#, InvalidType, "/title"),
            (r"{}", MissingParameter, "/title"),
            (r#"{"title":"a","tilte":"b"}"#, UnknownParameter, "/tilte"),
            (r#"{"title":"a","title":"b"}"#, DuplicateParameter, "/title"),
            (
                r#"{"title":"a","items":[{"count":1},{"count":300}]}"#,
                InvalidValue,
                "/items/1/count",
            ),
            (
                r#"{"title":"a","items":[{}]}"#,
                MissingParameter,
                "/items/0/count",
            ),
            (
                r#"{"title":"a","items":[{"count":1,"a/b":2}]}"#,
                UnknownParameter,
                "/items/0/a~1b",
            ),
            (
                r#"{"title":"a","items":[{"count":1,"size":7}]}"#,
                InvalidType,
                "/items/0/size",
            ),
            (
                r#"{"title":"a","items":[{"count":1,"size":"huge"}]}"#,
                InvalidValue,
                "/items/0/size",
            ),
            (r"[]", InvalidType, ""),
            (r#" ["a", []]"#, InvalidType, ""),
            (&"[".repeat(100_000), InvalidType, ""),
            (r"null", InvalidType, ""),
        ] {
            assert_eq!(
                refused(body.as_bytes()),
                (code, Some(at.to_owned())),
                "{body:.60}"
            );
        }
    }

    #[test]
    fn zero_characters_are_refused_wherever_they_stand() {
        for (body, at) in [
            (r#"{"title":"a\u0000b"}"#, "/title"),
            (r#"{"title":"\\\u0000"}"#, "/title"),
            (r#"{"title":"\n\"\u0000"}"#, "/title"),
        ] {
            let failure = parse_kept::<Order>(body.as_bytes()).expect_err(body);
            assert_eq!(failure.code(), Code::InvalidValue);
            assert_eq!(failure.fields()[0].pointer, at, "{body}");
            assert!(parse::<Order>(body.as_bytes()).is_ok(), "kept nowhere: {body}");
        }
        for body in [r#"{"title":"\\u0000"}"#, r#"{"title":"u0000 \u0001 \\\\u0000"}"#] {
            assert!(parse_kept::<Order>(body.as_bytes()).is_ok(), "{body}");
        }
        let nested = serde_json::json!({"items": ["", {"a/b": "\0"}], "z": 1});
        assert_eq!(find_zero(&nested).map(pointer).as_deref(), Some("/items/1/a~1b"));
        let key = serde_json::json!({"a": {"b\0": 1}});
        assert_eq!(find_zero(&key).map(pointer).as_deref(), Some("/a/b\0"));
    }

    #[test]
    fn what_is_no_json_is_told_apart() {
        for body in ["", "{", r#"{"title":NaN}"#, r#"{"title":"a"} x"#, "NaN"] {
            assert_eq!(refused(body.as_bytes()).0, Code::InvalidJson, "{body:.20}");
        }
        let deep = format!(r#"{{"items":{}"#, "[".repeat(100_000));
        assert_eq!(refused(deep.as_bytes()).0, Code::InvalidType);
        assert_eq!(refused(b"{\"title\":\"\xff\"}").0, Code::InvalidJson);
    }

    #[test]
    fn content_types_are_read_leniently_where_clients_need_it() {
        let headers = |kind: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                let value = header::HeaderValue::from_str(kind).expect("a header");
                headers.insert(header::CONTENT_TYPE, value);
            }
            headers
        };
        for (kind, strict, lenient) in [
            (Some("application/json"), true, true),
            (Some("Application/JSON; charset=utf-8"), true, true),
            (Some("application/merge-patch+json"), true, true),
            (None, false, true),
            (Some("application/octet-stream"), false, true),
            (Some("text/plain"), false, false),
            (Some("multipart/form-data; boundary=x"), false, false),
        ] {
            let headers = headers(kind);
            assert_eq!(accept_strict(&headers).is_ok(), strict, "{kind:?}");
            assert_eq!(accept_lenient(&headers).is_ok(), lenient, "{kind:?}");
        }
    }
}
