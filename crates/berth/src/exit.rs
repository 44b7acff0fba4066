//! How the program ends. `docs/operating.md` lists these numbers.

use std::process::ExitCode;

use crate::client;

/// Something else went wrong; the words say what.
pub(crate) const FAILED: u8 = 1;
/// The command line was wrong.
pub(crate) const USAGE: u8 = 2;
/// The server refused the request: it has to be changed.
pub(crate) const REFUSED: u8 = 3;
/// Nobody is signed in, or whoever is may not do this.
pub(crate) const NOT_ALLOWED: u8 = 4;
/// The server could not be reached, or failed: trying again later may help.
pub(crate) const UNAVAILABLE: u8 = 5;

/// The number for an error that ended a command.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    let number = error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<client::Error>() {
            return Some(of_client(error));
        }
        cause.downcast_ref::<berth_config::Error>().map(|_| USAGE)
    });
    ExitCode::from(number.unwrap_or(FAILED))
}

fn of_client(error: &client::Error) -> u8 {
    match error {
        client::Error::NotSignedIn => NOT_ALLOWED,
        client::Error::Unreachable { .. } => UNAVAILABLE,
        client::Error::Refused(refusal) => match refusal.status {
            401 | 403 => NOT_ALLOWED,
            429 | 500.. => UNAVAILABLE,
            _ => REFUSED,
        },
        client::Error::Credentials { .. } | client::Error::Body { .. } | client::Error::Url { .. } => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> anyhow::Error {
        let refusal = client::Refusal {
            status,
            ..client::Refusal::default()
        };
        anyhow::Error::from(client::Error::Refused(Box::new(refusal))).context("making a key")
    }

    #[test]
    fn number_tells_who_can_act() {
        for (error, number) in [
            (refused(422), REFUSED),
            (refused(403), NOT_ALLOWED),
            (refused(503), UNAVAILABLE),
            (refused(429), UNAVAILABLE),
            (client::Error::NotSignedIn.into(), NOT_ALLOWED),
            (anyhow::anyhow!("something else"), FAILED),
        ] {
            assert_eq!(code_of(&error), ExitCode::from(number), "{error:#}");
        }
    }
}
