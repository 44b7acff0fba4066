//! How a graph is fed with token ids and how its output becomes vectors.

use berth_domain::manifest::{Manifest, Pooling, TextEmbedding};
use berth_domain::tensor::{Datatype, TensorSpec};
use berth_inference::tensor::Elements;
use berth_inference::{Error, Interrupt, Session, Tensor};

use crate::failure::{Code, Failure};

/// Why a graph cannot embed texts.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It has an input that is none of those of text models.
    #[error(
        "the graph's input `{0}` is none that a text embedding model has: input_ids, attention_mask, token_type_ids, \
         position_ids"
    )]
    UnknownInput(String),
    /// It reads no token ids.
    #[error("the graph has no input `input_ids`")]
    NoTokens,
    /// An input is of a type that token ids cannot have.
    #[error("the graph's input `{name}` is {}, and token ids are INT64 or INT32", datatype.as_str())]
    InputType {
        /// The input.
        name: String,
        /// Its type.
        datatype: Datatype,
    },
    /// It does not have the output that the manifest names.
    #[error("the graph has no output `{0}`")]
    NoOutput(String),
    /// The output is of the wrong rank.
    #[error("the graph's output `{name}` has {rank} dimensions, and the pooling needs {wanted}")]
    OutputRank {
        /// The output.
        name: String,
        /// How many dimensions it has.
        rank: usize,
        /// How many it has to have.
        wanted: usize,
    },
    /// The output is not made of floats.
    #[error("the graph's output `{name}` is {}, and vectors are made of floats", datatype.as_str())]
    OutputType {
        /// The output.
        name: String,
        /// Its type.
        datatype: Datatype,
    },
}

/// What an input of the graph gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Tokens,
    Mask,
    Types,
    Positions,
}

/// How one graph is run.
#[derive(Debug)]
pub(crate) struct Plan {
    inputs: Vec<(String, Role, Datatype)>,
    output: String,
    pooling: Pooling,
    normalize: bool,
    dimensions: usize,
    padding: Option<u32>,
}

impl Plan {
    /// The plan for a graph with these inputs and outputs. Rows are padded with `padding_id` where that is safe.
    pub(crate) fn new(
        manifest: &Manifest,
        embedding: &TextEmbedding,
        (inputs, outputs): (&[TensorSpec], &[TensorSpec]),
        padding_id: u32,
    ) -> Result<Self, Unfit> {
        let inputs: Vec<_> = inputs.iter().map(role).collect::<Result<_, _>>()?;
        let has = |wanted| inputs.iter().any(|(_, role, _)| *role == wanted);
        if !has(Role::Tokens) {
            return Err(Unfit::NoTokens);
        }
        let padding = (manifest.batching.padding_is_safe && has(Role::Mask)).then_some(padding_id);
        let output = outputs.iter().find(|spec| spec.name == embedding.output);
        let output = output.ok_or_else(|| Unfit::NoOutput(embedding.output.clone()))?;
        let wanted = if embedding.pooling == Pooling::None { 2 } else { 3 };
        if output.shape.len() != wanted {
            return Err(Unfit::OutputRank {
                name: output.name.clone(),
                rank: output.shape.len(),
                wanted,
            });
        }
        if !matches!(
            output.datatype,
            Datatype::Fp32 | Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp64
        ) {
            return Err(Unfit::OutputType {
                name: output.name.clone(),
                datatype: output.datatype,
            });
        }
        Ok(Self {
            inputs,
            output: embedding.output.clone(),
            pooling: embedding.pooling,
            normalize: embedding.normalize,
            dimensions: usize::try_from(embedding.dimensions).unwrap_or(usize::MAX),
            padding,
        })
    }

    /// Whether rows of different lengths may share a run.
    pub(crate) const fn pads(&self) -> bool {
        self.padding.is_some()
    }

    /// The vectors of these rows, of one run.
    pub(crate) fn embed(
        &self,
        session: &mut dyn Session,
        rows: &[&[u32]],
        interrupt: &Interrupt,
    ) -> Result<Vec<Result<Vec<f32>, Failure>>, Failure> {
        let states = self.run(session, rows, interrupt)?;
        self.pool(&states, rows)
    }

