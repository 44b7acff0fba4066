//! What is asked of each model.

use std::fmt;

use serde_json::{Value, json};

/// How tensors travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As numbers in JSON.
    Json,
    /// As bytes behind the JSON, both ways.
    Binary,
}

impl fmt::Display for Form {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Json => "JSON",
            Self::Binary => "binary",
        })
    }
}

/// Elements of one row.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Fp32(Vec<f32>),
    Int64(Vec<i64>),
}

/// An input with one row.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: &'static str,
    /// The extents behind the first.
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

/// A model and one request of one row.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: &'static str,
    /// Sizes of batches that bare ONNX Runtime tries.
    pub(crate) batches: &'static [usize],
}

/// A perceptron of some hundred weights: what remains is serving itself.
pub(crate) fn tiny() -> Workload {
    Workload {
        name: "tiny",
        inputs: vec![Input {
            name: "x",
            shape: vec![4],
            data: Data::Fp32(vec![5.1, 3.5, 1.4, 0.2]),
        }],
        output: "y",
        batches: &[1, 16, 64],
    }
}

/// all-MiniLM-L6-v2 in float32 with 32 tokens.
pub(crate) fn minilm() -> Workload {
    let whole = |name, of: fn(i64) -> i64| Input {
        name,
        shape: vec![32],
        data: Data::Int64((0..32).map(of).collect()),
    };
    Workload {
        name: "minilm",
        inputs: vec![
            whole("input_ids", |index| 2000 + 7 * index),
            whole("attention_mask", |_| 1),
            whole("token_type_ids", |_| 0),
        ],
        output: "sentence_embedding",
        batches: &[1, 2, 4, 8, 16, 32],
    }
}

/// EfficientNet-Lite0 with one picture: 150,528 numbers.
pub(crate) fn efficientnet() -> Workload {
    // Four digits after the point: about a megabyte of JSON.
    let pixels = (0u16..=u16::MAX)
        .cycle()
        .take(3 * 224 * 224)
        .map(|index| (f32::from(index % 20_011) - 10_005.0) / 10_000.0);
    Workload {
        name: "efficientnet",
        inputs: vec![Input {
            name: "pixel_values",
            shape: vec![3, 224, 224],
            data: Data::Fp32(pixels.collect()),
        }],
        output: "logits",
        batches: &[1, 2, 4, 8],
    }
}

/// A body, and the length of its JSON where bytes follow.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) json_length: Option<usize>,
}

impl Workload {
    /// The request in the Open Inference Protocol.
    pub(crate) fn body(&self, form: Form) -> Body {
        let mut tail = Vec::new();
        let inputs: Vec<Value> = self
            .inputs
            .iter()
            .map(|input| written(input, form, &mut tail))
            .collect();
        let output = match form {
            Form::Json => json!({ "name": self.output }),
            Form::Binary => json!({ "name": self.output, "parameters": { "binary_data": true } }),
        };
        let mut bytes = json!({ "inputs": inputs, "outputs": [output] })
            .to_string()
            .into_bytes();
        let json_length = (form == Form::Binary).then_some(bytes.len());
        bytes.extend(tail);
        Body { bytes, json_length }
    }
}

fn written(input: &Input, form: Form, tail: &mut Vec<u8>) -> Value {
    let mut shape = vec![1];
    shape.extend(&input.shape);
    let datatype = match input.data {
        Data::Fp32(_) => "FP32",
        Data::Int64(_) => "INT64",
    };
    let mut tensor = json!({ "name": input.name, "shape": shape, "datatype": datatype });
    match (form, &input.data) {
        (Form::Json, Data::Fp32(data)) => tensor["data"] = json!(data),
        (Form::Json, Data::Int64(data)) => tensor["data"] = json!(data),
        (Form::Binary, data) => {
            let before = tail.len();
            match data {
                Data::Fp32(data) => tail.extend(data.iter().flat_map(|value| value.to_le_bytes())),
                Data::Int64(data) => tail.extend(data.iter().flat_map(|value| value.to_le_bytes())),
            }
            tensor["parameters"] = json!({ "binary_data_size": tail.len() - before });
        }
    }
    tensor
}
