//! Failures of `berth-auth` as codes.

use berth_auth::{access, accounts, authenticator, password_policy, passwords, sessions, throttle, tokens};

use crate::errors::{Code, Failure, sentence};

/// The database, as every crate tells it.
impl From<berth_store::Error> for Failure {
    fn from(error: berth_store::Error) -> Self {
        if error.is_transient() {
            Self::new(Code::Unavailable, "The database cannot be reached at the moment.").source(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<authenticator::LookUpError> for Failure {
    fn from(error: authenticator::LookUpError) -> Self {
        match error {
            authenticator::LookUpError::Busy => Self::of(Code::Overloaded),
            _ => Self::new(Code::Unavailable, "The database cannot be reached at the moment.").source(error),
        }
    }
}

impl From<passwords::Error> for Failure {
    fn from(error: passwords::Error) -> Self {
        match error {
            // Strangers can bring this about, so it is no fault, and no line in the log each time.
            passwords::Error::Busy => Self::new(
                Code::Overloaded,
                "Too many passwords are being checked at the moment.",
            ),
            _ => Self::internal(error),
        }
    }
}

impl From<throttle::Exceeded> for Failure {
    fn from(exceeded: throttle::Exceeded) -> Self {
        let seconds = exceeded.retry_after.as_secs().max(1);
        Self::new(
            Code::TooManyAttempts,
            format!("Too many attempts were made; try again in {seconds} s."),
        )
        .retry_after(exceeded.retry_after)
    }
}

impl From<authenticator::Error> for Failure {
    fn from(error: authenticator::Error) -> Self {
        use authenticator::Error as E;
        match error {
            E::Text(_) | E::Unknown => Self::new(Code::ApiKeyInvalid, "The API key is not valid."),
            E::Revoked => Self::new(Code::ApiKeyRevoked, "The API key was revoked."),
            E::Expired => Self::of(Code::ApiKeyExpired),
            E::Address => Self::of(Code::AddressNotAllowed),
            E::OrganizationSuspended => Self::of(Code::OrganizationSuspended),
            E::ProjectSuspended => Self::of(Code::ProjectSuspended),
            E::ServiceAccountDisabled => Self::new(
                Code::ApiKeyHolderDisabled,
                "The service account that holds the API key is disabled.",
            ),
            E::MakerDisabled => Self::new(
                Code::ApiKeyHolderDisabled,
                "The account of the person who made the API key is disabled.",
            ),
            E::TooManyUnknown(exceeded) => exceeded.into(),
            E::Unavailable(error) => error.into(),
        }
    }
}

impl From<sessions::TokenError> for Failure {
    fn from(error: sessions::TokenError) -> Self {
        use sessions::TokenError as E;
        match error {
            E::Token(tokens::Error::Invalid) => Self::of(Code::AccessTokenInvalid),
            E::Token(tokens::Error::Expired) => Self::of(Code::AccessTokenExpired),
            E::SessionEnded => Self::of(Code::SessionEnded),
            E::Disabled => Self::of(Code::AccountDisabled),
            E::Store(error) => error.into(),
        }
    }
}

impl From<access::Error> for Failure {
    fn from(error: access::Error) -> Self {
        use access::Error as E;
        match error {
            E::NotFound => Self::new(
                Code::NotFound,
                "There is no such organization or project, or the caller is not a member of it.",
            ),
            E::Forbidden { permission } => Self::new(
                Code::PermissionDenied,
                format!("This needs the permission `{}`.", permission.as_str()),
            ),
            E::NotOperator => Self::of(Code::OperatorRequired),
            E::OrganizationSuspended => Self::of(Code::OrganizationSuspended),
            E::ProjectSuspended => Self::of(Code::ProjectSuspended),
            E::Store(error) => error.into(),
        }
    }
}

impl From<sessions::SignInError> for Failure {
    fn from(error: sessions::SignInError) -> Self {
        use sessions::SignInError as E;
        match error {
            E::Credentials => Self::of(Code::SignInFailed),
            E::Disabled => Self::of(Code::AccountDisabled),
            E::Throttled(exceeded) => exceeded.into(),
            E::Password(error) => error.into(),
            E::Sign(error) => Self::internal(error),
            E::Store(error) => error.into(),
        }
    }
}

impl From<sessions::RefreshError> for Failure {
    fn from(error: sessions::RefreshError) -> Self {
        use sessions::RefreshError as E;
        match error {
            E::Invalid => Self::of(Code::RefreshTokenInvalid),
            E::Throttled(exceeded) => exceeded.into(),
            E::Reused => Self::of(Code::RefreshTokenReused),
            E::Disabled => Self::of(Code::AccountDisabled),
            E::Sign(error) => Self::internal(error),
            E::Store(error) => error.into(),
        }
    }
}

/// A refused password, with the field that brought it.
fn password_refused(error: password_policy::Error, field: &str) -> Failure {
    Failure::new(Code::PasswordRefused, sentence(&error)).field(format!("/{field}"), error.to_string())
}

impl From<accounts::SignUpError> for Failure {
    fn from(error: accounts::SignUpError) -> Self {
        use accounts::SignUpError as E;
        match error {
            E::Closed => Self::of(Code::SignUpClosed),
            E::InvitationNeeded => Self::of(Code::InvitationRequired),
            E::Invitation(refused) => Self::new(Code::InvitationInvalid, sentence(&refused)),
            E::EmailTaken => Self::of(Code::EmailTaken),
            E::Policy(error) => password_refused(error, "password"),
            E::Throttled(exceeded) => exceeded.into(),
            E::Password(error) => error.into(),
            E::Sign(error) => Self::internal(error),
            E::Store(error) => error.into(),
        }
    }
}

impl From<accounts::ChangePasswordError> for Failure {
    fn from(error: accounts::ChangePasswordError) -> Self {
        use accounts::ChangePasswordError as E;
        match error {
            E::Credentials => Self::of(Code::PasswordWrong),
            E::Policy(error) => password_refused(error, "new_password"),
            E::Throttled(exceeded) => exceeded.into(),
            E::Password(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<accounts::ResetPasswordError> for Failure {
    fn from(error: accounts::ResetPasswordError) -> Self {
        use accounts::ResetPasswordError as E;
        match error {
            E::Link => Self::of(Code::PasswordLinkInvalid),
            E::Policy(error) => password_refused(error, "new_password"),
            E::Throttled(exceeded) => exceeded.into(),
            E::Password(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<accounts::RequestResetError> for Failure {
    fn from(error: accounts::RequestResetError) -> Self {
        use accounts::RequestResetError as E;
        match error {
            E::Throttled(exceeded) => exceeded.into(),
            E::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn full_queue_of_passwords_is_no_fault_and_worth_another_try() {
        let busy = || passwords::Error::Busy;
        for failure in [
            Failure::from(sessions::SignInError::Password(busy())),
            accounts::SignUpError::Password(busy()).into(),
            accounts::ChangePasswordError::Password(busy()).into(),
            accounts::ResetPasswordError::Password(busy()).into(),
        ] {
            assert_eq!(failure.code(), Code::Overloaded);
            assert!(failure.wait().is_some());
            assert!(
                Error::source(&failure).is_none(),
                "what has no cause is not logged"
            );
        }
    }
}
