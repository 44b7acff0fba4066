//! Failures of repeatable requests, as codes.

use berth_auth::repeats;

use crate::errors::{Code, Failure};

impl From<repeats::Error> for Failure {
    fn from(error: repeats::Error) -> Self {
        use repeats::Error as E;
        match error {
            E::Running => Self::of(Code::IdempotencyKeyInUse),
            E::Different => Self::of(Code::IdempotencyKeyReused),
            E::Sealed(error) => Self::internal(error),
            E::Store(error) => error.into(),
        }
    }
}
