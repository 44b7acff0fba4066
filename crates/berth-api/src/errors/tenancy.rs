//! Failures of `berth-auth` around organizations, people and keys, as codes.

use berth_auth::{api_keys, invitations, members, organizations, people, projects, roles, service_accounts};

use crate::errors::{Code, Failure, sentence};

/// A field of the body that does not fit.
fn field(name: &str, error: &impl std::error::Error) -> Failure {
    Failure::new(Code::InvalidValue, sentence(error)).field(format!("/{name}"), error.to_string())
}

fn absent(what: &str) -> Failure {
    Failure::new(Code::NotFound, format!("There is no such {what} here."))
}

impl From<roles::Beyond> for Failure {
    fn from(beyond: roles::Beyond) -> Self {
        Self::new(Code::PermissionBeyondOwn, sentence(&beyond))
    }
}

impl From<organizations::Error> for Failure {
    fn from(error: organizations::Error) -> Self {
        use organizations::Error as E;
        match error {
            E::NotFound => absent("organization"),
            E::OperatorsOnly => Self::new(
                Code::OperatorRequired,
                "Organizations are made by the operator here.",
            ),
            E::NameTaken => Self::new(Code::NameTaken, "There is an organization of that name already."),
            E::SuspendedByOperator => Self::of(Code::SuspendedByOperator),
            E::Store(error) => error.into(),
        }
    }
}

impl From<projects::Error> for Failure {
    fn from(error: projects::Error) -> Self {
        use projects::Error as E;
        match error {
            E::NotFound => absent("project"),
            E::NameTaken => Self::new(Code::NameTaken, "There is a project of that name already."),
            E::Origin(_) | E::TooManyOrigins => field("origins", &error),
            E::Store(error) => error.into(),
        }
    }
}

impl From<roles::Error> for Failure {
    fn from(error: roles::Error) -> Self {
        use roles::Error as E;
        match error {
            E::NotFound => absent("role"),
            E::NameTaken => Self::new(Code::NameTaken, "There is a role of that name already."),
            E::Empty => field("permissions", &error),
            E::Beyond(beyond) => beyond.into(),
            E::Held => Self::of(Code::RoleInUse),
            E::Access(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<members::Error> for Failure {
    fn from(error: members::Error) -> Self {
        use members::Error as E;
        match error {
            E::NotFound => absent("member"),
            E::NoSuchRole => field("role", &error),
            E::LastOwner => Self::of(Code::LastOwner),
            E::Beyond(beyond) => beyond.into(),
            E::Access(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<invitations::Error> for Failure {
    fn from(error: invitations::Error) -> Self {
        use invitations::Error as E;
        match error {
            E::NotFound => absent("open invitation"),
            E::NoSuchRole => field("role", &error),
            E::Beyond(beyond) => beyond.into(),
            E::Access(error) => error.into(),
            E::Throttled(exceeded) => exceeded.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<invitations::AcceptError> for Failure {
    fn from(error: invitations::AcceptError) -> Self {
        use invitations::AcceptError as E;
        match error {
            E::Refused(refused) => Self::new(Code::InvitationInvalid, sentence(&refused)),
            E::Throttled(exceeded) => exceeded.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<service_accounts::Error> for Failure {
    fn from(error: service_accounts::Error) -> Self {
        use service_accounts::Error as E;
        match error {
            E::NotFound => absent("service account"),
            E::NameTaken => Self::new(
                Code::NameTaken,
                "There is a service account of that name already.",
            ),
            E::Access(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<api_keys::Error> for Failure {
    fn from(error: api_keys::Error) -> Self {
        use api_keys::Error as E;
        match error {
            E::NotFound => absent("API key"),
            E::NoScope | E::NotForKeys { .. } => field("scopes", &error),
            E::Beyond(beyond) => beyond.into(),
            E::Models => field("models", &error),
            E::Addresses => field("addresses", &error),
            E::Expiry => field("expires_at", &error),
            E::NoSuchServiceAccount => field("service_account_id", &error),
            E::Over => Self::of(Code::ApiKeyOver),
            E::Grace { .. } => field("grace_seconds", &error),
            E::Access(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<people::Error> for Failure {
    fn from(error: people::Error) -> Self {
        use people::Error as E;
        match error {
            E::NotFound => absent("person"),
            E::EmailTaken => Self::of(Code::EmailTaken),
            E::LastOperator => Self::of(Code::LastOperator),
            E::Disabled => Self::of(Code::AccountDisabled),
            E::Access(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}
