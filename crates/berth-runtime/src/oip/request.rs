//! The body of a REST request: JSON, and after it the tensors that come in binary.

use berth_domain::tensor::{Datatype, TensorSpec};
use berth_inference::Tensor;
use berth_protocol::runner::{InferRequest, Operation};
use serde_json::value::RawValue;

use super::answer::Form;
use super::fit::{self, Inputs};
use super::hoist::Hoisted;
use super::{binary, data, grpc, numbers};
use crate::failure::{Code, Failure};
use crate::json::{self, Object};

/// The parameter of an input whose data follows the JSON: how many bytes it has.
const BINARY_SIZE: &str = "binary_data_size";

/// The parameter of an output that asks for its binary form.
const BINARY_OUTPUT: &str = "binary_data";

/// The parameter of a request that asks for the binary form of the outputs that do not say.
const BINARY_OUTPUTS: &str = "binary_data_output";

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) inputs: Vec<(String, Tensor)>,
    /// The outputs that are wanted, in the order of the answer.
    pub(crate) outputs: Vec<String>,
    /// How they are answered.
    pub(crate) form: Form,
}

impl Request {
    /// Reads the request for a model with these inputs and outputs.
    pub(crate) fn parse(
        request: &InferRequest,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> Result<Self, Failure> {
        let body = &request.body;
        if request.operation() == Operation::OipGrpcInfer {
            return grpc::parse(body, inputs, outputs);
        }
        let Some(header) = request.header_bytes else {
            return parse(body, None, inputs, outputs);
        };
        let header = usize::try_from(header).ok();
        let Some((json, tail)) = header.and_then(|length| body.split_at_checked(length)) else {
            return Err(Failure::new(
                Code::DataMismatch,
                format!(
                    "The JSON is said to have more bytes than the body, which has {}.",
                    body.len()
                ),
            ));
        };
        if json.is_empty() {
            lone_tensor(tail, inputs, outputs)
        } else {
            parse(json, Some(tail), inputs, outputs)
        }
    }
}

/// Bytes without a word about them: the data of a model's only input. All outputs are answered in binary.
fn lone_tensor(bytes: &[u8], inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<Request, Failure> {
    let [spec] = inputs else {
        return Err(Failure::of(
            Code::MissingTensor,
            "inputs",
            format!(
                "A body without JSON is the data of a single input, and the model has {} inputs.",
                inputs.len()
            ),
        ));
    };
    let shape = fit::implied_shape(spec, bytes.len())?;
    let tensor = if spec.datatype == Datatype::Bytes {
        // The one that is there is all of the body.
        let whole = Tensor::new(shape, vec![bytes.to_vec()]);
        whole.map_err(|error| {
            Failure::of(
                Code::DataMismatch,
                "inputs",
                format!("The tensor is wrong: {error}."),
            )
        })?
    } else {
        binary::tensor("inputs", bytes, spec.datatype, shape)?
    };
    Ok(Request {
        inputs: vec![(spec.name.clone(), tensor)],
        outputs: outputs.iter().map(|spec| spec.name.clone()).collect(),
        form: Form::Rest {
            id: None,
            binary: vec![true; outputs.len()],
        },
    })
}

fn parse(
    json: &[u8],
    tail: Option<&[u8]>,
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
) -> Result<Request, Failure> {
    // What cannot be read in this way is read in the other, which says best what is wrong.
    if let Some(hoisted) = Hoisted::of(json)
        && let Ok(request) = read(hoisted.rest(), tail, Some(&hoisted), (inputs, outputs))
        && hoisted.is_used_up()
    {
        return Ok(request);
    }
    read(json, tail, None, (inputs, outputs))
}

fn read(
    json: &[u8],
    tail: Option<&[u8]>,
    hoisted: Option<&Hoisted<'_>>,
    (inputs, outputs): (&[TensorSpec], &[TensorSpec]),
) -> Result<Request, Failure> {
    let mut object = Object::body(json)?;
    let id = object
        .optional("id")
        .map(|value| json::text("id", value))
        .transpose()?;
    let usually_binary = parameters(&mut object, BINARY_OUTPUTS)?.unwrap_or(false);
    let given = read_inputs(object.required("inputs")?, tail, hoisted, inputs)?;
    let wanted = match object.optional("outputs") {
        None => Vec::new(),
        Some(value) => read_outputs(value, usually_binary, outputs)?,
    };
    object.finish()?;
    let wanted = if wanted.is_empty() {
        outputs.iter().map(|spec| (spec, usually_binary)).collect()
    } else {
        wanted
    };
    Ok(Request {
        inputs: given,
        outputs: wanted
            .iter()
            .map(|&(spec, binary)| writable(spec, binary))
            .collect::<Result<_, _>>()?,
        form: Form::Rest {
            id: id.map(std::borrow::Cow::into_owned),
            binary: wanted.into_iter().map(|(_, binary)| binary).collect(),
        },
    })
}

fn read_inputs(
    value: &RawValue,
    mut tail: Option<&[u8]>,
    hoisted: Option<&Hoisted<'_>>,
    specs: &[TensorSpec],
) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut given = Inputs::default();
    for (index, element) in json::list("inputs", value)?.into_iter().enumerate() {
        let path = format!("inputs[{index}]");
        let object = Object::nested(path.clone(), element)?;
        let (spec, tensor) = read_input(object, &mut tail, hoisted, specs)?;
        given.add(format!("{path}.name"), &spec.name, tensor)?;
    }
    let given = given.complete(specs)?;
    match tail {
        None | Some([]) => Ok(given),
        Some(left) => Err(Failure::of(
            Code::DataMismatch,
            "inputs",
            format!("{} bytes are left after the last input in binary.", left.len()),
        )),
    }
}

fn read_input<'s>(
    mut object: Object<'_>,
    tail: &mut Option<&[u8]>,
    hoisted: Option<&Hoisted<'_>>,
    specs: &'s [TensorSpec],
) -> Result<(&'s TensorSpec, Tensor), Failure> {
    let field = object.path_of("name");
    let name = json::text(&field, object.required("name")?)?;
    let spec = fit::input(field, &name, specs)?;
    let field = object.path_of("datatype");
    fit::datatype(&field, &json::text(&field, object.required("datatype")?)?, spec)?;
    let field = object.path_of("shape");
    let shape = read_shape(&field, object.required("shape")?, spec)?;
    let size_field = object.path_of(&format!("parameters.{BINARY_SIZE}"));
    let size = binary_size(&mut object)?;
    let field = object.path_of("data");
    let tensor = match size {
        None => {
            let value = object.required("data")?;
            object.finish()?;
            if !has_json_form(spec.datatype) {
                return Err(without_json_form(&field, spec));
            }
            match hoisted.and_then(|hoisted| hoisted.take(value)) {
                None => data::tensor(&field, value, spec.datatype, shape)?,
                Some(list) => numbers::tensor(list, spec.datatype, &shape)
                    .ok_or_else(|| json::wrong_type(&field, "a list of numbers"))?,
            }
        }
        Some(size) => {
            if object.optional("data").is_some() {
                let message =
                    format!("`{field}` is there, and `{size_field}` says that the data follows the JSON.");
                return Err(Failure::of(Code::InvalidValue, field, message));
            }
            object.finish()?;
            let bytes = take(tail, size, &size_field)?;
            binary::tensor(&size_field, bytes, spec.datatype, shape)?
        }
    };
    Ok((spec, tensor))
}

