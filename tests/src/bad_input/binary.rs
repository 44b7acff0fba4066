//! Tensors in binary behind the JSON.

use super::{Binary, Case, MODEL, case};

const PATH: &str = "/v2/models/all-minilm-l6-v2/infer";

/// A request with the header that says how long its JSON is.
fn binary(what: &'static str, header_length: &str, body: impl Into<Vec<u8>>, code: &'static str) -> Case {
    let mut case = case(what, PATH, body, 400, code);
    case.binary = Some(Binary {
        header_length: header_length.to_owned(),
    });
    case
}

fn json(size: &str) -> String {
    let input = |name: &str| {
        format!(
            r#"{{"name":"{name}","datatype":"INT64","shape":[1,2],"parameters":{{"binary_data_size":{size}}}}}"#
        )
    };
    let inputs = ["input_ids", "attention_mask", "token_type_ids"].map(input);
    format!(r#"{{"inputs":[{}]}}"#, inputs.join(","))
}

pub(super) fn cases() -> Vec<Case> {
    let right = json("16");
    let whole = [right.as_bytes(), &[0; 48]].concat();
    let length = right.len().to_string();
    let in_json = |what, body: String, code| case(what, PATH, body, 400, code);
    vec![
        binary("a length of no JSON at all", "0", whole.clone(), "missing_tensor"),
        binary("a length beyond the body", "1000000", whole.clone(), "data_mismatch"),
        binary("a length in the middle of the JSON", "20", whole.clone(), "invalid_json"),
        binary("a negative length", "-1", whole.clone(), "header_invalid"),
        binary(
            "a length beyond 64 bits",
            "18446744073709551616",
            whole.clone(),
            "header_invalid",
        ),
        binary("a length that is no number", "many", whole.clone(), "header_invalid"),
        binary("no length", "", whole.clone(), "header_invalid"),
        binary(
            "bytes missing",
            &length,
            whole[..whole.len() - 8].to_vec(),
            "data_mismatch",
        ),
        binary(
            "bytes too many",
            &length,
            [&whole[..], &[0; 8]].concat(),
            "data_mismatch",
        ),
        binary(
            "sizes that do not fit the shape",
            &length,
            [json("17").as_bytes(), &[0; 51]].concat(),
            "data_mismatch",
        ),
        binary(
            "a negative size",
            &json("-8").len().to_string(),
            json("-8"),
            "invalid_type",
        ),
        binary(
            "a size beyond 64 bits",
            &json("18446744073709551616").len().to_string(),
            json("18446744073709551616"),
            "invalid_type",
        ),
        in_json("binary sizes without their header", right, "invalid_value"),
        in_json(
            "an answer in binary",
            format!(r#"{{"inputs":[],"parameters":{{"binary_data_output":true}},"model":"{MODEL}"}}"#),
            "missing_tensor",
        ),
        in_json(
            "an output in binary",
            r#"{"inputs":[],"outputs":[{"name":"last_hidden_state","parameters":{"binary_data":true}}]}"#.to_owned(),
            "missing_tensor",
        ),
        in_json(
            "memory that is shared",
            r#"{"inputs":[{"name":"input_ids","datatype":"INT64","shape":[1,2],"parameters":{"shared_memory_region":"r","shared_memory_byte_size":16}}]}"#.to_owned(),
            "unsupported_parameter",
        ),
    ]
}

/// The length before the text is longer than what follows.
/// A request to the model of every datatype.
pub(super) fn text_too_short() -> Case {
    let inputs = ["BOOL", "UINT8"].map(|name| {
        format!(
            r#"{{"name":"{name}","datatype":"{name}","shape":[1],"parameters":{{"binary_data_size":1}}}}"#
        )
    });
    let text = r#"{"name":"BYTES","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":8}}"#;
    let json = format!(r#"{{"inputs":[{text},{}]}}"#, inputs.join(","));
    let length = json.len().to_string();
    let body = [json.as_bytes(), &[0xff, 0xff, 0xff, 0xff], b"lie!", &[1, 2]].concat();
    let mut case = binary("a text shorter than it says", &length, body, "data_mismatch");
    case.path = "/v2/models/every-type/infer";
    case
}
