//! The two pools, and the transactions that begin on them.

use std::time::Duration;

use berth_domain::id::{OrganizationId, UserId};
use berth_domain::secret::Secret;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::error::Error;
use crate::startup_check::{self, ConnectError};
use crate::tx::{Scope, SystemTx, Tx};

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct Options {
    /// URL of the database, as `berth_app` or a member of it.
    pub app_url: Secret,
    /// URL of the same database, as `berth_system` or a member of it.
    pub system_url: Secret,
    /// Connections that serve requests, at most.
    pub max_connections: u32,
    /// Connections that work across organizations, at most.
    pub max_system_connections: u32,
    /// How long a request waits for a connection before the store counts as unavailable.
    pub acquire_timeout: Duration,
    /// How long a statement may run before Postgres ends it.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock before Postgres ends it. Longer than `idle_timeout`, so that a change waits
    /// for a transaction that nobody ends rather than fail.
    pub lock_timeout: Duration,
    /// How long a transaction that serves a request may do nothing before Postgres ends it: what it has locked, nobody
    /// else can change.
    pub idle_timeout: Duration,
    /// The same for a transaction that works across organizations. The relay and the sweeps wait in theirs for a broker
    /// and for an artifact store.
    pub system_idle_timeout: Duration,
}

impl Options {
    /// The usual bounds.
    pub fn new(app_url: Secret, system_url: Secret) -> Self {
        Self {
            app_url,
            system_url,
            max_connections: 16,
            max_system_connections: 4,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(15),
            system_idle_timeout: Duration::from_mins(1),
        }
    }
}

/// Berth's memory in Postgres. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) app: PgPool,
    pub(crate) system: PgPool,
}

impl Store {
    /// Connects both pools and looks at what they reach. Fails when Postgres is unavailable or too old, when a role could
    /// see more than it should, or when the schema is older than this release.
    pub async fn connect(options: &Options) -> Result<Self, ConnectError> {
        let app = pool(
            options,
            &options.app_url,
            options.max_connections,
            options.idle_timeout,
        )
        .await?;
        let system = pool(
            options,
            &options.system_url,
            options.max_system_connections,
            options.system_idle_timeout,
        )
        .await?;
        startup_check::check(&app, startup_check::Side::App).await?;
        startup_check::check(&system, startup_check::Side::System).await?;
        Ok(Self { app, system })
    }

    /// A transaction in which the rows of `organization` can be seen and changed.
    pub async fn tenant(&self, organization: OrganizationId) -> Result<Tx, Error> {
        let scope = Scope {
            organization: Some(organization),
            person: None,
        };
        Tx::begin(&self.app, scope).await
    }

    /// A transaction in which `person`'s own rows can be seen and changed.
    pub async fn person(&self, person: UserId) -> Result<Tx, Error> {
        let scope = Scope {
            organization: None,
            person: Some(person),
        };
        Tx::begin(&self.app, scope).await
    }

    /// A transaction in which the rows of `organization` and `person`'s own can be seen and changed, for what must happen to
    /// both or neither.
    pub async fn tenant_as(&self, organization: OrganizationId, person: UserId) -> Result<Tx, Error> {
        let scope = Scope {
            organization: Some(organization),
            person: Some(person),
        };
        Tx::begin(&self.app, scope).await
    }

    /// A transaction of nobody in particular, in which no row can be seen: for what strangers may ask, such as a new
    /// password.
    pub async fn public(&self) -> Result<Tx, Error> {
        Tx::begin(&self.app, Scope::default()).await
    }

    /// A transaction across organizations.
    pub async fn system(&self) -> Result<SystemTx, Error> {
        SystemTx::begin(&self.system).await
    }

    /// A sign of life from both pools, for readiness.
    pub async fn check(&self) -> Result<(), Error> {
        for pool in [&self.app, &self.system] {
            sqlx::query_scalar!("SELECT 1 AS one").fetch_one(pool).await?;
        }
        Ok(())
    }

    /// Closes both pools and waits for the connections that are in use.
    pub async fn close(&self) {
        self.app.close().await;
        self.system.close().await;
    }
}

/// How Postgres finds out that nobody is at the other end any more, in seconds: after so much silence it asks, so often, and
/// gives up after three questions. Then what the connection has locked is free.
const KEEP_ALIVE: [(&str, u32); 3] = [
    ("tcp_keepalives_idle", 15),
    ("tcp_keepalives_interval", 5),
    ("tcp_keepalives_count", 3),
];

async fn pool(
    options: &Options,
    url: &Secret,
    max_connections: u32,
    idle_timeout: Duration,
) -> Result<PgPool, ConnectError> {
    let limits = [
        ("statement_timeout", options.statement_timeout),
        ("lock_timeout", options.lock_timeout),
        ("idle_in_transaction_session_timeout", idle_timeout),
    ];
    let connect = url
        .expose()
        .parse::<PgConnectOptions>()
        .map_err(ConnectError::Url)?
        .application_name("berth")
        .options(limits.map(|(name, limit)| (name, format!("{}ms", limit.as_millis()))))
        .options(KEEP_ALIVE);
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(options.acquire_timeout)
        .connect_with(connect)
        .await
        .map_err(|error| ConnectError::Store(error.into()))
}
