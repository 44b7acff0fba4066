//! Tells a broker that is away from one that says no.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::error::Error;

pub(super) fn classify(attempted: &'static str, source: lapin::Error) -> Error {
    let refused = match source.kind() {
        // Not found is not among them: a queue without a leader is called so, and a deleted one is declared anew.
        ErrorKind::ProtocolError(error) => matches!(
            error.kind(),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
                | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::NOTIMPLEMENTED)
        ),
        ErrorKind::AuthProviderError(_) | ErrorKind::InvalidProtocolVersion(_) => true,
        _ => false,
    };
    let source = source.into();
    if refused {
        Error::Refused { attempted, source }
    } else {
        Error::Unavailable { attempted, source }
    }
}
