//! `/v2/models/…/infer` for a model of three inputs: the shape of the request.

use serde_json::{Value, json};

use super::{Case, case, nested};

pub(super) fn cases() -> Vec<Case> {
    const PATH: &str = "/v2/models/all-minilm-l6-v2/infer";
    let input = |name: &str, datatype: &str, shape: Value, data: Value| json!({ "name": name, "datatype": datatype, "shape": shape, "data": data });
    let good = || {
        vec![
            input("input_ids", "INT64", json!([1, 2]), json!([101, 102])),
            input("attention_mask", "INT64", json!([1, 2]), json!([1, 1])),
            input("token_type_ids", "INT64", json!([1, 2]), json!([0, 0])),
        ]
    };
    let with = |what, first: Value, code| {
        let mut inputs = good();
        inputs[0] = first;
        case(what, PATH, json!({ "inputs": inputs }).to_string(), 400, code)
    };
    let request = |what, body: Value, code| case(what, PATH, body.to_string(), 400, code);
    let mut twice = good();
    twice.push(twice[0].clone());
    vec![
        case("no body", PATH, "", 400, "invalid_json"),
        case("no JSON", PATH, "no JSON", 400, "invalid_json"),
        case(
            "an unknown model",
            "/v2/models/no-such/infer",
            "{\"inputs\":[]}",
            404,
            "model_not_found",
        ),
        case(
            "a body over the limit",
            PATH,
            vec![b' '; 70_000],
            413,
            "body_too_large",
        ),
        request("no inputs", json!({}), "missing_required_parameter"),
        request(
            "an input missing",
            json!({ "inputs": good()[..2] }),
            "missing_tensor",
        ),
        request("an input twice", json!({ "inputs": twice }), "duplicate_tensor"),
        request(
            "an unknown field",
            json!({ "inputs": good(), "color": 1 }),
            "unknown_parameter",
        ),
        request(
            "an unknown output",
            json!({ "inputs": good(), "outputs": [{ "name": "no_such" }] }),
            "unknown_tensor",
        ),
        with(
            "an unknown input",
            input("no_such", "INT64", json!([1, 2]), json!([1, 2])),
            "unknown_tensor",
        ),
        with(
            "another datatype",
            input("input_ids", "FP32", json!([1, 2]), json!([1.0, 2.0])),
            "datatype_mismatch",
        ),
        with(
            "no datatype",
            input("input_ids", "INT65", json!([1, 2]), json!([1, 2])),
            "invalid_value",
        ),
        with(
            "another rank",
            input("input_ids", "INT64", json!([2]), json!([1, 2])),
            "shape_mismatch",
        ),
        with(
            "a negative dimension",
            input("input_ids", "INT64", json!([-1, 2]), json!([1, 2])),
            "invalid_value",
        ),
        with(
            "fewer elements than the shape says",
            input("input_ids", "INT64", json!([1, 2]), json!([1])),
            "data_mismatch",
        ),
        with(
            "a shape that no memory holds",
            input(
                "input_ids",
                "INT64",
                json!([1_u64 << 40, 1_u64 << 40]),
                json!([1]),
            ),
            "data_mismatch",
        ),
        with(
            "a fraction for an integer",
            input("input_ids", "INT64", json!([1, 2]), json!([1.5, 2])),
            "invalid_type",
        ),
        with(
            "a number beyond 64 bits",
            input("input_ids", "INT64", json!([1, 2]), json!([u64::MAX, 2])),
            "data_out_of_range",
        ),
        with(
            "text for a number",
            input("input_ids", "INT64", json!([1, 2]), json!(["1", 2])),
            "invalid_type",
        ),
        request("inputs that are no list", json!({ "inputs": {} }), "invalid_type"),
        request(
            "an input that is no object",
            json!({ "inputs": [7] }),
            "invalid_type",
        ),
        request("no inputs in the list", json!({ "inputs": [] }), "missing_tensor"),
        request(
            "outputs that are no list",
            json!({ "inputs": good(), "outputs": "all" }),
            "invalid_type",
        ),
        request(
            "an output twice",
            json!({ "inputs": good(), "outputs": [{ "name": "last_hidden_state" }, { "name": "last_hidden_state" }] }),
            "duplicate_tensor",
        ),
        request(
            "an id that is a number",
            json!({ "inputs": good(), "id": 7 }),
            "invalid_type",
        ),
        request(
            "parameters that are a list",
            json!({ "inputs": good(), "parameters": [] }),
            "invalid_type",
        ),
        request(
            "a sequence",
            json!({ "inputs": good(), "parameters": { "sequence_id": 1 } }),
            "unsupported_parameter",
        ),
        request(
            "an input with a zero character in its name",
            json!({ "inputs": [input("input\0ids", "INT64", json!([1, 2]), json!([1, 2]))] }),
            "unknown_tensor",
        ),
        request(
            "a thousand inputs",
            json!({ "inputs": vec![good()[0].clone(); 500] }),
            "duplicate_tensor",
        ),
        with(
            "a row of zero elements",
            input("input_ids", "INT64", json!([1, 0]), json!([])),
            "input_rejected",
        ),
        with(
            "a token outside the table",
            input("input_ids", "INT64", json!([1, 2]), json!([101, 4_000_000])),
            "input_rejected",
        ),
        with(
            "rows that do not go together",
            input("input_ids", "INT64", json!([2, 2]), json!([1, 2, 3, 4])),
            "input_rejected",
        ),
        with(
            "a list in which one row is shorter",
            input("input_ids", "INT64", json!([2, 2]), json!([[1, 2], [3]])),
            "data_mismatch",
        ),
        with(
            "forty dimensions",
            input("input_ids", "INT64", json!(vec![1; 40]), json!([1])),
            "invalid_value",
        ),
        case(
            "parameters ten thousand deep",
            PATH,
            format!("{{\"inputs\":[],\"parameters\":{{\"x\":{}}}}}", nested(10_000)),
            400,
            "missing_tensor",
        ),
        case(
            "a field twice",
            PATH,
            "{\"inputs\":[],\"inputs\":[]}",
            400,
            "duplicate_parameter",
        ),
        case(
            "invalid UTF-8",
            PATH,
            [&b"{\"id\":\""[..], &[0xff], b"\",\"inputs\":[]}"].concat(),
            400,
            "invalid_json",
        ),
        case(
            "half a surrogate pair",
            PATH,
            "{\"id\":\"\\ud800\",\"inputs\":[]}",
            400,
            "invalid_value",
        ),
        case(
            "a version that is not there",
            "/v2/models/all-minilm-l6-v2/versions/99/infer",
            "{\"inputs\":[]}",
            404,
            "model_not_found",
        ),
        case(
            "a version that is no number",
            "/v2/models/all-minilm-l6-v2/versions/first/infer",
            "{\"inputs\":[]}",
            404,
            "model_not_found",
        ),
    ]
}
