//! The private Postgres.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_local_servers::postgres;
use berth_store::{MigrateOptions, ProvisionOptions};

use super::settings::{DatabaseUrls, random_text};
use super::state::State;

const DATABASE: &str = "berth";
const OWNER: &str = "berth_owner";

/// The private Postgres; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Database {
    server: postgres::Server,
    /// Where it is.
    pub(crate) urls: DatabaseUrls,
}

impl Database {
    /// Starts the server over the state folder, and brings its schema to this release.
    pub(crate) async fn start(state: &State, binaries: Option<PathBuf>) -> anyhow::Result<Self> {
        let options = postgres::Options {
            binaries,
            ..postgres::Options::new(state.path("postgres"))
        };
        let server = tokio::task::spawn_blocking(move || postgres::Server::start(&options)).await?;
        let server = server.context("starting Postgres")?;
        let url = |role: &str| -> anyhow::Result<Secret> {
            let password = fs::read_to_string(state.secret(&format!("postgres-{role}"), random_text)?)?;
            Ok(Secret::new(server.url(role, &password, DATABASE)))
        };
        let (owner, app, system) = (url(OWNER)?, url("berth_app")?, url("berth_system")?);
        let provision = ProvisionOptions {
            superuser_url: Secret::new(server.superuser_url()),
            owner_url: owner.clone(),
        };
        berth_store::provision(&provision, &SystemRandom)
            .await
            .context("setting up the database")?;
        let migrate = MigrateOptions {
            owner_url: owner,
            app_url: app.clone(),
            system_url: system.clone(),
        };
        berth_store::migrate(&migrate, &SystemRandom)
            .await
            .context("bringing the database to this release")?;
        Ok(Self {
            server,
            urls: DatabaseUrls { app, system },
        })
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.server.stop())
            .await?
            .context("stopping Postgres")
    }
}
