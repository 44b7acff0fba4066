//! What every function here that changes something needs.

use std::sync::Arc;

use berth_coordination::{Fleet, Topic};
use berth_domain::clock::Clock;
use berth_domain::id::OrganizationId;
use berth_domain::random::Random;
use berth_store::Store;

use crate::announcement::Announcement;

/// The store, the fleet, the time and randomness. Clones share them.
#[derive(Clone)]
pub struct Surroundings {
    /// Where rows are.
    pub store: Store,
    /// Who is told of changes.
    pub fleet: Fleet,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub random: Arc<dyn Random>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Surroundings")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Tells all nodes, after the commit, that what can be called in `organization` has changed, or everywhere if it is
    /// `None`; `value` is where the change has moved the counter to. A push that is lost costs half a second: the counter
    /// in the store tells the same.
    pub(crate) async fn deployments_changed(&self, value: i64, organization: Option<OrganizationId>) {
        let announcement = Announcement { value, organization };
        let told = self
            .fleet
            .coordination()
            .publish(Topic::Deployments, &announcement.to_string())
            .await;
        if let Err(error) = told {
            let organization = organization.map(tracing::field::display);
            tracing::warn!(%error, organization.id = organization, "other nodes hear of a change by the counter only");
        }
    }
}