/// The next so many bytes after the JSON.
fn take<'t>(tail: &mut Option<&'t [u8]>, size: usize, field: &str) -> Result<&'t [u8], Failure> {
    let Some(rest) = tail else {
        return Err(Failure::of(
            Code::InvalidValue,
            field,
            format!(
                "`{field}` names bytes after the JSON, and the request does not say where the JSON ends (header \
                 `inference-header-content-length`)."
            ),
        ));
    };
    let Some((bytes, after)) = rest.split_at_checked(size) else {
        return Err(Failure::of(
            Code::DataMismatch,
            field,
            format!("`{field}` is {size}, and {} bytes are left.", rest.len()),
        ));
    };
    *rest = after;
    Ok(bytes)
}

fn without_json_form(field: &str, spec: &TensorSpec) -> Failure {
    let message = format!(
        "The input `{}` is {}, which has no JSON form; send it in binary.",
        spec.name,
        spec.datatype.as_str()
    );
    Failure::of(Code::DatatypeWithoutJsonForm, field, message)
}

fn read_shape(field: &str, value: &RawValue, spec: &TensorSpec) -> Result<Vec<usize>, Failure> {
    let elements = json::list(field, value)?;
    if elements.len() > fit::RANK_LIMIT {
        return Err(fit::too_many_dimensions(field));
    }
    let numbered = elements.iter().enumerate();
    let shape = numbered.map(|(index, element)| {
        element.get().parse().map_err(|_| {
            let place = format!("{field}[{index}]");
            match serde_json::from_str::<i64>(element.get()) {
                Ok(_) => fit::negative(&place),
                Err(_) => json::wrong_type(&place, "a whole number"),
            }
        })
    });
    let shape: Vec<usize> = shape.collect::<Result<_, _>>()?;
    fit::shape(field, &shape, spec)?;
    Ok(shape)
}

