//! Why a graph is refused.

use std::io;

/// Why [`crate::inspect()`] refuses a graph, or could not read it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read; this says nothing about the model.
    #[error("the model file could not be read")]
    Io(#[from] io::Error),
    /// The file ends in the middle of something.
    #[error("the model file ends too early, after {length} bytes: was the upload or the export cut off?")]
    Truncated {
        /// Length of the file.
        length: u64,
    },
    /// Not the protobuf of an ONNX model.
    #[error("this is not an ONNX model: {what} (at byte {offset})")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// More of something than is allowed.
    #[error("the model has too much: {what} (limit {limit})")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// Graphs inside graphs.
    #[error("the model nests graphs more than {limit} deep")]
    NestedTooDeep {
        /// How deep is allowed.
        limit: u32,
    },
    /// The format is newer than what the runtime reads.
    #[error(
        "the model has ONNX IR version {version}; {newest} is the newest that ONNX Runtime {runtime} reads"
    )]
    IrUnsupported {
        /// The model's.
        version: i64,
        /// The newest supported.
        newest: i64,
        /// The runtime.
        runtime: &'static str,
    },
    /// No operator set.
    #[error("the model names no operator set (`opset_import` is empty)")]
    OpsetMissing,
    /// An operator set that is newer than the runtime's.
    #[error(
        "the model uses operator set {version} of `{domain}`; {newest} is the newest that ONNX Runtime {runtime} \
         has: export the model for that one"
    )]
    OpsetUnsupported {
        /// Of which domain.
        domain: String,
        /// The model's.
        version: i64,
        /// The newest supported.
        newest: i64,
        /// The runtime.
        runtime: &'static str,
    },
    /// An operator that the runtime does not ship.
    #[error("ONNX Runtime {runtime} cannot run the operator `{operator}` of `{domain}`: {reason}")]
    OperatorUnsupported {
        /// Of which domain.
        domain: String,
        /// Its name.
        operator: String,
        /// Why not.
        reason: String,
        /// The runtime.
        runtime: &'static str,
    },
    /// Weights outside the folder.
    #[error(
        "the weights of {tensor} are said to lie in {location}, which is not a plain path inside the model's folder"
    )]
    ExternalDataEscapes {
        /// Whose.
        tensor: String,
        /// Where.
        location: String,
    },
    /// Weights in a file that is not there.
    #[error(
        "the weights of {tensor} lie in the file {location}, which is missing: upload it together with the model"
    )]
    ExternalDataMissing {
        /// Whose.
        tensor: String,
        /// Where.
        location: String,
    },
    /// Weights beyond the end of their file.
    #[error("the weights of {tensor} reach to byte {end} of {location}, which has {length} bytes")]
    ExternalDataOutOfRange {
        /// Whose.
        tensor: String,
        /// Where.
        location: String,
        /// Where they end.
        end: u64,
        /// How long the file is.
        length: u64,
    },
    /// A tensor that contradicts itself.
    #[error("the tensor {tensor} contradicts itself: {what}")]
    TensorInvalid {
        /// Its name.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// One name for two things.
    #[error("two {what} are called {name}")]
    DuplicateName {
        /// Of what kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An input that callers could not give.
    #[error("the input {input} {what}")]
    TypeUnsupported {
        /// Its name.
        input: String,
        /// What is wrong.
        what: String,
    },
    /// Nothing that could be answered.
    #[error("the model has no output that is a tensor")]
    WithoutOutputs,
}

impl Error {
    /// The stable code of a refusal; `None` when the file could not be read, which is nobody's refusal.
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io(_) => return None,
            Self::Truncated { .. } => "model_truncated",
            Self::Malformed { .. } => "model_malformed",
            Self::TooLarge { .. } => "model_too_large",
            Self::NestedTooDeep { .. } => "model_nested_too_deep",
            Self::IrUnsupported { .. } => "model_ir_unsupported",
            Self::OpsetMissing => "model_opset_missing",
            Self::OpsetUnsupported { .. } => "model_opset_unsupported",
            Self::OperatorUnsupported { .. } => "model_operator_unsupported",
            Self::ExternalDataEscapes { .. } => "model_external_data_escapes",
            Self::ExternalDataMissing { .. } => "model_external_data_missing",
            Self::ExternalDataOutOfRange { .. } => "model_external_data_out_of_range",
            Self::TensorInvalid { .. } => "model_tensor_invalid",
            Self::DuplicateName { .. } => "model_duplicate_name",
            Self::TypeUnsupported { .. } => "model_type_unsupported",
            Self::WithoutOutputs => "model_without_outputs",
        })
    }
}

/// A name out of the file, fit for a message: quoted, escaped, and cut when it is long.
pub(crate) fn shown(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut text = String::from('`');
    for (index, letter) in name.chars().enumerate() {
        if index == LONGEST {
            text.push('…');
            break;
        }
        if letter.is_control() {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text.push('`');
    text
}
