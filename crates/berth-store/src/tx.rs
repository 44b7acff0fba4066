//! One transaction in one scope, with an accessor per aggregate.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::error::Error;

/// A transaction as `berth_app`, in the scope in which [`crate::Store`] began it: row-level security shows nothing outside.
/// Dropping it rolls back.
pub struct Tx(Transaction<'static, Postgres>);

/// A transaction as `berth_system`, which sees the rows of every organization in the tables that admit it. Dropping it rolls
/// back.
pub struct SystemTx(Transaction<'static, Postgres>);

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $type:path;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&mut self) -> $type {
                $type(self.connection())
            }
        )*
    };
}

/// What may be seen: an organization's rows, a person's own, both, or neither.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    pub(crate) organization: Option<berth_domain::id::OrganizationId>,
    pub(crate) person: Option<berth_domain::id::UserId>,
}

impl Tx {
    pub(crate) async fn begin(pool: &PgPool, scope: Scope) -> Result<Self, Error> {
        let mut transaction = begin(pool).await?;
        let organization = scope
            .organization
            .map(|organization| organization.as_uuid().to_string());
        let person = scope.person.map(|person| person.as_uuid().to_string());
        // Local to the transaction: the connection goes back to the pool without them.
        sqlx::query!(
            "SELECT
                set_config('berth.organization_id', COALESCE($1, ''), true) AS organization_id,
                set_config('berth.user_id', COALESCE($2, ''), true) AS user_id",
            organization,
            person,
        )
        .fetch_one(&mut *transaction)
        .await?;
        Ok(Self(transaction))
    }

    /// Makes the changes of this transaction last. Fails when Postgres cannot say that they do; then it is not known.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.0.commit().await?)
    }

    /// Undoes the changes of this transaction. Dropping it does the same a little later; after this, what it had locked is
    /// free.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.0.rollback().await?)
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Begins a transaction. In a task of its own: a connection whose `BEGIN` nobody waits for any more would go back to the pool
/// with a transaction that nobody knows of, and what its next user does outside of one would never be committed.
async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    Ok(begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
}

impl SystemTx {
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, Error> {
        Ok(Self(begin(pool).await?))
    }

    /// Makes the changes of this transaction last. Fails when Postgres cannot say that they do; then it is not known.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.0.commit().await?)
    }

    /// Undoes the changes of this transaction. Dropping it does the same a little later; after this, what it had locked is
    /// free.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.0.rollback().await?)
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl Tx {
    accessors! {
        /// People.
        users: crate::users::Users<'_>;
        /// Their passwords.
        passwords: crate::passwords::Passwords<'_>;
        /// Their sessions.
        sessions: crate::sessions::Sessions<'_>;
        /// The refresh tokens of sessions.
        refresh_tokens: crate::refresh_tokens::RefreshTokens<'_>;
        /// Requests for a new password.
        password_resets: crate::password_resets::PasswordResets<'_>;
        /// Organizations.
        organizations: crate::organizations::Organizations<'_>;
        /// Projects.
        projects: crate::projects::Projects<'_>;
        /// Roles that an organization made.
        roles: crate::roles::Roles<'_>;
        /// Who belongs to an organization.
        memberships: crate::memberships::Memberships<'_>;
        /// Invitations.
        invitations: crate::invitations::Invitations<'_>;
        /// Service accounts.
        service_accounts: crate::service_accounts::ServiceAccounts<'_>;
        /// API keys.
        api_keys: crate::api_keys::ApiKeys<'_>;
        /// The secrets of API keys.
        api_key_secrets: crate::api_key_secrets::ApiKeySecrets<'_>;
        /// Models.
        models: crate::models::Models<'_>;
        /// Versions of models.
        versions: crate::versions::Versions<'_>;
        /// The bytes of model files.
        blobs: crate::blobs::Blobs<'_>;
        /// Deployments.
        deployments: crate::deployments::Deployments<'_>;
        /// What a project can call.
        callables: crate::callables::Callables<'_>;
        /// Messages to be published.
        outbox: crate::outbox::Outbox<'_>;
        /// Answers kept for repeated requests.
        idempotency_keys: crate::idempotency_keys::IdempotencyKeys<'_>;
        /// Counters of change.
        changes: crate::changes::Changes<'_>;
    }
}

impl SystemTx {
    accessors! {
        /// Organizations.
        organizations: crate::system::organizations::Organizations<'_>;
        /// People.
        users: crate::system::users::Users<'_>;
        /// Invitations.
        invitations: crate::system::invitations::Invitations<'_>;
        /// Requests for a new password.
        password_resets: crate::system::password_resets::PasswordResets<'_>;
        /// Models.
        models: crate::system::models::Models<'_>;
        /// Versions of models.
        versions: crate::system::versions::Versions<'_>;
        /// The bytes of model files.
        blobs: crate::system::blobs::Blobs<'_>;
        /// What is to be placed on workers.
        placements: crate::system::placements::Placements<'_>;
        /// Messages to be published.
        outbox: crate::system::outbox::Outbox<'_>;
        /// What is over and can go.
        expired: crate::system::expired::Expired<'_>;
        /// Counters of change.
        changes: crate::changes::Changes<'_>;
    }
}
