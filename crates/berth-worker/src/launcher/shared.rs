//! Runners that several small models of one organization share. Never of two: the process is the wall between organizations.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use berth_coordination::records::Assignment;
use berth_domain::id::OrganizationId;

use super::house::House;
use super::{Error, Launcher, Order, Running};

/// Whose models, and how many threads compute one request.
type Key = (OrganizationId, usize);

/// The runners of one key. Held while a place is looked for, so that only one is started.
type Street = Arc<tokio::sync::Mutex<Vec<Weak<House>>>>;

/// The runners that are shared.
#[derive(Debug)]
pub(crate) struct Shared {
    launcher: Launcher,
    /// The largest model that shares a runner; 0 for none.
    largest_bytes: u64,
    streets: Mutex<HashMap<Key, Street>>,
    started: AtomicU64,
}

impl Shared {
    pub(crate) fn new(launcher: Launcher, largest_bytes: u64) -> Self {
        Self {
            launcher,
            largest_bytes,
            streets: Mutex::default(),
            started: AtomicU64::new(0),
        }
    }

    /// Whether this model may share a runner: it is small as far as was measured, computed by the processor alone, and does not
    /// demand a runner of its own.
    pub(crate) fn takes(&self, assignment: &Assignment) -> bool {
        let small = (1..=self.largest_bytes).contains(&assignment.resident_bytes);
        let on_processor = self
            .launcher
            .providers(assignment.device)
            .is_ok_and(|providers| providers == ["cpu"]);
        small && on_processor && !assignment.own_runner
    }

    /// Loads a model of `organization` into a runner that has room, or into a fresh one. Such a runner may read `models`, the folder of
    /// all model folders of the organization.
    pub(crate) async fn start(
        &self,
        organization: OrganizationId,
        models: &Path,
        order: Order<'_>,
    ) -> Result<Running, Error> {
        let key = (organization, self.launcher.threads(order.threads));
        let street = {
            let mut streets = self.streets.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(streets.entry(key).or_default())
        };
        let mut houses = street.lock().await;
        houses.retain(|house| house.strong_count() > 0);
        let mut place = houses.iter().filter_map(Weak::upgrade).find_map(|house| {
            let slot = house.reserve(order.measured_bytes, self.launcher.memory_bytes)?;
            Some((house, slot))
        });
        if place.is_none() {
            let name = format!("shared-{}", self.started.fetch_add(1, Ordering::Relaxed));
            let settings = self.launcher.settings(order, models, true)?;
            let house = House::open(&self.launcher, &name, &settings, order.purpose)?;
            houses.push(Arc::downgrade(&house));
            place = house
                .reserve(order.measured_bytes, None)
                .map(|slot| (house, slot));
        }
        drop(houses);
        let Some((house, slot)) = place else {
            return Err(Error::Disturbed);
        };
        super::counted(order.purpose, house.enter(slot, order).await)
    }
}
