//! `/v1/embeddings` and `/v1/models`.

use serde_json::{Value, json};

use super::{Case, MODEL, case, nested};

pub(super) fn cases() -> Vec<Case> {
    const PATH: &str = "/v1/embeddings";
    let with = |what, input: Value, status, code| {
        case(
            what,
            PATH,
            json!({ "model": MODEL, "input": input }).to_string(),
            status,
            code,
        )
    };
    let field = |what, name: &str, value: Value, code| {
        let mut body = json!({ "model": MODEL, "input": "x" });
        body[name] = value;
        case(what, PATH, body.to_string(), 400, code)
    };
    vec![
        case("no body", PATH, "", 400, "invalid_json"),
        case("no JSON", PATH, "{", 400, "invalid_json"),
        case(
            "a number that JSON does not know",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":NaN}}"),
            400,
            "invalid_json",
        ),
        case("a body that is a list", PATH, "[]", 400, "invalid_type"),
        case(
            "invalid UTF-8",
            PATH,
            [&b"{\"model\":\"x\",\"input\":\""[..], &[0xff, 0xfe], b"\"}"].concat(),
            400,
            "invalid_json",
        ),
        case(
            "a lone surrogate",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":\"\\ud800\"}}"),
            400,
            "invalid_value",
        ),
        case(
            "no model",
            PATH,
            "{\"input\":\"x\"}",
            400,
            "missing_required_parameter",
        ),
        case(
            "no input",
            PATH,
            format!("{{\"model\":\"{MODEL}\"}}"),
            400,
            "missing_required_parameter",
        ),
        case(
            "a model that is no text",
            PATH,
            "{\"model\":7,\"input\":\"x\"}",
            400,
            "invalid_type",
        ),
        case(
            "an unknown model",
            PATH,
            "{\"model\":\"no-such\",\"input\":\"x\"}",
            404,
            "model_not_found",
        ),
        case(
            "an unknown version",
            PATH,
            format!("{{\"model\":\"{MODEL}@99\",\"input\":\"x\"}}"),
            404,
            "model_not_found",
        ),
        case(
            "a field twice",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":\"x\",\"input\":\"y\"}}"),
            400,
            "duplicate_parameter",
        ),
        case(
            "a body over the limit",
            PATH,
            vec![b' '; 70_000],
            413,
            "body_too_large",
        ),
        with("an empty list", json!([]), 400, "empty_input"),
        with("a number", json!(7), 400, "invalid_type"),
        with("an object", json!({}), 400, "invalid_type"),
        with("texts and tokens mixed", json!(["x", 7]), 400, "invalid_type"),
        with("a negative token", json!([-1]), 400, "token_out_of_range"),
        with(
            "a token outside the vocabulary",
            json!([4_000_000]),
            400,
            "token_out_of_range",
        ),
        with(
            "more tokens than the model reads",
            json!(vec![101; 600]),
            400,
            "context_length_exceeded",
        ),
        with(
            "more inputs than are taken",
            json!(vec!["x"; 2049]),
            400,
            "too_many_inputs",
        ),
        field("an unknown field", "color", json!("red"), "unknown_parameter"),
        field(
            "an unknown encoding",
            "encoding_format",
            json!("hex"),
            "invalid_value",
        ),
        field(
            "dimensions that the model does not have",
            "dimensions",
            json!(7),
            "unsupported_parameter",
        ),
        field("no dimensions", "dimensions", json!(0), "unsupported_parameter"),
        field(
            "a negative number of dimensions",
            "dimensions",
            json!(-1),
            "invalid_type",
        ),
        field(
            "dimensions beyond 64 bits",
            "dimensions",
            json!(1e30),
            "invalid_type",
        ),
        field("dimensions as a text", "dimensions", json!("384"), "invalid_type"),
        field(
            "an encoding that is a number",
            "encoding_format",
            json!(1),
            "invalid_type",
        ),
        field("a user that is a list", "user", json!([]), "invalid_type"),
        with("null", Value::Null, 400, "missing_required_parameter"),
        with("truth", json!(true), 400, "invalid_type"),
        with("a list of nothing", json!([null]), 400, "invalid_type"),
        with("an empty list of tokens", json!([[]]), 400, "empty_input"),
        with("an empty text", json!(""), 400, "empty_input"),
        with("an empty text among others", json!(["x", ""]), 400, "empty_input"),
        with("lists of lists of tokens", json!([[[101]]]), 400, "invalid_type"),
        with(
            "tokens and lists of them mixed",
            json!([101, [101]]),
            400,
            "invalid_type",
        ),
        with("a token that is a fraction", json!([101.5]), 400, "invalid_type"),
        with("a token beyond 64 bits", json!([1e30]), 400, "invalid_type"),
        with("a token beyond 63 bits", json!([u64::MAX]), 400, "invalid_type"),
        case(
            "lists ten thousand deep",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":{}}}", nested(10_000)),
            400,
            "invalid_type",
        ),
        case(
            "a model with a zero character",
            PATH,
            "{\"model\":\"a\\u0000b\",\"input\":\"x\"}",
            404,
            "model_not_found",
        ),
        case(
            "a model of ten thousand letters",
            PATH,
            json!({ "model": "x".repeat(10_000), "input": "x" }).to_string(),
            404,
            "model_not_found",
        ),
        case(
            "a model in invalid UTF-8",
            PATH,
            [&b"{\"model\":\""[..], &[0xc0, 0x80], b"\",\"input\":\"x\"}"].concat(),
            400,
            "invalid_json",
        ),
        case(
            "two bodies",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":\"x\"}}{{}}"),
            400,
            "invalid_json",
        ),
        case(
            "a mark of byte order",
            PATH,
            [
                &b"\xef\xbb\xbf"[..],
                json!({ "model": MODEL, "input": "x" }).to_string().as_bytes(),
            ]
            .concat(),
            400,
            "invalid_json",
        ),
        case(
            "UTF-16",
            PATH,
            json!({ "model": MODEL, "input": "x" })
                .to_string()
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<u8>>(),
            400,
            "invalid_json",
        ),
    ]
}
