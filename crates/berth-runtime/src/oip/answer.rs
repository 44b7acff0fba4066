//! The answer, written into one buffer.

use berth_inference::Tensor;
use berth_inference::tensor::Elements;
use bytes::Bytes;

use super::{binary, grpc};
use crate::failure::{Code, Failure};
use crate::numbers::{self, NumberWriter};

/// What the answer is headed with.
#[derive(Debug, Clone, Copy)]
struct Names<'a> {
    model: &'a str,
    /// Empty when the answer shows none.
    version: &'a str,
    id: Option<&'a str>,
}

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// As JSON, with outputs in binary after it where they are wanted so.
    Rest {
        /// The caller's name for the request.
        id: Option<String>,
        /// Whether each output is wanted in binary.
        binary: Vec<bool>,
    },
    /// As a message of gRPC.
    Grpc {
        /// The caller's name for the request; may be empty.
        id: String,
    },
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    /// How many of the first bytes are JSON, where tensors follow in binary.
    pub(crate) header_bytes: Option<u64>,
}

impl Written {
    /// An answer that is JSON and nothing else.
    pub(crate) fn json(body: String) -> Self {
        Self {
            body: body.into(),
            content_type: "application/json",
            header_bytes: None,
        }
    }
}

impl Form {
    /// The answer with these outputs. Fails when an output holds what its form cannot, or as soon as the answer has more than
    /// `limit_bytes`.
    pub(crate) fn write(
        &self,
        model: &str,
        version: &str,
        outputs: &[(String, Tensor)],
        limit_bytes: usize,
    ) -> Result<Written, Failure> {
        match self {
            Self::Grpc { id } => grpc::answer((model, version, id), outputs, limit_bytes),
            Self::Rest { id, binary } => {
                let names = Names {
                    model,
                    version,
                    id: id.as_deref(),
                };
                rest(names, outputs, binary, limit_bytes)
            }
        }
    }
}

fn rest(
    names: Names<'_>,
    outputs: &[(String, Tensor)],
    binary: &[bool],
    limit_bytes: usize,
) -> Result<Written, Failure> {
    let in_binary = |index: usize| binary.get(index).copied().unwrap_or(false);
    let after: usize = outputs
        .iter()
        .enumerate()
        .filter(|(index, _)| in_binary(*index))
        .map(|(_, (_, tensor))| binary::size(tensor.elements()))
        .sum();
    let Some(limit) = limit_bytes.checked_sub(after) else {
        return Err(Failure::answer_too_large(limit_bytes));
    };
    let json = json(names, outputs, in_binary, limit).map_err(|failure| match failure.code {
        Code::AnswerTooLarge => Failure::answer_too_large(limit_bytes),
        _ => failure,
    })?;
    if json.len() > limit {
        return Err(Failure::answer_too_large(limit_bytes));
    }
    if !binary.contains(&true) {
        return Ok(Written::json(json));
    }
    let header_bytes = u64::try_from(json.len()).ok();
    let mut body = json.into_bytes();
    body.reserve_exact(after);
    for (index, (_, tensor)) in outputs.iter().enumerate() {
        if in_binary(index) {
            binary::write(&mut body, tensor.elements());
        }
    }
    Ok(Written {
        body: body.into(),
        content_type: "application/octet-stream",
        header_bytes,
    })
}

