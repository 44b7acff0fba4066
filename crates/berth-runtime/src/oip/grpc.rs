//! The messages of gRPC: a `ModelInferRequest` read piece by piece, so that no field of a few bytes becomes a large object, and
//! a `ModelInferResponse` written into one buffer.

use berth_domain::tensor::{Datatype, TensorSpec};
use berth_inference::Tensor;
use berth_inference::tensor::{Elements, count};
use berth_wire::oip::grpc::inference::model_infer_response::InferOutputTensor;
use berth_wire::oip::grpc::{Fields, Malformed, Value};
use prost::encoding::{self, WireType};

use super::answer::{Form, Written};
use super::fit::{self, Inputs};
use super::{Request, binary};
use crate::failure::{Code, Failure};

/// What a runner's answer of this form is called; no caller sees it.
const CONTENT_TYPE: &str = "application/grpc";

/// Most parameters of a request, an input or an output.
const PARAMETERS_LIMIT: usize = 64;

/// Reads a `ModelInferRequest` for a model with these inputs and outputs.
pub(super) fn parse(
    message: &[u8],
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
) -> Result<Request, Failure> {
    let mut id = "";
    let mut parameters = 0;
    let (mut given, mut wanted, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for field in Fields::new(message) {
        match field.map_err(malformed)? {
            (3, value) => id = value.text().map_err(malformed)?,
            (4, Value::Bytes(entry)) => parameter("parameters", entry, &mut parameters)?,
            (5, Value::Bytes(input)) => push(&mut given, input, "inputs", inputs.len())?,
            (6, Value::Bytes(output)) => push(&mut wanted, output, "outputs", outputs.len())?,
            (7, Value::Bytes(bytes)) => push(&mut raw, bytes, "raw_input_contents", inputs.len())?,
            _ => {}
        }
    }
    if !raw.is_empty() && raw.len() != given.len() {
        return Err(Failure::of(
            Code::DataMismatch,
            "raw_input_contents",
            format!(
                "There are {} inputs, and `raw_input_contents` has {}; it has one for each input, or none.",
                given.len(),
                raw.len()
            ),
        ));
    }
    let mut tensors = Inputs::default();
    for (index, input) in given.into_iter().enumerate() {
        let path = format!("inputs[{index}]");
        let data = match raw.get(index) {
            Some(bytes) => Data::Raw(format!("raw_input_contents[{index}]"), bytes),
            None => Data::Typed(format!("{path}.contents")),
        };
        let (spec, tensor) = read_input(&path, input, data, inputs)?;
        tensors.add(format!("{path}.name"), &spec.name, tensor)?;
    }
    let wanted = read_outputs(&wanted, outputs)?;
    let wanted = if wanted.is_empty() {
        outputs.iter().collect()
    } else {
        wanted
    };
    Ok(Request {
        inputs: tensors.complete(inputs)?,
        outputs: wanted.into_iter().map(|spec| spec.name.clone()).collect(),
        form: Form::Grpc { id: id.to_owned() },
    })
}

fn malformed(why: Malformed) -> Failure {
    Failure::new(Code::InvalidValue, format!("The message cannot be read: {why}."))
}

/// One more of a list that the model bounds.
fn push<'m>(list: &mut Vec<&'m [u8]>, one: &'m [u8], field: &str, most: usize) -> Result<(), Failure> {
    if list.len() < most {
        list.push(one);
        return Ok(());
    }
    let message = format!("`{field}` has more than {most}, which is as many as the model has.");
    Err(Failure::of(Code::UnknownTensor, field, message))
}

/// Looks at a parameter: those that cannot be honored are refused.
fn parameter(path: &str, entry: &[u8], seen: &mut usize) -> Result<(), Failure> {
    *seen += 1;
    if *seen > PARAMETERS_LIMIT {
        let message = format!("`{path}` has more than {PARAMETERS_LIMIT} parameters.");
        return Err(Failure::of(Code::InvalidValue, path, message));
    }
    for field in Fields::new(entry) {
        if let (1, key) = field.map_err(malformed)? {
            let key = key.text().map_err(malformed)?;
            if fit::UNSUPPORTED.contains(&key) {
                return Err(fit::unsupported(format!("{path}.{key}")));
            }
        }
    }
    Ok(())
}

