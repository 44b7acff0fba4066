use berth_domain::tensor::Dimension;

use super::*;

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: shape.iter().map(|&extent| Dimension::Fixed(extent)).collect(),
    }
}

fn parse(body: &str) -> Result<Request, (Code, Option<String>)> {
    let inputs = [
        spec("a", Datatype::Fp32, &[-1, 2]),
        spec("7", Datatype::Int64, &[]),
    ];
    let outputs = [spec("y", Datatype::Fp32, &[-1]), spec("z", Datatype::Bool, &[-1])];
    read(body, None, &inputs, &outputs).map_err(|failure| (failure.code, failure.param))
}

/// Reads JSON, with `tail` in binary after it.
fn read(
    json: &str,
    tail: Option<&[u8]>,
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
) -> Result<Request, Failure> {
    let request = InferRequest {
        operation: Operation::OipInfer.into(),
        body: [json.as_bytes(), tail.unwrap_or_default()].concat().into(),
        header_bytes: tail.map(|_| json.len() as u64),
        ..InferRequest::default()
    };
    Request::parse(&request, inputs, outputs)
}

/// Whether each output is wanted in binary.
fn binary(request: &Request) -> Vec<bool> {
    match &request.form {
        Form::Rest { binary, .. } => binary.clone(),
        Form::Grpc { .. } => unreachable!("it came by REST"),
    }
}

const A: &str = r#"{"name":"a","datatype":"FP32","shape":[1,2],"data":[1,2]}"#;
const SEVEN: &str = r#"{"name":"7","datatype":"INT64","shape":[],"data":[5]}"#;

#[test]
fn request_with_everything_is_read() {
    let body = format!(
        r#"{{"id":"r-1","parameters":{{"timeout":1,"binary_data_output":false}},"inputs":[{SEVEN},{A}],
            "outputs":[{{"name":"z","parameters":{{"binary_data":false}}}}]}}"#
    );
    let request = parse(&body).expect("it is read");
    let form = Form::Rest {
        id: Some("r-1".to_owned()),
        binary: vec![false],
    };
    assert_eq!(request.form, form);
    assert_eq!(request.outputs, ["z"]);
    assert_eq!(
        request.inputs[0],
        ("7".to_owned(), Tensor::new(vec![], vec![5i64]).expect("fits"))
    );
    assert_eq!(
        request.inputs[1],
        (
            "a".to_owned(),
            Tensor::new(vec![1, 2], vec![1f32, 2.0]).expect("fits")
        )
    );
}

