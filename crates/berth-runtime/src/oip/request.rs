//! The body of the request.

use berth_domain::tensor::{Datatype, TensorSpec};
use berth_inference::Tensor;
use serde_json::value::RawValue;

use super::data;
use crate::failure::{Code, Failure};
use crate::json::{self, Object};

/// Most dimensions of a tensor; no runtime goes beyond.
const RANK_LIMIT: usize = 32;

/// Parameters that would change what the answer means, if they were honored. Ignoring them would mislead.
const UNSUPPORTED: [&str; 6] = [
    "binary_data_size",
    "classification",
    "sequence_id",
    "shared_memory_byte_size",
    "shared_memory_offset",
    "shared_memory_region",
];

/// Parameters that ask for the binary form of outputs. The Triton client sends them unasked, with `true`, and reads JSON
/// just as well: a server without the extension is free to answer so.
const BINARY: [&str; 2] = ["binary_data", "binary_data_output"];

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The caller's name for the request.
    pub(crate) id: Option<String>,
    pub(crate) inputs: Vec<(String, Tensor)>,
    /// The outputs that are wanted, in the order of the answer.
    pub(crate) outputs: Vec<String>,
}

impl Request {
    /// Reads the body for a model with these inputs and outputs.
    pub(crate) fn parse(body: &[u8], inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<Self, Failure> {
        let mut object = Object::body(body)?;
        let id = object
            .optional("id")
            .map(|value| json::text("id", value))
            .transpose()?;
        parameters(&mut object)?;
        let given = read_inputs(object.required("inputs")?, inputs)?;
        let wanted = match object.optional("outputs") {
            None => Vec::new(),
            Some(value) => read_outputs(value, outputs)?,
        };
        object.finish()?;
        let outputs = if wanted.is_empty() {
            outputs.iter().collect()
        } else {
            wanted
        };
        Ok(Self {
            id: id.map(std::borrow::Cow::into_owned),
            inputs: given,
            outputs: outputs.into_iter().map(writable).collect::<Result<_, _>>()?,
        })
    }
}

fn read_inputs(value: &RawValue, specs: &[TensorSpec]) -> Result<Vec<(String, Tensor)>, Failure> {
    let elements = json::list("inputs", value)?;
    let mut given: Vec<(String, Tensor)> = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let path = format!("inputs[{index}]");
        let object = Object::nested(path.clone(), element)?;
        let (name, tensor) = read_input(object, specs)?;
        if given.iter().any(|(earlier, _)| *earlier == name) {
            let field = format!("{path}.name");
            let message = format!("The input `{name}` is given twice.");
            return Err(Failure::of(Code::DuplicateTensor, field, message));
        }
        given.push((name, tensor));
    }
    match specs
        .iter()
        .find(|spec| !given.iter().any(|(name, _)| spec.name == *name))
    {
        None => Ok(given),
        Some(spec) => Err(Failure::of(
            Code::MissingTensor,
            "inputs",
            format!("The input `{}` is missing.", spec.name),
        )),
    }
}

fn read_input(mut object: Object<'_>, specs: &[TensorSpec]) -> Result<(String, Tensor), Failure> {
    let field = object.path_of("name");
    let name = json::text(&field, object.required("name")?)?;
    let spec = specs.iter().find(|spec| spec.name == name);
    let spec = spec.ok_or_else(|| {
        let known: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
        let message = format!("The model has no input `{name}`; it has {}.", known.join(", "));
        Failure::of(Code::UnknownTensor, field, message)
    })?;
    let field = object.path_of("datatype");
    read_datatype(&field, object.required("datatype")?, spec)?;
    let field = object.path_of("shape");
    let shape = read_shape(&field, object.required("shape")?, spec)?;
    parameters(&mut object)?;
    let field = object.path_of("data");
    let value = object.required("data")?;
    object.finish()?;
    let tensor = data::tensor(&field, value, spec.datatype, shape)?;
    Ok((name.into_owned(), tensor))
}

fn read_datatype(field: &str, value: &RawValue, spec: &TensorSpec) -> Result<(), Failure> {
    let text = json::text(field, value)?;
    let datatype: Datatype = text.parse().map_err(|_| {
        let message = format!("There is no datatype `{text}`.");
        Failure::of(Code::InvalidValue, field, message)
    })?;
    let name = &spec.name;
    if datatype != spec.datatype {
        let message = format!(
            "The input `{name}` is {}, and {text} was given.",
            spec.datatype.as_str()
        );
        return Err(Failure::of(Code::DatatypeMismatch, field, message));
    }
    if !has_json_form(datatype) {
        let message = format!("The input `{name}` is {text}, which has no JSON form.");
        return Err(Failure::of(Code::DatatypeWithoutJsonForm, field, message));
    }
    Ok(())
}