/// Where the elements of an input stand.
enum Data<'m> {
    /// In the input's own `contents`, which is called so.
    Typed(String),
    /// In the message's `raw_input_contents`, in the place that is called so.
    Raw(String, &'m [u8]),
}

fn read_input<'s>(
    path: &str,
    message: &[u8],
    data: Data<'_>,
    specs: &'s [TensorSpec],
) -> Result<(&'s TensorSpec, Tensor), Failure> {
    let (mut name, mut datatype) = ("", "");
    let mut shape = Vec::new();
    let mut parameters = 0;
    let mut contents: Option<&[u8]> = None;
    for field in Fields::new(message) {
        match field.map_err(malformed)? {
            (1, value) => name = value.text().map_err(malformed)?,
            (2, value) => datatype = value.text().map_err(malformed)?,
            (3, value) => read_extents(path, value, &mut shape)?,
            (4, Value::Bytes(entry)) => parameter(&format!("{path}.parameters"), entry, &mut parameters)?,
            (5, Value::Bytes(_)) if contents.is_some() => {
                let field = format!("{path}.contents");
                let message = format!("`{field}` is there twice.");
                return Err(Failure::of(Code::DuplicateParameter, field, message));
            }
            (5, Value::Bytes(bytes)) => contents = Some(bytes),
            _ => {}
        }
    }
    let spec = fit::input(format!("{path}.name"), name, specs)?;
    fit::datatype(&format!("{path}.datatype"), datatype, spec)?;
    fit::shape(&format!("{path}.shape"), &shape, spec)?;
    let contents = contents.unwrap_or_default();
    let tensor = match data {
        Data::Raw(_, _) if !contents.is_empty() => {
            let field = format!("{path}.contents");
            let message = format!("`{field}` is there, and the data stands in `raw_input_contents`.");
            return Err(Failure::of(Code::InvalidValue, field, message));
        }
        Data::Raw(field, bytes) => binary::tensor(&field, bytes, spec.datatype, shape)?,
        Data::Typed(field) => typed(&field, contents, spec, shape)?,
    };
    Ok((spec, tensor))
}

fn read_extents(path: &str, value: Value<'_>, shape: &mut Vec<usize>) -> Result<(), Failure> {
    let mut add = |number: u64| {
        let place = format!("{path}.shape[{}]", shape.len());
        if shape.len() == fit::RANK_LIMIT {
            return Err(fit::too_many_dimensions(&format!("{path}.shape")));
        }
        // Extents are signed.
        if number > i64::MAX.unsigned_abs() {
            return Err(fit::negative(&place));
        }
        shape.push(usize::try_from(number).unwrap_or(usize::MAX));
        Ok(())
    };
    match value {
        Value::Varint(number) => add(number),
        Value::Bytes(list) => Fields::packed(list).try_for_each(|number| add(number.map_err(malformed)?)),
        Value::Fixed32(_) | Value::Fixed64(_) => Err(malformed(Malformed::Key)),
    }
}

fn read_outputs<'s>(messages: &[&[u8]], specs: &'s [TensorSpec]) -> Result<Vec<&'s TensorSpec>, Failure> {
    let mut wanted: Vec<&TensorSpec> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let path = format!("outputs[{index}]");
        let mut name = "";
        let mut parameters = 0;
        for field in Fields::new(message) {
            match field.map_err(malformed)? {
                (1, value) => name = value.text().map_err(malformed)?,
                (2, Value::Bytes(entry)) => parameter(&format!("{path}.parameters"), entry, &mut parameters)?,
                _ => {}
            }
        }
        let spec = fit::output(format!("{path}.name"), name, wanted.iter().copied(), specs)?;
        wanted.push(spec);
    }
    Ok(wanted)
}