/// The JSON with these outputs, as flat data; of those in binary only how many bytes they have.
fn json(
    names: Names<'_>,
    outputs: &[(String, Tensor)],
    in_binary: impl Fn(usize) -> bool,
    limit_bytes: usize,
) -> Result<String, Failure> {
    let elements: usize = outputs
        .iter()
        .enumerate()
        .filter(|(index, _)| !in_binary(*index))
        .map(|(_, (_, tensor))| tensor.elements().len())
        .sum();
    // The shortest element is a digit and a comma.
    if elements.saturating_mul(2) > limit_bytes {
        return Err(Failure::answer_too_large(limit_bytes));
    }
    let mut out = String::with_capacity((256 + elements * 10).min(limit_bytes));
    let mut writer = NumberWriter::default();
    out.push_str(r#"{"model_name":"#);
    numbers::text(&mut out, names.model);
    if !names.version.is_empty() {
        out.push_str(r#","model_version":"#);
        numbers::text(&mut out, names.version);
    }
    if let Some(id) = names.id {
        out.push_str(r#","id":"#);
        numbers::text(&mut out, id);
    }
    out.push_str(r#","outputs":["#);
    for (index, (name, tensor)) in outputs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_head(&mut out, &mut writer, name, tensor);
        if in_binary(index) {
            out.push_str(r#""parameters":{"binary_data_size":"#);
            writer.integer(&mut out, binary::size(tensor.elements()));
            out.push_str("}}");
        } else {
            out.push_str(r#""data":["#);
            let written = write_data(&mut out, &mut writer, tensor.elements(), limit_bytes);
            written.map_err(|stop| stop.into_failure(name, limit_bytes))?;
            out.push_str("]}");
        }
    }
    out.push_str("]}");
    Ok(out)
}

fn write_head(out: &mut String, writer: &mut NumberWriter, name: &str, tensor: &Tensor) {
    out.push_str(r#"{"name":"#);
    numbers::text(out, name);
    out.push_str(r#","datatype":""#);
    out.push_str(tensor.datatype().as_str());
    out.push_str(r#"","shape":["#);
    for (index, &extent) in tensor.shape().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        writer.integer(out, extent);
    }
    out.push_str("],");
}

/// Why writing stopped.
enum Stop {
    /// The element of this index has no JSON form.
    Element(usize),
    TooLarge,
}

impl Stop {
    fn into_failure(self, name: &str, limit_bytes: usize) -> Failure {
        match self {
            Self::TooLarge => Failure::answer_too_large(limit_bytes),
            Self::Element(index) => Failure::of(
                Code::OutputNotRepresentable,
                "outputs",
                format!(
                    "Element {index} of the output `{name}` has no JSON form (NaN, infinity, or bytes that are no text); \
                     ask for it in binary, or name other `outputs`."
                ),
            ),
        }
    }
}

fn write_data(
    out: &mut String,
    writer: &mut NumberWriter,
    elements: &Elements,
    limit_bytes: usize,
) -> Result<(), Stop> {
    let mut integers = Integers {
        out,
        writer,
        limit_bytes,
    };
    match elements {
        Elements::Uint8(values) => integers.write(values),
        Elements::Uint16(values) => integers.write(values),
        Elements::Uint32(values) => integers.write(values),
        Elements::Uint64(values) => integers.write(values),
        Elements::Int8(values) => integers.write(values),
        Elements::Int16(values) => integers.write(values),
        Elements::Int32(values) => integers.write(values),
        Elements::Int64(values) => integers.write(values),
        Elements::Bool(values) => list(out, values, limit_bytes, |out, &value| {
            out.push_str(if value { "true" } else { "false" });
            true
        }),
        Elements::Fp32(values) => list(out, values, limit_bytes, |out, &value| writer.float(out, value)),
        Elements::Fp64(values) => list(out, values, limit_bytes, |out, &value| writer.float(out, value)),
        Elements::Bytes(values) => list(out, values, limit_bytes, |out, value| {
            let text = std::str::from_utf8(value);
            if let Ok(text) = text {
                numbers::text(out, text);
            }
            text.is_ok()
        }),
        // Refused before the run; here for models whose description lies.
        Elements::Fp16(_) | Elements::Bf16(_) => Err(Stop::Element(0)),
    }
}

/// Writes integers of any width.
struct Integers<'a> {
    out: &'a mut String,
    writer: &'a mut NumberWriter,
    limit_bytes: usize,
}

impl Integers<'_> {
    fn write<T: itoa::Integer + Copy>(&mut self, values: &[T]) -> Result<(), Stop> {
        list(self.out, values, self.limit_bytes, |out, &value| {
            self.writer.integer(out, value);
            true
        })
    }
}

/// Writes values with commas between them. Stops at the first one that `write` cannot write, and beyond the limit.
fn list<T>(
    out: &mut String,
    values: &[T],
    limit_bytes: usize,
    mut write: impl FnMut(&mut String, &T) -> bool,
) -> Result<(), Stop> {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if !write(out, value) {
            return Err(Stop::Element(index));
        }
        if out.len() > limit_bytes {
            return Err(Stop::TooLarge);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use berth_domain::tensor::Datatype;
    use berth_inference::tensor::Fill;
    use berth_wire::oip::InferResponse;

    use super::*;

    const NAMES: Names<'_> = Names {
        model: "m",
        version: "3",
        id: Some("r\"1"),
    };

    const LIMIT: usize = 1 << 20;

    fn answer(names: Names<'_>, outputs: &[(String, Tensor)], limit_bytes: usize) -> Result<String, Failure> {
        json(names, outputs, |_| false, limit_bytes)
    }

    fn output(elements: impl Into<Elements>, shape: Vec<usize>) -> Vec<(String, Tensor)> {
        vec![("y".to_owned(), Tensor::new(shape, elements).expect("fits"))]
    }

    #[test]
    fn body_is_what_the_public_description_says() {
        let body = answer(NAMES, &output(vec![1f32, -0.5], vec![1, 2]), LIMIT).expect("written");
        let read: InferResponse = serde_json::from_str(&body).expect("a body");
        assert_eq!(read.model_name, "m");
        assert_eq!(read.model_version.as_deref(), Some("3"));
        assert_eq!(read.id.as_deref(), Some("r\"1"));
        assert!(
            body.ends_with(r#""outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.0,-0.5]}]}"#),
            "{body}"
        );
    }

    #[test]
    fn every_datatype_with_a_json_form_is_written() {
        for &datatype in Datatype::ALL {
            let tensor = Tensor::filled(datatype, Fill::One, vec![2]).expect("fits");
            let body = answer(NAMES, &[("y".to_owned(), tensor)], LIMIT);
            if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
                assert_eq!(body.expect_err("no JSON form").code, Code::OutputNotRepresentable);
            } else {
                let read: serde_json::Value = serde_json::from_str(&body.expect("written")).expect("JSON");
                assert_eq!(read["outputs"][0]["data"].as_array().map(Vec::len), Some(2));
            }
        }
    }

    #[test]
    fn scalars_and_empty_outputs_are_written() {
        let body = answer(NAMES, &output(vec![7i64], vec![]), LIMIT).expect("written");
        assert!(body.ends_with(r#""shape":[],"data":[7]}]}"#), "{body}");
        let body = answer(NAMES, &output(Vec::<i64>::new(), vec![2, 0]), LIMIT).expect("written");
        assert!(body.ends_with(r#""shape":[2,0],"data":[]}]}"#), "{body}");
    }

    #[test]
    fn output_that_json_cannot_hold_is_named() {
        for outputs in [
            output(vec![0f32, f32::NAN], vec![2]),
            output(vec![0f64, f64::INFINITY], vec![2]),
            output(vec![b"fine".to_vec(), vec![0xff]], vec![2]),
        ] {
            let failure = answer(NAMES, &outputs, LIMIT).expect_err("no JSON form");
            assert_eq!(failure.code, Code::OutputNotRepresentable);
            assert!(
                failure.message.starts_with("Element 1 of the output `y`"),
                "{failure}"
            );
        }
    }

    #[test]
    fn writing_stops_at_the_limit() {
        let long = || vec![b"x".repeat(40); 3];
        for outputs in [
            output(vec![1u8; 200], vec![200]),
            output(vec![-1.25e-9f64; 20], vec![20]),
            output(long(), vec![3]),
        ] {
            let failure = answer(NAMES, &outputs, 160).expect_err("too large");
            assert_eq!(failure.code, Code::AnswerTooLarge);
            assert!(failure.message.contains("160 bytes"), "{failure}");
            assert!(answer(NAMES, &outputs, 1000).is_ok());
        }
    }

    #[test]
    fn outputs_in_binary_follow_the_json() {
        let fp16 = Tensor::filled(Datatype::Fp16, Fill::One, vec![2]).expect("fits");
        let outputs = [
            ("half".to_owned(), fp16),
            (
                "plain".to_owned(),
                Tensor::new(vec![1], vec![5i64]).expect("fits"),
            ),
            (
                "text".to_owned(),
                Tensor::new(vec![1], vec![b"\xff!".to_vec()]).expect("fits"),
            ),
        ];
        let written = rest(NAMES, &outputs, &[true, false, true], LIMIT).expect("written");
        assert_eq!(written.content_type, "application/octet-stream");
        let header = usize::try_from(written.header_bytes.expect("is said")).expect("small");
        let (head, tail) = written.body.split_at(header);
        let read: InferResponse = serde_json::from_slice(head).expect("JSON");
        let sizes: Vec<_> = read
            .outputs
            .iter()
            .map(|output| {
                output
                    .parameters
                    .as_ref()
                    .map(|all| all["binary_data_size"].clone())
            })
            .collect();
        assert_eq!(sizes, [Some(4.into()), None, Some(6.into())]);
        assert_eq!(read.outputs[1].data.as_ref().map(|data| data.get()), Some("[5]"));
        assert_eq!(tail, [0, 0x3c, 0, 0x3c, 2, 0, 0, 0, 0xff, b'!']);

        let whole = written.body.len();
        assert!(rest(NAMES, &outputs, &[true, false, true], whole).is_ok());
        for limit in [whole - 1, 3] {
            let failure = rest(NAMES, &outputs, &[true, false, true], limit).expect_err("too large");
            assert_eq!(failure.code, Code::AnswerTooLarge);
        }
        let plain = rest(NAMES, &outputs[1..2], &[false], LIMIT).expect("written");
        assert_eq!(
            (plain.content_type, plain.header_bytes),
            ("application/json", None)
        );
    }
}
