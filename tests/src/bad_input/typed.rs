//! `/v2/models/…/infer` for a model with an input of every datatype: elements that do not fit theirs.

use anyhow::Result;
use berth_test_support::onnx_models::{echo, element};
use serde_json::Value;

use super::{Case, case};
use crate::tenant::Tenant;

/// The model that takes everything that has a JSON form.
const MODEL: &str = "every-type";
const PATH: &str = "/v2/models/every-type/infer";

/// A model of half precision, which has no JSON form.
const HALF: &str = "half";
const HALF_PATH: &str = "/v2/models/half/infer";

/// A datatype, its ONNX number, two elements of it, and elements that are none: of another type, out of range.
struct Datatype {
    name: &'static str,
    element: i64,
    good: [&'static str; 2],
    other: &'static [&'static str],
    beyond: &'static [&'static str],
}

/// What no number is.
const NO_NUMBER: &[&str] = &["\"1\"", "true", "null", "\"NaN\"", "{}"];
/// What no whole number is.
const NO_INTEGER: &[&str] = &["1.5", "1.0", "1e2", "\"1\"", "true", "null", "{}"];

const DATATYPES: [Datatype; 12] = [
    Datatype {
        name: "BOOL",
        element: element::BOOL,
        good: ["true", "false"],
        other: &["1", "0", "\"true\"", "null", "{}"],
        beyond: &[],
    },
    Datatype {
        name: "UINT8",
        element: element::UINT8,
        good: ["0", "255"],
        other: NO_INTEGER,
        beyond: &["256", "-1", "18446744073709551616"],
    },
    Datatype {
        name: "UINT16",
        element: element::UINT16,
        good: ["0", "65535"],
        other: NO_INTEGER,
        beyond: &["65536", "-1"],
    },
    Datatype {
        name: "UINT32",
        element: element::UINT32,
        good: ["0", "4294967295"],
        other: NO_INTEGER,
        beyond: &["4294967296", "-1"],
    },
    Datatype {
        name: "UINT64",
        element: element::UINT64,
        good: ["0", "18446744073709551615"],
        other: NO_INTEGER,
        beyond: &["18446744073709551616", "-1"],
    },
    Datatype {
        name: "INT8",
        element: element::INT8,
        good: ["-128", "127"],
        other: NO_INTEGER,
        beyond: &["128", "-129"],
    },
    Datatype {
        name: "INT16",
        element: element::INT16,
        good: ["-32768", "32767"],
        other: NO_INTEGER,
        beyond: &["32768", "-32769"],
    },
    Datatype {
        name: "INT32",
        element: element::INT32,
        good: ["-2147483648", "2147483647"],
        other: NO_INTEGER,
        beyond: &["2147483648", "-2147483649"],
    },
    Datatype {
        name: "INT64",
        element: element::INT64,
        good: ["-9223372036854775808", "9223372036854775807"],
        other: NO_INTEGER,
        beyond: &["9223372036854775808", "-9223372036854775809"],
    },
    Datatype {
        name: "FP32",
        element: element::FLOAT,
        good: ["-1.5e38", "7"],
        other: NO_NUMBER,
        beyond: &["1e39", "-1e39"],
    },
    Datatype {
        name: "FP64",
        element: element::DOUBLE,
        good: ["-1.5e308", "7"],
        other: NO_NUMBER,
        beyond: &["1e309", "-1e309"],
    },
    Datatype {
        name: "BYTES",
        element: element::STRING,
        good: ["\"\"", "\"a\\u0000\u{1F600}\""],
        other: &["1", "true", "null", "{}", "\"\\ud800\"", "\"\\udc00\\ud800\""],
        beyond: &[],
    },
];

/// Uploads both models and waits until they answer.
pub(super) async fn serve(tenant: &Tenant) -> Result<()> {
    let inputs = DATATYPES.map(|datatype| (datatype.name, datatype.element));
    tenant.serve(MODEL, "model.onnx", echo(&inputs)).await?;
    let half = echo(&[("h", element::FLOAT16)]);
    tenant.serve(HALF, "model.onnx", half).await
}

fn input(name: &str, datatype: &str, shape: &str, data: &str) -> String {
    format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"data":{data}}}"#)
}