/// The outputs that are named, each with whether it is wanted in binary.
fn read_outputs<'s>(
    value: &RawValue,
    usually_binary: bool,
    specs: &'s [TensorSpec],
) -> Result<Vec<(&'s TensorSpec, bool)>, Failure> {
    let mut wanted: Vec<(&TensorSpec, bool)> = Vec::new();
    for (index, element) in json::list("outputs", value)?.into_iter().enumerate() {
        let mut object = Object::nested(format!("outputs[{index}]"), element)?;
        let field = object.path_of("name");
        let name = json::text(&field, object.required("name")?)?;
        let binary = parameters(&mut object, BINARY_OUTPUT)?.unwrap_or(usually_binary);
        object.finish()?;
        let spec = fit::output(field, &name, wanted.iter().map(|&(spec, _)| spec), specs)?;
        wanted.push((spec, binary));
    }
    Ok(wanted)
}

fn writable(spec: &TensorSpec, binary: bool) -> Result<String, Failure> {
    if binary || has_json_form(spec.datatype) {
        return Ok(spec.name.clone());
    }
    Err(Failure::of(
        Code::OutputNotRepresentable,
        "outputs",
        format!(
            "The output `{}` is {}, which has no JSON form; ask for it in binary, or name other `outputs`.",
            spec.name,
            spec.datatype.as_str()
        ),
    ))
}

const fn has_json_form(datatype: Datatype) -> bool {
    !matches!(datatype, Datatype::Fp16 | Datatype::Bf16)
}

/// How many bytes the input has after the JSON, if its parameters say so.
fn binary_size(input: &mut Object<'_>) -> Result<Option<usize>, Failure> {
    let Some(mut parameters) = nested(input)? else {
        return Ok(None);
    };
    let field = parameters.path_of(BINARY_SIZE);
    let size = parameters.optional(BINARY_SIZE).map(|value| {
        let size = value.get().parse::<usize>();
        size.map_err(|_| json::wrong_type(&field, "a number of bytes"))
    });
    refuse_unsupported(&mut parameters)?;
    size.transpose()
}

/// Reads the parameters of the request or of an output, which may have a `switch`. They are accepted, except those that cannot
/// be honored.
fn parameters(object: &mut Object<'_>, switch: &str) -> Result<Option<bool>, Failure> {
    let Some(mut parameters) = nested(object)? else {
        return Ok(None);
    };
    let field = parameters.path_of(switch);
    let on = match parameters.optional(switch).map(RawValue::get) {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(json::wrong_type(&field, "true or false")),
    };
    refuse_unsupported(&mut parameters)?;
    Ok(on)
}

fn nested<'a>(object: &mut Object<'a>) -> Result<Option<Object<'a>>, Failure> {
    let field = object.path_of("parameters");
    let value = object.optional("parameters");
    value.map(|value| Object::nested(field, value)).transpose()
}

fn refuse_unsupported(parameters: &mut Object<'_>) -> Result<(), Failure> {
    let unsupported = fit::UNSUPPORTED
        .iter()
        .find(|name| parameters.optional(name).is_some());
    match unsupported {
        None => Ok(()),
        Some(name) => Err(fit::unsupported(parameters.path_of(name))),
    }
}

#[cfg(test)]
mod tests;