/// The tensor whose elements stand in `contents`, in the one field that its datatype has there.
fn typed(field: &str, contents: &[u8], spec: &TensorSpec, shape: Vec<usize>) -> Result<Tensor, Failure> {
    let Some(most) = count(&shape) else {
        let message = format!("The shape {shape:?} is too large.");
        return Err(Failure::of(Code::DataMismatch, field, message));
    };
    let reader = |number, name| Contents {
        path: field,
        bytes: contents,
        number,
        name,
        datatype: spec.datatype,
        most,
    };
    let elements: Elements = match spec.datatype {
        Datatype::Bool => reader(1, "bool_contents")
            .varints(|number| Some(number != 0))?
            .into(),
        Datatype::Int8 => reader(2, "int_contents").varints(narrow::<i8>)?.into(),
        Datatype::Int16 => reader(2, "int_contents").varints(narrow::<i16>)?.into(),
        Datatype::Int32 => reader(2, "int_contents").varints(narrow::<i32>)?.into(),
        Datatype::Int64 => reader(3, "int64_contents")
            .varints(|number| Some(number.cast_signed()))?
            .into(),
        Datatype::Uint8 => reader(4, "uint_contents")
            .varints(|number| u8::try_from(number).ok())?
            .into(),
        Datatype::Uint16 => reader(4, "uint_contents")
            .varints(|number| u16::try_from(number).ok())?
            .into(),
        Datatype::Uint32 => reader(4, "uint_contents")
            .varints(|number| u32::try_from(number).ok())?
            .into(),
        Datatype::Uint64 => reader(5, "uint64_contents").varints(Some)?.into(),
        Datatype::Fp32 => reader(6, "fp32_contents").singles()?.into(),
        Datatype::Fp64 => reader(7, "fp64_contents").doubles()?.into(),
        Datatype::Bytes => reader(8, "bytes_contents").strings()?.into(),
        Datatype::Fp16 | Datatype::Bf16 => {
            let message = format!(
                "{} has no typed form; send it in `raw_input_contents`.",
                spec.datatype.as_str()
            );
            return Err(Failure::of(Code::DatatypeWithoutJsonForm, field, message));
        }
    };
    Tensor::new(shape, elements).map_err(|error| {
        Failure::of(
            Code::DataMismatch,
            field,
            format!("The tensor is wrong: {error}."),
        )
    })
}

fn narrow<T: TryFrom<i64>>(number: u64) -> Option<T> {
    T::try_from(number.cast_signed()).ok()
}

/// The elements of one input.
struct Contents<'m> {
    path: &'m str,
    bytes: &'m [u8],
    /// The field that fits the datatype, by number and by name.
    number: u32,
    name: &'static str,
    datatype: Datatype,
    /// How many the shape asks for.
    most: usize,
}