fn read_shape(field: &str, value: &RawValue, spec: &TensorSpec) -> Result<Vec<usize>, Failure> {
    let elements = json::list(field, value)?;
    if elements.len() > RANK_LIMIT {
        let message = format!("A tensor has {RANK_LIMIT} dimensions at most.");
        return Err(Failure::of(Code::InvalidValue, field, message));
    }
    let numbered = elements.iter().enumerate();
    let shape = numbered.map(|(index, element)| {
        element.get().parse().map_err(|_| {
            let place = format!("{field}[{index}]");
            match serde_json::from_str::<i64>(element.get()) {
                Ok(_) => Failure::of(Code::InvalidValue, &place, format!("`{place}` is negative.")),
                Err(_) => json::wrong_type(&place, "a whole number"),
            }
        })
    });
    let shape: Vec<usize> = shape.collect::<Result<_, _>>()?;
    if !spec.fits(&shape) {
        let declared: Vec<_> = spec
            .shape
            .iter()
            .map(|dimension| dimension.wire().to_string())
            .collect();
        let message = format!(
            "The input `{}` is of shape [{}], where -1 is open, and {shape:?} was given.",
            spec.name,
            declared.join(", ")
        );
        return Err(Failure::of(Code::ShapeMismatch, field, message));
    }
    Ok(shape)
}

fn read_outputs<'s>(value: &RawValue, specs: &'s [TensorSpec]) -> Result<Vec<&'s TensorSpec>, Failure> {
    let mut wanted: Vec<&TensorSpec> = Vec::new();
    for (index, element) in json::list("outputs", value)?.into_iter().enumerate() {
        let mut object = Object::nested(format!("outputs[{index}]"), element)?;
        let field = object.path_of("name");
        let name = json::text(&field, object.required("name")?)?;
        parameters(&mut object)?;
        object.finish()?;
        let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
            let message = format!("The model has no output `{name}`.");
            return Err(Failure::of(Code::UnknownTensor, field, message));
        };
        if wanted.iter().any(|earlier| earlier.name == name) {
            let message = format!("The output `{name}` is asked for twice.");
            return Err(Failure::of(Code::DuplicateTensor, field, message));
        }
        wanted.push(spec);
    }
    Ok(wanted)
}

fn writable(spec: &TensorSpec) -> Result<String, Failure> {
    if has_json_form(spec.datatype) {
        return Ok(spec.name.clone());
    }
    Err(Failure::of(
        Code::OutputNotRepresentable,
        "outputs",
        format!(
            "The output `{}` is {}, which has no JSON form; name other `outputs`.",
            spec.name,
            spec.datatype.as_str()
        ),
    ))
}

const fn has_json_form(datatype: Datatype) -> bool {
    !matches!(datatype, Datatype::Fp16 | Datatype::Bf16)
}

/// Parameters are accepted, except those that cannot be honored.
fn parameters(object: &mut Object<'_>) -> Result<(), Failure> {
    let field = object.path_of("parameters");
    let Some(value) = object.optional("parameters") else {
        return Ok(());
    };
    let mut parameters = Object::nested(field, value)?;
    for name in BINARY {
        let field = parameters.path_of(name);
        if let Some(value) = parameters.optional(name)
            && !matches!(value.get(), "true" | "false")
        {
            return Err(json::wrong_type(&field, "true or false"));
        }
    }
    let unsupported = UNSUPPORTED
        .iter()
        .find(|name| parameters.optional(name).is_some());
    match unsupported {
        None => Ok(()),
        Some(name) => {
            let field = parameters.path_of(name);
            let message = format!("`{field}` is not supported: tensors are read and written as JSON.");
            Err(Failure::of(Code::UnsupportedParameter, field, message))
        }
    }
}

#[cfg(test)]
mod tests {
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
        Request::parse(body.as_bytes(), &inputs, &outputs).map_err(|failure| (failure.code, failure.param))
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
        assert_eq!(request.id.as_deref(), Some("r-1"));
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
                Code::UnsupportedParameter,
                "inputs[0].parameters.binary_data_size",
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
    fn wishes_of_the_triton_client_for_binary_outputs_are_answered_in_json() {
        for rest in [
            r#""parameters":{"binary_data_output":true}"#,
            r#""outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z"}]"#,
        ] {
            let body = format!(r#"{{"inputs":[{A},{SEVEN}],{rest}}}"#);
            assert_eq!(parse(&body).expect("it is read").outputs, ["y", "z"], "{rest}");
        }
    }

    #[test]
    fn half_precision_has_no_json_form() {
        let half = [spec("h", Datatype::Fp16, &[1])];
        let body = br#"{"inputs":[{"name":"h","datatype":"FP16","shape":[1],"data":[1]}]}"#;
        let failure = Request::parse(body, &half, &[]).expect_err("no JSON form");
        assert_eq!(failure.code, Code::DatatypeWithoutJsonForm);
        for body in [
            r#"{"inputs":[]}"#,
            r#"{"inputs":[],"parameters":{"binary_data_output":true}}"#,
        ] {
            let failure = Request::parse(body.as_bytes(), &[], &half).expect_err("no JSON form");
            assert_eq!(failure.code, Code::OutputNotRepresentable);
        }
    }

    #[test]
    fn what_the_public_description_allows_is_read() {
        let body =
            format!(r#"{{"id":"r","parameters":{{}},"inputs":[{A},{SEVEN}],"outputs":[{{"name":"y"}}]}}"#);
        let public: berth_wire::oip::InferRequest<'_> = serde_json::from_str(&body).expect("the public form");
        let written = serde_json::to_string(&public).expect("serializes");
        assert_eq!(parse(&written).expect("it is read").outputs, ["y"]);
    }
}