#[test]
fn all_outputs_come_when_none_is_named() {
    for outputs in ["", r#","outputs":[]"#, r#","outputs":null"#] {
        let body = format!(r#"{{"inputs":[{A},{SEVEN}]{outputs}}}"#);
        assert_eq!(parse(&body).expect("it is read").outputs, ["y", "z"]);
    }
}

#[test]
fn bad_requests_name_the_code_and_the_field() {
    let with_a = |a: &str| format!(r#"{{"inputs":[{a},{SEVEN}]}}"#);
    let with = |rest: &str| format!(r#"{{"inputs":[{A},{SEVEN}],{rest}}}"#);
    for (body, code, param) in [
        ("{}".to_owned(), Code::MissingParameter, "inputs"),
        (r#"{"inputs":{}}"#.to_owned(), Code::InvalidType, "inputs"),
        (r#"{"inputs":[7]}"#.to_owned(), Code::InvalidType, "inputs[0]"),
        (format!(r#"{{"inputs":[{A}]}}"#), Code::MissingTensor, "inputs"),
        (
            format!(r#"{{"inputs":[{A},{A}]}}"#),
            Code::DuplicateTensor,
            "inputs[1].name",
        ),
        (
            with_a(&A.replace("\"a\"", "\"b\"")),
            Code::UnknownTensor,
            "inputs[0].name",
        ),
        (
            with_a(&A.replace("\"a\"", "1")),
            Code::InvalidType,
            "inputs[0].name",
        ),
        (
            with_a(&A.replace("FP32", "FP64")),
            Code::DatatypeMismatch,
            "inputs[0].datatype",
        ),
        (
            with_a(&A.replace("FP32", "FLOAT")),
            Code::InvalidValue,
            "inputs[0].datatype",
        ),
        (
            with_a(&A.replace("[1,2],", "[1,3],")),
            Code::ShapeMismatch,
            "inputs[0].shape",
        ),
        (
            with_a(&A.replace("[1,2],", "[2],")),
            Code::ShapeMismatch,
            "inputs[0].shape",
        ),
        (
            with_a(&A.replace("[1,2],", "[-1,2],")),
            Code::InvalidValue,
            "inputs[0].shape[0]",
        ),
        (
            with_a(&A.replace("[1,2],", "[1.0,2],")),
            Code::InvalidType,
            "inputs[0].shape[0]",
        ),
        (
            with_a(&A.replace("[1,2],", "7,")),
            Code::InvalidType,
            "inputs[0].shape",
        ),
        (
            with_a(&A.replace("[1,2]}", "[1]}")),
            Code::DataMismatch,
            "inputs[0].data",
        ),
        (
            with_a(&A.replace(r#","data":[1,2]"#, "")),
            Code::MissingParameter,
            "inputs[0].data",
        ),
        (
            with_a(&A.replace("data\"", "date\"")),
            Code::MissingParameter,
            "inputs[0].data",
        ),
        (
            with_a(&A.replace("\"data\"", "\"extra\":1,\"data\"")),
            Code::UnknownParameter,
            "inputs[0].extra",
        ),
        (
            with_a(&A.replace("\"data\"", "\"parameters\":{\"binary_data_size\":8},\"data\"")),
            Code::InvalidValue,
            "inputs[0].data",
        ),
        (
            with_a(&A.replace("\"data\":[1,2]", "\"parameters\":{\"binary_data_size\":8}")),
            Code::InvalidValue,
            "inputs[0].parameters.binary_data_size",
        ),
        (
            with_a(&A.replace("\"data\"", "\"parameters\":{\"sequence_id\":8},\"data\"")),
            Code::UnsupportedParameter,
            "inputs[0].parameters.sequence_id",
        ),
        (
            with(r#""outputs":[{"name":"x"}]"#),
            Code::UnknownTensor,
            "outputs[0].name",
        ),
        (
            with(r#""outputs":[{"name":"y"},{"name":"y"}]"#),
            Code::DuplicateTensor,
            "outputs[1].name",
        ),
        (with(r#""outputs":["y"]"#), Code::InvalidType, "outputs[0]"),
        (
            with(r#""outputs":[{"name":"y","parameters":{"classification":2}}]"#),
            Code::UnsupportedParameter,
            "outputs[0].parameters.classification",
        ),
        (
            with(r#""outputs":[{"name":"y","parameters":{"binary_data":1}}]"#),
            Code::InvalidType,
            "outputs[0].parameters.binary_data",
        ),
        (with(r#""parameters":[]"#), Code::InvalidType, "parameters"),
        (with(r#""id":7"#), Code::InvalidType, "id"),
        (with(r#""model":"m""#), Code::UnknownParameter, "model"),
    ] {
        assert_eq!(
            parse(&body).expect_err(&body),
            (code, Some(param.to_owned())),
            "{body}"
        );
    }
}

#[test]
fn outputs_are_binary_where_they_are_wanted_so() {
    for (rest, expected) in [
        (r#""parameters":{"binary_data_output":true}"#, [true, true]),
        (
            r#""outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z"}]"#,
            [true, false],
        ),
        (
            r#""parameters":{"binary_data_output":true},"outputs":[{"name":"y","parameters":{"binary_data":false}},{"name":"z"}]"#,
            [false, true],
        ),
    ] {
        let body = format!(r#"{{"inputs":[{A},{SEVEN}],{rest}}}"#);
        let request = parse(&body).expect("it is read");
        assert_eq!(request.outputs, ["y", "z"], "{rest}");
        assert_eq!(binary(&request), expected, "{rest}");
    }
}

/// An input in binary.
fn in_binary(name: &str, datatype: &str, shape: &str, size: usize) -> String {
    format!(
        r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"parameters":{{"binary_data_size":{size}}}}}"#
    )
}

#[test]
fn inputs_in_binary_follow_in_their_order() {
    let specs = [
        spec("h", Datatype::Fp16, &[-1]),
        spec("t", Datatype::Bytes, &[1]),
        spec("7", Datatype::Int64, &[]),
    ];
    let (t, h) = (
        in_binary("t", "BYTES", "[1]", 6),
        in_binary("h", "FP16", "[2]", 4),
    );
    let tail = [2, 0, 0, 0, b'h', b'i', 0, 0x3c, 0, 0];
    let body = format!(r#"{{"inputs":[{t},{SEVEN},{h}]}}"#);
    let request = read(&body, Some(&tail), &specs, &[]).expect("is read");
    let names: Vec<_> = request.inputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["t", "7", "h"]);
    let bytes = Tensor::new(vec![1], vec![b"hi".to_vec()]).expect("fits");
    assert_eq!(request.inputs[0].1, bytes);
    assert_eq!(request.inputs[2].1.datatype(), Datatype::Fp16);
    assert_eq!(request.inputs[2].1.shape(), [2]);
}

#[test]
fn bytes_that_do_not_fit_the_json_are_refused() {
    let specs = [spec("h", Datatype::Fp16, &[-1])];
    let one = |shape: &str, size| format!(r#"{{"inputs":[{}]}}"#, in_binary("h", "FP16", shape, size));
    let size = "inputs[0].parameters.binary_data_size";
    for (body, tail, code, param) in [
        (one("[2]", 4), 3, Code::DataMismatch, size),
        (one("[2]", 4), 5, Code::DataMismatch, "inputs"),
        (one("[3]", 4), 4, Code::DataMismatch, size),
        (one("[2]", usize::MAX), 4, Code::DataMismatch, size),
        (one("[2]", 4).replace(":4}", ":-4}"), 4, Code::InvalidType, size),
        (
            one("[2]", 4).replace(":4}", ":\"4\"}"),
            4,
            Code::InvalidType,
            size,
        ),
        (
            one("[2]", 4).replace("\"shape\"", "\"data\":[1,2],\"shape\""),
            4,
            Code::InvalidValue,
            "inputs[0].data",
        ),
    ] {
        let failure = read(&body, Some(&vec![0; tail]), &specs, &[]).expect_err(&body);
        assert_eq!(
            (failure.code, failure.param.as_deref()),
            (code, Some(param)),
            "{body}"
        );
    }
    let long = InferRequest {
        operation: Operation::OipInfer.into(),
        body: one("[2]", 4).into(),
        header_bytes: Some(1000),
        ..InferRequest::default()
    };
    let failure = Request::parse(&long, &specs, &[]).expect_err("the JSON ends too early");
    assert_eq!(failure.code, Code::DataMismatch);
}

#[test]
fn body_without_json_is_the_only_input() {
    let outputs = [spec("y", Datatype::Fp32, &[-1])];
    let lone = |inputs: &[TensorSpec], bytes: &[u8]| read("", Some(bytes), inputs, &outputs);
    for (declared, bytes, shape) in [
        (&[-1, 2][..], 8, &[1, 2][..]),
        (&[-1, 2], 24, &[3, 2]),
        (&[-1, -1], 12, &[1, 3]),
        (&[2], 8, &[2]),
        (&[], 4, &[]),
    ] {
        let request = lone(&[spec("x", Datatype::Fp32, declared)], &vec![0; bytes]).expect("is read");
        assert_eq!(request.inputs[0].1.shape(), shape, "{declared:?}");
        assert_eq!(binary(&request), [true]);
    }
    let text = lone(&[spec("t", Datatype::Bytes, &[-1, 1])], b"all of it").expect("is read");
    let whole = Tensor::new(vec![1, 1], vec![b"all of it".to_vec()]).expect("fits");
    assert_eq!(text.inputs[0].1, whole);
    for (inputs, bytes, code) in [
        (vec![spec("x", Datatype::Fp32, &[-1, 2])], 12, Code::DataMismatch),
        (vec![spec("x", Datatype::Fp32, &[-1, 0])], 12, Code::DataMismatch),
        (vec![spec("t", Datatype::Bytes, &[2])], 12, Code::DataMismatch),
        (vec![], 0, Code::MissingTensor),
        (vec![spec("x", Datatype::Fp32, &[1]); 2], 4, Code::MissingTensor),
    ] {
        assert_eq!(lone(&inputs, &vec![0; bytes]).expect_err("is refused").code, code);
    }
}

proptest::proptest! {
    #[test]
    fn any_end_of_the_json_is_read_or_refused(header in 0u64..200, tail in proptest::collection::vec(proptest::num::u8::ANY, 0..20)) {
        let specs = [spec("h", Datatype::Fp16, &[-1])];
        let json = format!(r#"{{"inputs":[{}]}}"#, in_binary("h", "FP16", "[2]", 4));
        let fits = header == json.len() as u64 && tail.len() == 4;
        let request = InferRequest {
            operation: Operation::OipInfer.into(),
            body: [json.as_bytes(), &tail].concat().into(),
            header_bytes: Some(header),
            ..InferRequest::default()
        };
        let read = Request::parse(&request, &specs, &[]);
        // Without JSON all of it is one tensor, if it has an even number of bytes.
        let lone = header == 0 && (json.len() + tail.len()).is_multiple_of(2);
        proptest::prop_assert_eq!(read.is_ok(), fits || lone);
    }
}

#[test]
fn half_precision_has_no_json_form() {
    let half = [spec("h", Datatype::Fp16, &[1])];
    let body = r#"{"inputs":[{"name":"h","datatype":"FP16","shape":[1],"data":[1]}]}"#;
    let failure = read(body, None, &half, &[]).expect_err("no JSON form");
    assert_eq!(failure.code, Code::DatatypeWithoutJsonForm);
    let failure = read(r#"{"inputs":[]}"#, None, &[], &half).expect_err("no JSON form");
    assert_eq!(failure.code, Code::OutputNotRepresentable);
    let binary = r#"{"inputs":[],"parameters":{"binary_data_output":true}}"#;
    assert!(read(binary, None, &[], &half).is_ok());
}

#[test]
fn what_the_public_description_allows_is_read() {
    let body = format!(r#"{{"id":"r","parameters":{{}},"inputs":[{A},{SEVEN}],"outputs":[{{"name":"y"}}]}}"#);
    let public: berth_wire::oip::InferRequest<'_> = serde_json::from_str(&body).expect("the public form");
    let written = serde_json::to_string(&public).expect("serializes");
    assert_eq!(parse(&written).expect("it is read").outputs, ["y"]);
}

/// A request whose long lists are read apart from the rest.
fn with_long_lists() -> String {
    let numbers: Vec<String> = (0..200).map(|index| format!("{}.25e-1", index - 100)).collect();
    let flat = numbers.join(",");
    let nested = numbers.join("],[");
    format!(
        r#"{{"id":"r","inputs":[{{"name":"a","datatype":"FP32","shape":[200],"data":[{flat}]}},{{"name":"b","datatype":"FP64","shape":[200,1],"data": [[{nested}]] }},{{"name":"c","data":[7],"datatype":"FP32","shape":[1]}}]}}"#
    )
}

fn long_specs() -> [TensorSpec; 3] {
    [
        spec("a", Datatype::Fp32, &[-1]),
        spec("b", Datatype::Fp64, &[-1, 1]),
        spec("c", Datatype::Fp32, &[1]),
    ]
}

#[test]
fn long_lists_are_read_apart_and_the_request_is_the_same() {
    let (json, specs) = (with_long_lists(), long_specs());
    let hoisted = super::Hoisted::of(json.as_bytes()).expect("two lists are long");
    let apart = super::read(hoisted.rest(), None, Some(&hoisted), (&specs, &[])).expect("is read");
    assert!(hoisted.is_used_up());
    let together = super::read(json.as_bytes(), None, None, (&specs, &[])).expect("is read");
    assert_eq!(format!("{apart:?}"), format!("{together:?}"));
}

proptest::proptest! {
    #[test]
    fn reading_long_lists_apart_changes_nothing(place in 0usize..6000, byte in 0usize..24, cut in 0usize..3) {
        const BYTES: &[u8; 24] = b"0129-+.eE,:[]{}\"\\ \ndatn\xff";
        let mut json = with_long_lists().into_bytes();
        let place = place % json.len();
        match cut {
            0 => json[place] = BYTES[byte],
            1 => json.insert(place, BYTES[byte]),
            _ => {
                json.remove(place);
            }
        }
        let specs = long_specs();
        let either = super::parse(&json, None, &specs, &[]).map_err(|failure| (failure.code, failure.message));
        let plain = super::read(&json, None, None, (&specs, &[])).map_err(|failure| (failure.code, failure.message));
        proptest::prop_assert_eq!(format!("{:?}", either), format!("{:?}", plain));
    }
}
