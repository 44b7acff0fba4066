use std::collections::BTreeMap;

use berth_domain::tensor::Dimension;
use berth_inference::tensor::Fill;
use berth_wire::oip::grpc::inference::infer_parameter::ParameterChoice;
use berth_wire::oip::grpc::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use berth_wire::oip::grpc::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn spec(name: &str, datatype: Datatype) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: vec![Dimension::OPEN, Dimension::Fixed(2)],
    }
}

fn specs() -> ([TensorSpec; 2], [TensorSpec; 2]) {
    (
        [spec("a", Datatype::Fp32), spec("b", Datatype::Int8)],
        [spec("y", Datatype::Fp32), spec("z", Datatype::Fp16)],
    )
}

fn input(name: &str, datatype: Datatype, contents: InferTensorContents) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.as_str().to_owned(),
        shape: vec![1, 2],
        contents: Some(contents),
        ..InferInputTensor::default()
    }
}

fn request() -> ModelInferRequest {
    let (a, b) = (
        InferTensorContents {
            fp32_contents: vec![1.5, f32::NAN],
            ..InferTensorContents::default()
        },
        InferTensorContents {
            int_contents: vec![-128, 127],
            ..InferTensorContents::default()
        },
    );
    ModelInferRequest {
        model_name: "m".to_owned(),
        id: "r".to_owned(),
        inputs: vec![input("b", Datatype::Int8, b), input("a", Datatype::Fp32, a)],
        ..ModelInferRequest::default()
    }
}

fn read(request: &ModelInferRequest) -> Result<Request, (Code, Option<String>)> {
    let (inputs, outputs) = specs();
    parse(&request.encode_to_vec(), &inputs, &outputs).map_err(|failure| (failure.code, failure.param))
}

#[test]
fn typed_contents_are_read() {
    let read = read(&request()).expect("is read");
    assert_eq!(read.outputs, ["y", "z"]);
    assert_eq!(read.form, Form::Grpc { id: "r".to_owned() });
    let [(b, int8), (a, fp32)] = &read.inputs[..] else {
        unreachable!("two were given");
    };
    assert_eq!((b.as_str(), a.as_str()), ("b", "a"));
    assert_eq!(int8.elements(), &Elements::Int8(vec![-128, 127]));
    let Elements::Fp32(values) = fp32.elements() else {
        unreachable!("declared as FP32");
    };
    assert!(values[0].total_cmp(&1.5).is_eq() && values[1].is_nan());
}

/// The elements in the field that the protocol has for them; none for what has no such field.
fn contents(elements: &Elements) -> Option<InferTensorContents> {
    let mut made = InferTensorContents::default();
    match elements.clone() {
        Elements::Bool(all) => made.bool_contents = all,
        Elements::Int8(all) => made.int_contents = all.into_iter().map(i32::from).collect(),
        Elements::Int16(all) => made.int_contents = all.into_iter().map(i32::from).collect(),
        Elements::Int32(all) => made.int_contents = all,
        Elements::Int64(all) => made.int64_contents = all,
        Elements::Uint8(all) => made.uint_contents = all.into_iter().map(u32::from).collect(),
        Elements::Uint16(all) => made.uint_contents = all.into_iter().map(u32::from).collect(),
        Elements::Uint32(all) => made.uint_contents = all,
        Elements::Uint64(all) => made.uint64_contents = all,
        Elements::Fp32(all) => made.fp32_contents = all,
        Elements::Fp64(all) => made.fp64_contents = all,
        Elements::Bytes(all) => made.bytes_contents = all.into_iter().map(Into::into).collect(),
        Elements::Fp16(_) | Elements::Bf16(_) => return None,
    }
    Some(made)
}

#[test]
fn every_datatype_comes_typed_and_raw() {
    for &datatype in Datatype::ALL {
        let spec = [spec("x", datatype)];
        let made = Tensor::filled(datatype, Fill::One, vec![1, 2]).expect("fits");
        let mut raw = Vec::new();
        binary::write(&mut raw, made.elements());
        let typed = contents(made.elements());
        let mut one = input("x", datatype, InferTensorContents::default());
        let mut request = ModelInferRequest {
            inputs: vec![one.clone()],
            raw_input_contents: vec![raw.into()],
            ..ModelInferRequest::default()
        };
        let read = parse(&request.encode_to_vec(), &spec, &[]).expect("is read");
        assert_eq!(read.inputs[0].1, made, "{datatype:?}");
        request.raw_input_contents.clear();
        one.contents = Some(typed.clone().unwrap_or_default());
        request.inputs = vec![one];
        let read = parse(&request.encode_to_vec(), &spec, &[]);
        if typed.is_some() {
            assert_eq!(read.expect("is read").inputs[0].1, made, "{datatype:?}");
        } else {
            let code = read.expect_err("no typed form").code;
            assert_eq!(code, Code::DatatypeWithoutJsonForm);
        }
    }
}

