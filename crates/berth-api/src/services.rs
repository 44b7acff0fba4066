//! What the endpoints call.

use std::fmt;
use std::sync::Arc;

use berth_auth::auth::Auth;
use berth_auth::authenticator::Authenticator;
use berth_coordination::Coordination;
use berth_domain::clock::Clock;
use berth_domain::random::Random;
use berth_serving::deployments::Deployments;
use berth_serving::inference::Inference;
use berth_serving::models::Models;
use berth_serving::uploads::Uploads;
use berth_store::Store;

/// What the endpoints call. The binaries put it together.
#[derive(Clone)]
pub struct Services {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for request ids.
    pub random: Arc<dyn Random>,
    /// The database, asked by `/readyz`.
    pub store: Store,
    /// Accounts, organizations, keys.
    pub auth: Auth,
    /// Checks API keys on every request.
    pub authenticator: Authenticator,
    /// Models and their versions.
    pub models: Models,
    /// Takes uploads in.
    pub uploads: Uploads,
    /// Names under which versions are served.
    pub deployments: Deployments,
    /// Calls models.
    pub inference: Inference,
    /// Leases, routes and throttles, asked by `/readyz`.
    pub coordination: Arc<dyn Coordination>,
    /// Renders what `/metrics` answers.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Services {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Services").finish_non_exhaustive()
    }
}
