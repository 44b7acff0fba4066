//! What a caller is told when there is no answer.

use berth_inference::Error;
use berth_protocol::runner;
use berth_protocol::runner::FailureKind;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// A stable, machine-readable reason. Each one says by its kind who can act.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text form, as in error bodies.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Who caused it and who can act.
            pub const fn kind(self) -> FailureKind {
                match self { $(Self::$name => FailureKind::$kind,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not UTF-8.
    InvalidJson = "invalid_json", InvalidInput;
    /// A field that must be there is not.
    MissingParameter = "missing_required_parameter", InvalidInput;
    /// There is a field that nobody knows.
    UnknownParameter = "unknown_parameter", InvalidInput;
    /// A field is there twice.
    DuplicateParameter = "duplicate_parameter", InvalidInput;
    /// A field is of the wrong JSON type.
    InvalidType = "invalid_type", InvalidInput;
    /// A field has a value that is never right.
    InvalidValue = "invalid_value", InvalidInput;
    /// A field asks for something that this model or this server does not do.
    UnsupportedParameter = "unsupported_parameter", InvalidInput;
    /// The model's task has no such operation, such as embeddings from a model that takes tensors.
    OperationNotSupported = "operation_not_supported", InvalidInput;
    /// There is nothing to work on: no text, an empty text or an empty list.
    EmptyInput = "empty_input", InvalidInput;
    /// More rows than one request may have.
    TooManyInputs = "too_many_inputs", InvalidInput;
    /// A text has more bytes than one text may have.
    TextTooLong = "text_too_long", InvalidInput;
    /// A text or a list of token ids has more tokens than the model reads.
    ContextLengthExceeded = "context_length_exceeded", InvalidInput;
    /// A token id is not in the model's vocabulary.
    TokenOutOfRange = "token_out_of_range", InvalidInput;
    /// The model has no input or output of that name.
    UnknownTensor = "unknown_tensor", InvalidInput;
    /// An input of the model was not given.
    MissingTensor = "missing_tensor", InvalidInput;
    /// An input or output is named twice.
    DuplicateTensor = "duplicate_tensor", InvalidInput;
    /// A tensor is of another type than the model declares.
    DatatypeMismatch = "datatype_mismatch", InvalidInput;
    /// A tensor's type has no JSON form.
    DatatypeWithoutJsonForm = "datatype_without_json_form", InvalidInput;
    /// A tensor's shape does not fit what the model declares.
    ShapeMismatch = "shape_mismatch", InvalidInput;
    /// A tensor's data does not fit its own shape.
    DataMismatch = "data_mismatch", InvalidInput;
    /// A number does not fit its type.
    DataOutOfRange = "data_out_of_range", InvalidInput;
    /// An output cannot be written as JSON: its type has no JSON form, or it holds NaN, infinity or bytes that are no text.
    OutputNotRepresentable = "output_not_representable", InvalidInput;
    /// The model cannot work on the data, such as an index that is out of range or more positions than it knows.
    InputRejected = "input_rejected", InvalidInput;
    /// The answer is larger than one answer may be.
    AnswerTooLarge = "answer_too_large", TooLarge;
    /// Too many requests wait already; try again soon.
    QueueFull = "queue_full", Overloaded;
    /// The deadline passed before the answer was ready.
    DeadlineExceeded = "deadline_exceeded", Deadline;
    /// The model failed whatever the data was, or its result makes no sense.
    ModelFailed = "model_failed", Model;
    /// A defect of this program.
    Internal = "internal_error", Internal;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The stable reason.
    pub code: Code,
    /// One or two sentences for a person.
    pub message: String,
    /// The field at fault, such as `input[2]`.
    pub param: Option<String>,
}

impl Failure {
    /// A failure that is no single field's fault.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
        }
    }

    /// A failure that is the fault of this field.
    pub(crate) fn of(code: Code, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: Some(param.into()),
        }
    }

    /// An answer that would have more bytes than it may.
    pub(crate) fn answer_too_large(limit_bytes: usize) -> Self {
        Self::new(
            Code::AnswerTooLarge,
            format!(
                "The answer would have more than {limit_bytes} bytes, the most that one may have; ask for fewer rows or \
                 `outputs`."
            ),
        )
    }

    /// The failure as the runner's protocol says it.
    pub(crate) fn into_wire(self) -> runner::Failure {
        runner::Failure {
            kind: self.code.kind().into(),
            code: self.code.as_str().to_owned(),
            message: self.message,
            param: self.param.unwrap_or_default(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::InvalidInput { .. } => Code::InputRejected,
            Error::Interrupted => Code::DeadlineExceeded,
            Error::Load { .. } | Error::Failed { .. } => Code::ModelFailed,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn code_texts_are_distinct_and_every_code_has_a_kind() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(
            Code::ALL
                .iter()
                .all(|code| code.kind() != FailureKind::Unspecified)
        );
    }
}
