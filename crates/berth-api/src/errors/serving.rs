//! Failures of `berth-serving` as codes.

use berth_serving::inference::{self, FailureKind};
use berth_serving::routing;

use crate::errors::{Code, Failure};

impl From<inference::Error> for Failure {
    fn from(error: inference::Error) -> Self {
        use inference::Error as E;
        match error {
            E::ModelNotFound(model) => model_not_found(&model),
            E::NotReady(absence) => Self::of(Code::ModelNotReady).retry_after(absence.retry_after),
            E::RunnerCrashed(error) => Self::of(Code::RunnerCrashed).source(error),
            E::Deadline => Self::of(Code::DeadlineExceeded),
            E::Runner(failure) => runner(failure),
            E::Store(error) => error.into(),
            E::Protocol(error) => Self::internal(error),
        }
    }
}

impl From<routing::Error> for Failure {
    fn from(error: routing::Error) -> Self {
        inference::Error::from(error).into()
    }
}

/// A name that leads nowhere.
pub(crate) fn model_not_found(model: &str) -> Failure {
    let model = model.escape_debug();
    Failure::new(
        Code::ModelNotFound,
        format!("There is no model `{model}`, or the key may not call it."),
    )
    .field("/model", "names no model that the key may call")
}

/// What the runner says. Its code stands if it is in the table, else the one of its kind.
fn runner(failure: inference::Failure) -> Failure {
    let usual = match failure.kind() {
        FailureKind::InvalidInput => Code::InputRejected,
        FailureKind::TooLarge => Code::AnswerTooLarge,
        FailureKind::Overloaded => Code::ServerOverloaded,
        FailureKind::Deadline => Code::DeadlineExceeded,
        FailureKind::Model => Code::ModelFailed,
        FailureKind::Internal | FailureKind::Unspecified => {
            return Failure::internal(format!(
                "the runner failed: {}: {}",
                failure.code, failure.message
            ));
        }
    };
    let code = Code::find(&failure.code).unwrap_or(usual);
    let told = Failure::new(code, failure.message.clone());
    if failure.param.is_empty() {
        told
    } else {
        told.field(pointer_of(&failure.param), failure.message)
    }
}

/// The pointer of a field that the runner names as `input[2].name`.
fn pointer_of(param: &str) -> String {
    let path = param.replace('[', ".").replace(']', "");
    crate::errors::pointer(path.split('.').filter(|part| !part.is_empty()).map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_runner_become_pointers() {
        assert_eq!(pointer_of("input[2]"), "/input/2");
        assert_eq!(pointer_of("inputs[0].shape"), "/inputs/0/shape");
        assert_eq!(pointer_of("dimensions"), "/dimensions");
    }
}
