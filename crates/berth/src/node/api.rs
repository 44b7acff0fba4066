//! The API inside a process: `berth api`, and `berth dev`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use berth_api::{Server, Services};
use berth_artifacts::Staging;
use berth_auth::auth::{Auth, Parts};
use berth_auth::authenticator::Authenticator;
use berth_config::Config;
use berth_serving::deployments::Deployments;
use berth_serving::gate::Gate;
use berth_serving::inference::Inference;
use berth_serving::models::Models;
use berth_serving::routing::Router;
use berth_serving::trails::Trails;
use berth_serving::uploads::Uploads;
use berth_telemetry::metrics::Rendering;
use tokio_util::sync::CancellationToken;

use super::foundation::Foundation;
use super::shutdown::Shutdown;
use super::{leftovers, options, start};

/// The API, which serves.
#[derive(Debug)]
pub(crate) struct Serving {
    /// The address that is listened on.
    pub(crate) address: String,
    /// Host and port of gRPC, if it is served.
    pub(crate) grpc: Option<SocketAddr>,
    /// Accounts, organizations, keys.
    pub(crate) auth: Auth,
}

/// Begins to serve; everything ends with `shutdown`. Returns once connections are taken.
///
/// Fails when the settings make no service, or the address cannot be listened on.
pub(crate) async fn begin(
    config: &Config,
    foundation: &Foundation,
    metrics: &Rendering,
    shutdown: &Shutdown,
) -> anyhow::Result<Serving> {
    let (authenticator, freshness) = authenticator(config, foundation)?;
    let auth = auth(config, foundation)?;
    let (store, peers) = (foundation.store.clone(), foundation.peers.clone());
    let router = Router::new(store, foundation.fleet(), peers, &*foundation.random);
    let trails = Trails::new(Arc::clone(&foundation.coordination));
    let inference = Inference::new(router.clone(), trails.clone(), &start::hostname());
    let rendering = metrics.clone();
    let staging = staging(config, foundation).await?;
    let services = Services {
        clock: Arc::clone(&foundation.clock),
        random: Arc::clone(&foundation.random),
        store: foundation.store.clone(),
        auth: auth.clone(),
        authenticator,
        models: Models::new(foundation.surroundings()),
        uploads: uploads(config, foundation, staging.clone())?,
        deployments: Deployments::new(foundation.surroundings()),
        inference,
        coordination: Arc::clone(&foundation.coordination),
        metrics: Arc::new(move || rendering.render()),
    };
    let server = Server::bind(options::http(config)?, services).context("starting the listener")?;
    let address = format!("{}://{}", server.scheme(), server.address());
    let grpc = server.grpc_address();

    // The routes and the keys stay fresh until the last request has been answered.
    let served = CancellationToken::new();
    let guard = served.clone().drop_guard();
    let token = shutdown.token();
    shutdown.run("http", async move {
        let _guard = guard;
        server.run(token.cancelled_owned()).await
    });
    let token = served.clone();
    shutdown.run("keys", async move {
        freshness.run(token.cancelled_owned()).await;
        anyhow::Ok(())
    });
    let (clock, token) = (Arc::clone(&foundation.clock), shutdown.token());
    shutdown.run("staging", async move {
        leftovers::keep_sweeping(staging, clock, token).await;
        anyhow::Ok(())
    });
    let token = served.clone();
    shutdown.run("trails", async move {
        trails.run(token).await;
        anyhow::Ok(())
    });
    shutdown.run("routes", async move {
        router.run(served).await;
        anyhow::Ok(())
    });
    Ok(Serving { address, grpc, auth })
}

fn authenticator(
    config: &Config,
    foundation: &Foundation,
) -> anyhow::Result<(Authenticator, berth_auth::authenticator::Service)> {
    let Foundation {
        clock,
        random,
        store,
        coordination,
        ..
    } = foundation.clone();
    let (options, peppers) = (options::authenticator(config), options::peppers(config)?);
    Ok(Authenticator::new(
        options,
        store,
        coordination,
        peppers,
        clock,
        &*random,
    ))
}

fn auth(config: &Config, foundation: &Foundation) -> anyhow::Result<Auth> {
    let Foundation {
        clock,
        random,
        store,
        coordination,
        ..
    } = foundation.clone();
    let (peppers, signing_keys) = (options::peppers(config)?, options::signing_keys(config)?);
    let parts = Parts {
        store,
        coordination,
        clock,
        random,
        peppers,
        signing_keys,
    };
    Ok(Auth::new(options::auth(config)?, parts)?)
}

/// The folder of uploads on their way in; what an earlier process left behind is swept first.
async fn staging(config: &Config, foundation: &Foundation) -> anyhow::Result<Staging> {
    let staging = Staging::open(config.artifacts.staging_folder())
        .await
        .context("opening the staging folder")?;
    leftovers::sweep(&staging, &*foundation.clock)
        .await
        .context("sweeping the staging folder")?;
    Ok(staging)
}

/// Takes uploads in.
fn uploads(config: &Config, foundation: &Foundation, staging: Staging) -> anyhow::Result<Uploads> {
    let gate = Gate::new(options::gate(config)?);
    Ok(Uploads::new(
        foundation.surroundings(),
        gate,
        staging,
        foundation.artifacts.clone(),
    ))
}