#[test]
fn bad_requests_name_the_code_and_the_field() {
    type Change<'c> = Box<dyn Fn(&mut ModelInferRequest) + 'c>;
    let classify = BTreeMap::from([(
        "classification".to_owned(),
        InferParameter {
            parameter_choice: Some(ParameterChoice::Int64Param(2)),
        },
    )]);
    let wants = |name: &str| InferRequestedOutputTensor {
        name: name.to_owned(),
        ..InferRequestedOutputTensor::default()
    };
    let cases: Vec<(Change<'_>, Code, &str)> = vec![
        (
            Box::new(|it| it.inputs.truncate(1)),
            Code::MissingTensor,
            "inputs",
        ),
        (
            Box::new(|it| it.inputs[1] = it.inputs[0].clone()),
            Code::DuplicateTensor,
            "inputs[1].name",
        ),
        (
            Box::new(|it| it.inputs.push(it.inputs[0].clone())),
            Code::UnknownTensor,
            "inputs",
        ),
        (
            Box::new(|it| it.inputs[0].name = "c".into()),
            Code::UnknownTensor,
            "inputs[0].name",
        ),
        (
            Box::new(|it| it.inputs[0].datatype = "INT9".into()),
            Code::InvalidValue,
            "inputs[0].datatype",
        ),
        (
            Box::new(|it| it.inputs[0].datatype = "INT16".into()),
            Code::DatatypeMismatch,
            "inputs[0].datatype",
        ),
        (
            Box::new(|it| it.inputs[0].shape = vec![1, 3]),
            Code::ShapeMismatch,
            "inputs[0].shape",
        ),
        (
            Box::new(|it| it.inputs[0].shape = vec![-1, 2]),
            Code::InvalidValue,
            "inputs[0].shape[0]",
        ),
        (
            Box::new(|it| it.inputs[0].shape = vec![1; 40]),
            Code::InvalidValue,
            "inputs[0].shape",
        ),
        (
            Box::new(|it| it.inputs[0].shape = vec![2, 2]),
            Code::DataMismatch,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| it.inputs[0].shape = vec![i64::MAX, 2]),
            Code::DataMismatch,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| {
                it.inputs[0].contents = Some(InferTensorContents {
                    int_contents: vec![0, 128],
                    ..InferTensorContents::default()
                });
            }),
            Code::DataOutOfRange,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| {
                it.inputs[0].contents = Some(InferTensorContents {
                    int_contents: vec![0; 3],
                    ..InferTensorContents::default()
                });
            }),
            Code::DataMismatch,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| {
                it.inputs[0].contents = Some(InferTensorContents {
                    uint_contents: vec![0, 1],
                    ..InferTensorContents::default()
                });
            }),
            Code::DataMismatch,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| it.inputs[0].contents = None),
            Code::DataMismatch,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| it.raw_input_contents = vec![vec![0; 2].into()]),
            Code::DataMismatch,
            "raw_input_contents",
        ),
        (
            Box::new(|it| it.raw_input_contents = vec![vec![0; 2].into(), vec![0; 8].into()]),
            Code::InvalidValue,
            "inputs[0].contents",
        ),
        (
            Box::new(|it| {
                it.inputs.iter_mut().for_each(|input| input.contents = None);
                it.raw_input_contents = vec![vec![0; 2].into(), vec![0; 7].into()];
            }),
            Code::DataMismatch,
            "raw_input_contents[1]",
        ),
        (
            Box::new(|it| it.outputs = vec![wants("x")]),
            Code::UnknownTensor,
            "outputs[0].name",
        ),
        (
            Box::new(|it| it.outputs = vec![wants("y"), wants("y")]),
            Code::DuplicateTensor,
            "outputs[1].name",
        ),
        (
            Box::new(|it| it.outputs = vec![wants("y"); 3]),
            Code::UnknownTensor,
            "outputs",
        ),
        (
            Box::new(|it| {
                it.outputs = vec![wants("y")];
                it.outputs[0].parameters = classify.clone();
            }),
            Code::UnsupportedParameter,
            "outputs[0].parameters.classification",
        ),
    ];
    for (index, (change, code, param)) in cases.into_iter().enumerate() {
        let mut request = request();
        change(&mut request);
        let refused = read(&request).expect_err("is refused");
        assert_eq!(refused, (code, Some(param.to_owned())), "case {index}");
    }
}

#[test]
fn answer_is_what_the_public_description_says() {
    let half = Tensor::filled(Datatype::Fp16, Fill::One, vec![1, 2]).expect("fits");
    let text = Tensor::new(vec![1], vec![b"ab".to_vec()]).expect("fits");
    let outputs = [("y".to_owned(), half), ("t".to_owned(), text)];
    let written = answer(("m", "3", "r"), &outputs, 1 << 20).expect("written");
    let read = ModelInferResponse::decode(written.body.clone()).expect("a message");
    assert_eq!(
        (
            read.model_name.as_str(),
            read.model_version.as_str(),
            read.id.as_str()
        ),
        ("m", "3", "r")
    );
    assert_eq!(read.outputs[0].name, "y");
    assert_eq!(read.outputs[0].datatype, "FP16");
    assert_eq!(read.outputs[0].shape, [1, 2]);
    assert_eq!(read.raw_output_contents[0].as_ref(), [0, 0x3c, 0, 0x3c]);
    assert_eq!(read.raw_output_contents[1].as_ref(), [2, 0, 0, 0, b'a', b'b']);
    let whole = written.body.len();
    assert!(answer(("m", "3", "r"), &outputs, whole).is_ok());
    for limit in [whole - 1, 2] {
        let failure = answer(("m", "3", "r"), &outputs, limit).expect_err("too large");
        assert_eq!(failure.code, Code::AnswerTooLarge);
    }
}

proptest! {
    #[test]
    fn changed_requests_are_read_or_refused(places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4)) {
        let (inputs, outputs) = specs();
        let mut bytes = request().encode_to_vec();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        // It ends, and does not panic; what is read fits the model.
        if let Ok(request) = parse(&bytes, &inputs, &outputs) {
            prop_assert_eq!(request.inputs.len(), 2);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (inputs, outputs) = specs();
        prop_assert!(parse(&bytes, &inputs, &outputs).is_err() || bytes.len() > 20);
    }
}
