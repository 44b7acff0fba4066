//! Failures of `berth-serving` as codes.

use std::io;

use berth_serving::gate::Refusal;
use berth_serving::inference::{self, FailureKind};
use berth_serving::routing::Absence;
use berth_serving::{deployments, models, place, routing, uploads};

use crate::errors::{Code, Failure, sentence};

impl From<inference::Error> for Failure {
    fn from(error: inference::Error) -> Self {
        use inference::Error as E;
        match error {
            E::ModelNotFound(model) => model_not_found(&model),
            E::NotReady(absence) => absent(absence),
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

/// A model of which no replica answers. Whoever may not know the reason was not given it.
fn absent(absence: Absence) -> Failure {
    match absence {
        Absence::Coming { retry_after, trouble } => {
            let detail = trouble.map(|trouble| {
                format!(
                    "No copy of the model is ready to answer yet; the last attempt came to nothing. {trouble}"
                )
            });
            let code = Code::ModelNotReady;
            let failure = detail.map_or_else(|| Failure::of(code), |detail| Failure::new(code, detail));
            failure.retry_after(retry_after)
        }
        Absence::Failed { reason: None } => Failure::of(Code::ModelFailedToLoad),
        Absence::Failed { reason: Some(reason) } => {
            let title = Code::ModelFailedToLoad.title();
            Failure::new(Code::ModelFailedToLoad, format!("{title} {reason}"))
        }
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

impl From<models::Error> for Failure {
    fn from(error: models::Error) -> Self {
        use models::Error as E;
        match error {
            E::ModelNotFound(_) | E::VersionNotFound(_) => Self::new(Code::NotFound, sentence(&error)),
            E::NameTaken(_) => Self::new(Code::NameTaken, sentence(&error)),
            E::Deployed => Self::of(Code::ModelDeployed),
            E::TooLong { field, .. } => {
                Self::new(Code::InvalidValue, sentence(&error)).field(format!("/{field}"), error.to_string())
            }
            E::Ended(ended) => ended.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<deployments::Error> for Failure {
    fn from(error: deployments::Error) -> Self {
        use deployments::Error as E;
        let field = |field: &str| {
            Self::new(Code::InvalidValue, sentence(&error)).field(pointer_of(field), error.to_string())
        };
        match &error {
            E::NotFound(_) => Self::new(Code::NotFound, sentence(&error)),
            E::ModelNotFound(_) => field("model"),
            E::VersionNotFound(_) => field("versions"),
            E::VersionNotReady { .. } => Self::new(Code::VersionNotReady, sentence(&error)),
            E::NameTaken(_) => Self::new(Code::NameTaken, sentence(&error)),
            E::OutOfRange { field: name, .. } => field(name),
            E::Ended(ended) => (*ended).into(),
            E::Store(_) => match error {
                E::Store(error) => error.into(),
                error => Self::internal(error),
            },
        }
    }
}

impl From<uploads::Error> for Failure {
    fn from(error: uploads::Error) -> Self {
        use uploads::Error as E;
        match error {
            E::Body(error) => broken_off(error),
            E::Empty => Self::new(Code::UploadEmpty, "The upload is empty."),
            E::TooLarge { .. } => Self::new(Code::BodyTooLarge, sentence(&error)),
            E::WrongDigest { .. } => Self::new(Code::DigestMismatch, sentence(&error)),
            E::Refused(refusal) => refused(refusal),
            E::Ended(ended) => permission_ended(ended),
            E::ModelDeleted => Self::new(Code::NotFound, sentence(&error)),
            E::Store(error) => error.into(),
            E::Artifacts(ref cause) if cause.is_transient() => Self::new(
                Code::Unavailable,
                "The files of models cannot be kept at the moment; nothing of the upload is.",
            )
            .source(error),
            E::Gate(_) | E::Artifacts(_) | E::Summary(_) => Self::internal(error),
        }
    }
}

/// An upload whose permission ended while it came in: as if it had been sent a moment later.
fn permission_ended(ended: uploads::Ended) -> Failure {
    let code = match ended {
        uploads::Ended::Place(ended) => return ended.into(),
        uploads::Ended::Key => Code::ApiKeyRevoked,
        uploads::Ended::Permission => Code::PermissionDenied,
    };
    Failure::new(code, sentence(&ended))
}

/// A project that ended before something was made in it: as if the request had been sent a moment later.
impl From<place::Ended> for Failure {
    fn from(ended: place::Ended) -> Self {
        let code = match ended {
            place::Ended::Deleted => Code::NotFound,
            place::Ended::OrganizationSuspended => Code::OrganizationSuspended,
            place::Ended::ProjectSuspended => Code::ProjectSuspended,
        };
        Self::new(code, sentence(&ended))
    }
}

/// An upload whose bytes stopped to come.
fn broken_off(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::new(
            Code::BodyTimeout,
            "The upload stood still for too long, or took too long altogether.",
        ),
        io::ErrorKind::FileTooLarge => {
            Failure::new(Code::BodyTooLarge, "The upload is larger than an upload may be.")
        }
        _ => Failure::of(Code::BodyIncomplete).source(error),
    }
}

/// What the gate says.
fn refused(refusal: Refusal) -> Failure {
    let code = Code::find(&refusal.code).unwrap_or(Code::UploadRefused);
    let message = sentence(&refusal);
    match refusal.path {
        Some(path) => Failure::new(code, format!("{message} (in `{}`)", path.escape_debug())),
        None => Failure::new(code, message),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use berth_serving::gate;

    use super::*;

    #[test]
    fn fields_of_the_runner_become_pointers() {
        assert_eq!(pointer_of("input[2]"), "/input/2");
        assert_eq!(pointer_of("inputs[0].shape"), "/inputs/0/shape");
        assert_eq!(pointer_of("dimensions"), "/dimensions");
    }

    #[test]
    fn model_that_failed_to_load_says_why_to_those_who_may_know() {
        let failed = |reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            Failure::from(inference::Error::NotReady(Absence::Failed { reason }))
        };
        let told = failed(Some("The runner was killed."));
        assert_eq!(
            told.detail(),
            "The model could not be loaded, or its process ended again and again. The runner was killed."
        );
        assert_eq!((told.code(), told.wait()), (Code::ModelFailedToLoad, None));
        let untold = failed(None);
        assert!(!untold.detail().contains("killed"));

        let coming = |trouble: Option<&str>| {
            let retry_after = Duration::from_secs(3);
            let trouble = trouble.map(str::to_owned);
            Failure::from(inference::Error::NotReady(Absence::Coming {
                retry_after,
                trouble,
            }))
        };
        let told = coming(Some("It was killed."));
        assert!(
            told.detail().ends_with("nothing. It was killed."),
            "{}",
            told.detail()
        );
        assert_eq!(
            (told.code(), told.wait()),
            (Code::ModelNotReady, Some(Duration::from_secs(3)))
        );
        assert_eq!(coming(None).detail(), Code::ModelNotReady.title());
    }

    #[test]
    fn every_refusal_of_the_gate_is_in_the_table() {
        for text in gate::REFUSAL_CODES {
            let code = Code::find(text).unwrap_or_else(|| panic!("`{text}` is not in the table"));
            assert!(
                crate::errors::groups::UPLOAD.contains(&code),
                "uploads do not declare `{text}`"
            );
            assert_eq!(code.status().as_u16(), 422);
        }
    }
}
