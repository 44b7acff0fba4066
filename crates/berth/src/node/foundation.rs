//! What the server processes stand on.

use std::sync::Arc;

use anyhow::Context as _;
use berth_artifacts::store::ArtifactStore;
use berth_config::Config;
use berth_coordination::redis::Redis;
use berth_coordination::{Coordination, Fleet};
use berth_domain::clock::{Clock, SystemClock};
use berth_domain::random::{Random, SystemRandom};
use berth_serving::Surroundings;
use berth_serving::transport::Peers;
use berth_store::Store;

use super::options;

/// What the server processes stand on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Foundation {
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Randomness fit for secrets.
    pub(crate) random: Arc<dyn Random>,
    /// Postgres.
    pub(crate) store: Store,
    /// Redis, or its stand-in.
    pub(crate) coordination: Arc<dyn Coordination>,
    /// The files of models.
    pub(crate) artifacts: ArtifactStore,
    /// The way to workers.
    pub(crate) peers: Peers,
}

impl Foundation {
    /// Connects to everything that the settings name. `coordination` is what [`redis`] gives, or a stand-in.
    ///
    /// Fails when Postgres cannot be reached, or a role could pass by row security.
    pub(crate) async fn lay(config: &Config, coordination: Arc<dyn Coordination>) -> anyhow::Result<Self> {
        let store = Store::connect(&options::store(config)?)
            .await
            .context("connecting to Postgres")?;
        let artifacts = ArtifactStore::open(&options::artifacts(config)?)
            .await
            .context("opening the artifact store")?;
        Ok(Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            store,
            coordination,
            artifacts,
            peers: options::peers(config)?,
        })
    }
}

impl Foundation {
    /// The same as the logic of serving wants it.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            store: self.store.clone(),
            fleet: self.fleet(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        }
    }

    /// The workers and what they hold.
    pub(crate) fn fleet(&self) -> Fleet {
        Fleet::new(Arc::clone(&self.coordination))
    }
}

/// Coordination by Redis. It is reached for when it is first needed: a process starts without it, and says so in
/// `/readyz`.
pub(crate) fn redis(config: &Config) -> anyhow::Result<Arc<dyn Coordination>> {
    Ok(Arc::new(
        Redis::connect(options::redis(config)?).context("the setting `redis.url`")?,
    ))
}