impl<'m> Contents<'m> {
    /// What stands in the field, piece by piece. Fails on elements in another field.
    fn values(&self) -> impl Iterator<Item = Result<Value<'m>, Failure>> {
        Fields::new(self.bytes).map(|field| match field.map_err(malformed)? {
            (number, value) if number == self.number => Ok(value),
            _ => Err(Failure::of(
                Code::DataMismatch,
                self.path,
                format!(
                    "The elements of {} stand in `{}.{}`, and there are others.",
                    self.datatype.as_str(),
                    self.path,
                    self.name
                ),
            )),
        })
    }

    fn push<T>(&self, elements: &mut Vec<T>, element: T) -> Result<(), Failure> {
        if elements.len() < self.most {
            elements.push(element);
            return Ok(());
        }
        let message = format!("The shape asks for {} elements, and there are more.", self.most);
        Err(Failure::of(Code::DataMismatch, self.path, message))
    }

    fn out_of_range(&self, index: usize) -> Failure {
        let message = format!(
            "Element {index} of `{}` is not in the range of {}.",
            self.path,
            self.datatype.as_str()
        );
        Failure::of(Code::DataOutOfRange, self.path, message)
    }

    /// Room for the elements that there can be: each takes at least one byte.
    fn room<T>(&self) -> Vec<T> {
        Vec::with_capacity(self.most.min(self.bytes.len()))
    }

    fn varints<T>(&self, read: impl Fn(u64) -> Option<T>) -> Result<Vec<T>, Failure> {
        let mut elements = self.room();
        let mut add = |number: u64| {
            let element = read(number).ok_or_else(|| self.out_of_range(elements.len()))?;
            self.push(&mut elements, element)
        };
        for value in self.values() {
            match value? {
                Value::Varint(number) => add(number)?,
                Value::Bytes(list) => {
                    Fields::packed(list).try_for_each(|number| add(number.map_err(malformed)?))?;
                }
                Value::Fixed32(_) | Value::Fixed64(_) => return Err(malformed(Malformed::Key)),
            }
        }
        Ok(elements)
    }

    fn singles(&self) -> Result<Vec<f32>, Failure> {
        let mut elements = Vec::new();
        for value in self.values() {
            match value? {
                Value::Fixed32(bits) => self.push(&mut elements, f32::from_bits(bits))?,
                Value::Bytes(list) => self.extend(&mut elements, list)?,
                Value::Varint(_) | Value::Fixed64(_) => return Err(malformed(Malformed::Key)),
            }
        }
        Ok(elements)
    }

    fn doubles(&self) -> Result<Vec<f64>, Failure> {
        let mut elements = Vec::new();
        for value in self.values() {
            match value? {
                Value::Fixed64(bits) => self.push(&mut elements, f64::from_bits(bits))?,
                Value::Bytes(list) => self.extend(&mut elements, list)?,
                Value::Varint(_) | Value::Fixed32(_) => return Err(malformed(Malformed::Key)),
            }
        }
        Ok(elements)
    }

    /// A packed list of numbers that have a fixed width.
    fn extend<T: bytemuck::Pod>(&self, elements: &mut Vec<T>, list: &[u8]) -> Result<(), Failure> {
        if !list.len().is_multiple_of(size_of::<T>()) {
            return Err(malformed(Malformed::Truncated));
        }
        if elements.len() + list.len() / size_of::<T>() > self.most {
            let message = format!("The shape asks for {} elements, and there are more.", self.most);
            return Err(Failure::of(Code::DataMismatch, self.path, message));
        }
        elements.append(&mut binary::numbers(list));
        Ok(())
    }

    fn strings(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut elements = Vec::new();
        for value in self.values() {
            match value? {
                Value::Bytes(string) => self.push(&mut elements, string.to_vec())?,
                _ => return Err(malformed(Malformed::Key)),
            }
        }
        Ok(elements)
    }
}

/// The `ModelInferResponse` with these outputs; `names` are those of the model, its version and the request. Fails when it
/// would have more than `limit_bytes`.
pub(super) fn answer(
    (model, version, id): (&str, &str, &str),
    outputs: &[(String, Tensor)],
    limit_bytes: usize,
) -> Result<Written, Failure> {
    let data: usize = outputs
        .iter()
        .map(|(_, tensor)| binary::size(tensor.elements()))
        .sum();
    if data > limit_bytes {
        return Err(Failure::answer_too_large(limit_bytes));
    }
    let mut out = Vec::with_capacity(data + 256 + outputs.len() * 128);
    for (number, text) in [(1, model), (2, version), (3, id)] {
        if !text.is_empty() {
            delimited(&mut out, number, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    for (name, tensor) in outputs {
        let head = InferOutputTensor {
            name: name.clone(),
            datatype: tensor.datatype().as_str().to_owned(),
            shape: tensor
                .shape()
                .iter()
                .map(|&extent| i64::try_from(extent).unwrap_or(i64::MAX))
                .collect(),
            ..InferOutputTensor::default()
        };
        encoding::message::encode(5, &head, &mut out);
    }
    for (_, tensor) in outputs {
        delimited(&mut out, 6, binary::size(tensor.elements()));
        binary::write(&mut out, tensor.elements());
    }
    if out.len() > limit_bytes {
        return Err(Failure::answer_too_large(limit_bytes));
    }
    Ok(Written {
        body: out.into(),
        content_type: CONTENT_TYPE,
        header_bytes: None,
    })
}

/// Begins a field of so many bytes.
fn delimited(out: &mut Vec<u8>, number: u32, length: usize) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(u64::try_from(length).unwrap_or(u64::MAX), out);
}

#[cfg(test)]
mod tests;