    fn run(
        &self,
        session: &mut dyn Session,
        rows: &[&[u32]],
        interrupt: &Interrupt,
    ) -> Result<Tensor, Failure> {
        let length = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let inputs = self
            .inputs
            .iter()
            .map(|(name, role, datatype)| Ok((name.as_str(), self.input(*role, *datatype, rows, length)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let mut outputs = session
            .run(&inputs, &[&self.output], interrupt)
            .map_err(of_own_tensors)?;
        outputs
            .pop()
            .ok_or_else(|| Failure::new(Code::ModelFailed, "The model gave no output."))
    }

    fn input(
        &self,
        role: Role,
        datatype: Datatype,
        rows: &[&[u32]],
        length: usize,
    ) -> Result<Tensor, Failure> {
        let padding = self.padding.unwrap_or(0);
        let value = |row: &[u32], place: usize| match (role, row.get(place)) {
            (Role::Tokens, token) => token.copied().unwrap_or(padding),
            (Role::Mask, token) => u32::from(token.is_some()),
            (Role::Types, _) => 0,
            (Role::Positions, _) => u32::try_from(place).unwrap_or(u32::MAX),
        };
        let values = rows
            .iter()
            .flat_map(|row| (0..length).map(move |place| value(row, place)));
        let elements: Elements = if datatype == Datatype::Int32 {
            values.map(u32::cast_signed).collect::<Vec<i32>>().into()
        } else {
            values.map(i64::from).collect::<Vec<i64>>().into()
        };
        Tensor::new(vec![rows.len(), length], elements)
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))
    }

    /// The vector of each row.
    fn pool(&self, states: &Tensor, rows: &[&[u32]]) -> Result<Vec<Result<Vec<f32>, Failure>>, Failure> {
        let (shape, width) = (states.shape(), self.dimensions);
        let fits = match (self.pooling, shape) {
            (Pooling::None, &[count, found]) => count == rows.len() && found == width,
            (Pooling::None, _) => false,
            (_, &[count, length, found]) => {
                count == rows.len() && found == width && rows.iter().all(|row| row.len() <= length)
            }
            _ => false,
        };
        if !fits {
            return Err(Failure::new(
                Code::ModelFailed,
                format!(
                    "The model's output `{}` is of shape {shape:?}, which does not hold {} vectors of {width} numbers.",
                    self.output,
                    rows.len()
                ),
            ));
        }
        let states = floats(states.elements())?;
        let stride = if self.pooling == Pooling::None {
            width
        } else {
            shape[1] * width
        };
        let vector = |(place, row): (usize, &&[u32])| {
            let state = &states[place * stride..(place + 1) * stride];
            let mut vector = match self.pooling {
                Pooling::None | Pooling::Cls => state[..width].to_vec(),
                Pooling::LastToken => {
                    let last = row.len().saturating_sub(1) * width;
                    state[last..last + width].to_vec()
                }
                Pooling::Mean => mean(width, &state[..row.len() * width], row.len()),
            };
            if self.normalize {
                normalize(&mut vector);
            }
            if vector.iter().all(|number| number.is_finite()) {
                return Ok(vector);
            }
            Err(Failure::new(
                Code::ModelFailed,
                "The model gave a vector with numbers that are not finite.",
            ))
        };
        Ok(rows.iter().enumerate().map(vector).collect())
    }
}

/// A failure on tensors that were made here, out of tokens within the stated bounds: the caller has no part in it, even when
/// the model says that the data is at fault. Its tokenizer does not fit its graph, or `max_tokens` is beyond its positions.
fn of_own_tensors(error: Error) -> Failure {
    match error {
        Error::InvalidInput { message, .. } => Failure::new(
            Code::ModelFailed,
            format!("The model cannot work on tokens that its own manifest and tokenizer allow: {message}"),
        ),
        other => other.into(),
    }
}

fn role(spec: &TensorSpec) -> Result<(String, Role, Datatype), Unfit> {
    let role = match spec.name.as_str() {
        "input_ids" => Role::Tokens,
        "attention_mask" => Role::Mask,
        "token_type_ids" => Role::Types,
        "position_ids" => Role::Positions,
        other => return Err(Unfit::UnknownInput(other.to_owned())),
    };
    match spec.datatype {
        Datatype::Int64 | Datatype::Int32 => Ok((spec.name.clone(), role, spec.datatype)),
        datatype => Err(Unfit::InputType {
            name: spec.name.clone(),
            datatype,
        }),
    }
}

fn floats(elements: &Elements) -> Result<std::borrow::Cow<'_, [f32]>, Failure> {
    Ok(match elements {
        Elements::Fp32(values) => values.into(),
        Elements::Fp16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Elements::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "vectors are served in single precision"
        )]
        Elements::Fp64(values) => values.iter().map(|&value| value as f32).collect(),
        other => {
            let name = other.datatype().as_str();
            return Err(Failure::new(
                Code::ModelFailed,
                format!("The model's vectors are {name}."),
            ));
        }
    })
}

fn mean(width: usize, states: &[f32], count: usize) -> Vec<f32> {
    let mut vector = vec![0.0; width];
    for state in states.chunks_exact(width.max(1)) {
        for (sum, value) in vector.iter_mut().zip(state) {
            *sum += value;
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a row has fewer tokens than a float counts exactly"
    )]
    let count = count.max(1) as f32;
    for sum in &mut vector {
        *sum /= count;
    }
    vector
}

fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    // A vector of zeros stays what it is.
    let length = length.max(1e-12);
    for value in vector {
        *value /= length;
    }
}