/// A request in which everything is right but the input that `changed` gives for one datatype.
fn request(changed: Option<(&Datatype, &str)>) -> String {
    let inputs: Vec<String> = DATATYPES
        .iter()
        .map(|datatype| match changed {
            Some((other, input)) if other.name == datatype.name => input.to_owned(),
            _ => {
                let data = format!("[{},{}]", datatype.good[0], datatype.good[1]);
                input(datatype.name, datatype.name, "[2]", &data)
            }
        })
        .collect();
    format!(r#"{{"inputs":[{}]}}"#, inputs.join(","))
}

/// The request that is right, which shows that what is refused in the others is what is wrong in them.
pub(super) fn good() -> (&'static str, String) {
    (PATH, request(None))
}

/// What must come back for [`good`].
pub(super) fn assert_echoed(answer: &Value) {
    for datatype in &DATATYPES {
        let name = format!("{}_out", datatype.name);
        let outputs = answer["outputs"].as_array().expect("a list");
        let output = outputs
            .iter()
            .find(|output| output["name"] == name.as_str())
            .expect("is there");
        assert_eq!(output["datatype"], datatype.name);
        let sent: Value = serde_json::from_str(&format!("[{}]", datatype.good.join(","))).expect("is JSON");
        // The same number may have another text: `7` and `7.0`, or fewer digits where fewer tell it apart.
        let as_numbers = |value: &Value| -> Vec<String> {
            let elements = value.as_array().into_iter().flatten();
            let numbers = elements.filter_map(Value::as_f64);
            numbers.map(|number| format!("{number:.2e}")).collect()
        };
        if datatype.name.starts_with("FP") {
            assert_eq!(as_numbers(&output["data"]), as_numbers(&sent), "{name}");
        } else {
            assert_eq!(output["data"], sent, "{name}");
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "half precision, which has no JSON form",
            HALF_PATH,
            format!(r#"{{"inputs":[{}]}}"#, input("h", "FP16", "[1]", "[1]")),
            400,
            "datatype_without_json_form",
        ),
        case(
            "another datatype for half precision",
            HALF_PATH,
            format!(r#"{{"inputs":[{}]}}"#, input("h", "FP32", "[1]", "[1]")),
            400,
            "datatype_mismatch",
        ),
    ];
    for datatype in &DATATYPES {
        let name = datatype.name;
        let [first, second] = datatype.good;
        let both = format!("[{first},{second}]");
        let mut add = |what: &str, changed: String, code| {
            let body = request(Some((datatype, &changed)));
            cases.push(case(format!("{name}: {what}"), PATH, body, 400, code));
        };
        for other in datatype.other {
            let code = if *other == "{}" {
                "data_mismatch"
            } else {
                "invalid_type"
            };
            let data = format!("[{first},{other}]");
            add(
                &format!("the element {other}"),
                input(name, name, "[2]", &data),
                code,
            );
        }
        for beyond in datatype.beyond {
            let data = format!("[{first},{beyond}]");
            let wrong = input(name, name, "[2]", &data);
            add(&format!("the element {beyond}"), wrong, "data_out_of_range");
        }
        for (what, shape, data, code) in [
            ("NaN", "[2]", "[NaN,NaN]", "invalid_json"),
            ("infinity", "[2]", "[Infinity,1]", "invalid_json"),
            ("one element too few", "[3]", &both, "data_mismatch"),
            ("one element too many", "[1]", &both, "data_mismatch"),
            ("no elements", "[2]", "[]", "data_mismatch"),
            ("elements for none", "[0]", &both, "data_mismatch"),
            ("no list", "[2]", first, "invalid_type"),
            ("no data", "[2]", "null", "missing_required_parameter"),
            ("a rank too many", "[1,2]", &both, "shape_mismatch"),
            ("no rank", "[]", first, "shape_mismatch"),
            ("a negative dimension", "[-2]", &both, "invalid_value"),
            (
                "a dimension of 2^63",
                "[9223372036854775808]",
                &both,
                "data_mismatch",
            ),
            (
                "a dimension of 2^64",
                "[18446744073709551616]",
                &both,
                "invalid_type",
            ),
            ("a dimension that is a fraction", "[2.0]", &both, "invalid_type"),
            ("a dimension that is a text", "[\"2\"]", &both, "invalid_type"),
            ("a shape that is a number", "2", &both, "invalid_type"),
        ] {
            add(what, input(name, name, shape, data), code);
        }
        let deep = format!("[{},{}{first}{}]", first, "[".repeat(100), "]".repeat(100));
        add(
            "an element in a hundred lists",
            input(name, name, "[2]", &deep),
            "data_mismatch",
        );
        let deepest = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        add(
            "ten thousand lists",
            input(name, name, "[2]", &deepest),
            "data_mismatch",
        );
        let lower = name.to_lowercase();
        add(
            "the datatype in small letters",
            input(name, &lower, "[2]", &both),
            "invalid_value",
        );
        let other = if name == "INT64" { "FP32" } else { "INT64" };
        add(
            "another datatype",
            input(name, other, "[2]", &both),
            "datatype_mismatch",
        );
        add(
            "the datatype FP8",
            input(name, "FP8", "[2]", &both),
            "invalid_value",
        );
    }
    cases
}
