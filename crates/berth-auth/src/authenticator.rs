//! Checks API keys: the hot path. A key that was seen before costs no I/O and a few microseconds.
//!
//! A revocation holds on every node within a second. Two ways tell a node of changes: a push through coordination, and a
//! counter in the database that is read every half second. While a node has heard of neither for a second, it asks the
//! database for every request, and when that fails too it refuses ([`Error::Unavailable`]). One gap is left: a node that is
//! cut off from the database alone trusts the push, and so misses what a node that is cut off from coordination revokes.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_coordination::{Applied, Coordination};
use berth_domain::access::KeyIdentity;
use berth_domain::clock::{Clock, Timestamp};
use berth_domain::random::Random;
use berth_store::Store;
use berth_store::lookups::{Bar, KeyRecord};
use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::freshness::Freshness;
use self::records::{Entry, Known, Records};
pub use self::service::Service;
use crate::key_text::{self, KeyText, PublicId};
use crate::pepper::Peppers;
use crate::throttle::local::Local;
use crate::throttle::{self, Exceeded, Limit};

mod freshness;
mod records;
mod service;

/// The most bytes of an origin that is looked up; projects list shorter ones.
const MAX_ORIGIN_LENGTH: usize = 512;

/// Look-ups of origins at the same time: each can be made by a stranger.
const ORIGIN_LOOK_UPS: usize = 2;

/// How long a look-up may wait where only one or a few pass at a time.
const LANE_WAIT: Duration = Duration::from_millis(250);

/// How keys are cached.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The most keys that are kept.
    pub capacity: u64,
    /// How long a key is kept at most, even when nothing changes.
    pub lifetime: Duration,
    /// How long it is remembered that a key does not exist.
    pub absent_lifetime: Duration,
    /// How long what is cached may be used after the last sign that nothing was missed.
    pub staleness: Duration,
    /// How often the counter in the database is read. Well below `staleness`.
    pub poll: Duration,
    /// How long a look-up in the database may take before the request is refused.
    pub look_up: Duration,
    /// How often the last use of keys is written.
    pub note_uses: Duration,
    /// How many keys that do not exist one address may try. Beyond it, keys from there that are not cached are looked up
    /// one at a time, so that guessing cannot keep the database busy, and who shares the address is not shut out.
    pub unknown_by_address: Limit,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            capacity: 100_000,
            lifetime: Duration::from_mins(5),
            absent_lifetime: Duration::from_secs(5),
            staleness: Duration::from_secs(1),
            poll: Duration::from_millis(500),
            look_up: Duration::from_secs(2),
            note_uses: Duration::from_secs(10),
            unknown_by_address: Limit {
                attempts: 120,
                window: Duration::from_mins(1),
            },
        }
    }
}

/// Why a key is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no key: whoever sent it can act.
    #[error("the text is not an API key")]
    Text(#[source] key_text::Error),
    /// There is no such key, or it was deleted: whoever sent it can act.
    #[error("there is no such API key")]
    Unknown,
    /// The key was revoked, or replaced and its grace period is over: its holder can act.
    #[error("the API key was revoked")]
    Revoked,
    /// The key has expired: its holder can act.
    #[error("the API key has expired")]
    Expired,
    /// The key may not be used from this address: its holder, or a member who manages keys, can act.
    #[error("the API key may not be used from this address")]
    Address,
    /// The key's organization is suspended: its owners, or the operator, can act.
    #[error("the organization of the API key is suspended")]
    OrganizationSuspended,
    /// The key's project is suspended: a member who manages projects can act.
    #[error("the project of the API key is suspended")]
    ProjectSuspended,
    /// The service account that holds the key is disabled: a member who manages keys can act.
    #[error("the service account of the API key is disabled")]
    ServiceAccountDisabled,
    /// The person who made the key may no longer sign in: a member who manages keys can act.
    #[error("the account of the person who made the API key is disabled")]
    MakerDisabled,
    /// Too many keys that do not exist came from this address, so keys that are not cached wait there, and this one waited
    /// too long: whoever sends them can act.
    #[error("too many unknown API keys were sent from this address")]
    TooManyUnknown(#[source] Exceeded),
    /// It cannot be told at the moment whether the key holds: try again; the operator can act.
    #[error("it cannot be told at the moment whether the API key holds")]
    Unavailable(#[from] LookUpError),
}

/// Why a key could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// The database failed.
    #[error("the database could not look the key up")]
    Store(#[from] berth_store::Error),
    /// The database did not answer in time.
    #[error("the database did not answer within {} ms", limit.as_millis())]
    Late {
        /// How long it was waited for.
        limit: Duration,
    },
    /// Too much was to be looked up at the same time.
    #[error("too much is being looked up at the moment")]
    Busy,
}

/// Checks API keys. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Authenticator")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

struct Shared {
    options: Options,
    store: Store,
    coordination: Arc<dyn Coordination>,
    peppers: Peppers,
    clock: Arc<dyn Clock>,
    freshness: Freshness,
    records: Records,
    applied: Mutex<Applied>,
    unknown: Local,
    /// Where addresses wait that sent too many unknown keys.
    slow_lane: Semaphore,
    origins: Cache<String, bool>,
    origin_look_ups: Semaphore,
}

impl Authenticator {
    /// An authenticator, and the service that keeps it informed. Until [`Service::run`] runs, every request asks the
    /// database.
    pub fn new(
        options: Options,
        store: Store,
        coordination: Arc<dyn Coordination>,
        peppers: Peppers,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> (Self, Service) {
        let shared = Arc::new(Shared {
            store,
            coordination,
            peppers,
            freshness: Freshness::new(options.staleness, Instant::now()),
            records: Records::new(options.capacity, options.lifetime, options.absent_lifetime),
            applied: Mutex::new(Applied::default()),
            unknown: Local::new(Arc::clone(&clock)),
            slow_lane: Semaphore::new(1),
            origins: Cache::builder()
                .max_capacity(10_000)
                .time_to_live(options.absent_lifetime)
                .build(),
            origin_look_ups: Semaphore::new(ORIGIN_LOOK_UPS),
            clock,
            options,
        });
        let mut first_heartbeat = [0; 8];
        random.fill(&mut first_heartbeat);
        let service = Service::new(Arc::clone(&shared), u64::from_le_bytes(first_heartbeat) >> 1);
        (Self { shared }, service)
    }

    /// What the key `text`, sent from `address`, stands for. Whether its scopes include what the caller wants is
    /// decided by [`crate::access::authorize_key`]. Fails when the key does not hold, or when that cannot be told.
    pub async fn authenticate_key(&self, text: &str, address: IpAddr) -> Result<Arc<KeyIdentity>, Error> {
        let key = KeyText::parse(text).map_err(Error::Text)?;
        let shared = &*self.shared;
        let fresh = shared.freshness.holds(Instant::now());
        if fresh {
            match shared.records.get(&key.public_id()) {
                Known::Present(entry) => return shared.judge(&key, &entry, address),
                Known::Absent => return Err(Error::Unknown),
                Known::Nothing => {}
            }
        }
        let source = throttle::network(address).to_string();
        let _lane = shared.enter_lane(&source).await?;
        let loaded = if fresh {
            shared.load(key.public_id()).await?
        } else {
            shared.ask(key.public_id()).await?
        };
        let Some(entry) = loaded else {
            // Beyond the limit nothing more is counted; the window ends all the same.
            let _ = shared.unknown.hit(&source, shared.options.unknown_by_address);
            return Err(Error::Unknown);
        };
        shared.judge(&key, &entry, address)
    }

    /// Whether this node knows, as it should, of every change that is older than [`Options::staleness`]. While it does
    /// not, every request asks the database: for readiness and metrics.
    pub fn is_informed(&self) -> bool {
        self.shared.freshness.holds(Instant::now())
    }

    /// Whether any project lists `origin` (`scheme://host[:port]`) among those whose pages may call: a browser asks
    /// this before it sends a key. The answer may be some seconds old. Fails when the database cannot be asked, or is being
    /// asked by too many.
    pub async fn origin_is_listed(&self, origin: &str) -> Result<bool, LookUpError> {
        if origin.len() > MAX_ORIGIN_LENGTH {
            return Ok(false);
        }
        let shared = &*self.shared;
        if let Some(listed) = shared.origins.get(origin) {
            return Ok(listed);
        }
        let Ok(Ok(_asking)) = tokio::time::timeout(LANE_WAIT, shared.origin_look_ups.acquire()).await else {
            return Err(LookUpError::Busy);
        };
        if let Some(listed) = shared.origins.get(origin) {
            return Ok(listed);
        }
        let listed = shared.in_time(shared.store.origin_is_listed(origin)).await?;
        shared.origins.insert(origin.to_owned(), listed);
        Ok(listed)
    }
}

impl Shared {
    /// What the database answers, if it does in time.
    async fn in_time<T>(
        &self,
        question: impl Future<Output = Result<T, berth_store::Error>>,
    ) -> Result<T, LookUpError> {
        let limit = self.options.look_up;
        match tokio::time::timeout(limit, question).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(LookUpError::Late { limit }),
        }
    }

    /// Lets look-ups from `source` pass, or one at a time when too many unknown keys came from there.
    async fn enter_lane(&self, source: &str) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let Err(exceeded) = self.unknown.check(source, self.options.unknown_by_address) else {
            return Ok(None);
        };
        match tokio::time::timeout(LANE_WAIT, self.slow_lane.acquire()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Error::TooManyUnknown(exceeded)),
        }
    }

    /// Loads a key that is not cached, once for all who ask at the same time.
    async fn load(&self, id: PublicId) -> Result<Option<Arc<Entry>>, Error> {
        let _loading = self.records.load_lock(&id).lock().await;
        match self.records.get(&id) {
            Known::Present(entry) => Ok(Some(entry)),
            Known::Absent => Ok(None),
            Known::Nothing => self.ask(id).await,
        }
    }

    /// Asks the database for a key, and keeps the answer.
    async fn ask(&self, id: PublicId) -> Result<Option<Arc<Entry>>, Error> {
        let epoch = self.records.epoch();
        let record = self.in_time(self.store.find_api_key(id.as_str())).await?;
        let entry = record.map(|record| Arc::new(Entry::new(record)));
        self.records.keep(id, entry.as_ref(), epoch);
        Ok(entry)
    }

    /// Decides by the record, without I/O.
    fn judge(
        &self,
        key: &KeyText<'_>,
        entry: &Arc<Entry>,
        address: IpAddr,
    ) -> Result<Arc<KeyIdentity>, Error> {
        let record = &entry.record;
        match key.matches(&self.peppers, &record.pepper_id, &record.secret_hash) {
            Some(true) => {}
            Some(false) => return Err(Error::Unknown),
            None => {
                tracing::error!(
                    api_key.id = %record.key,
                    pepper.id = record.pepper_id,
                    "an API key cannot be checked, because its pepper is not configured"
                );
                return Err(Error::Unknown);
            }
        }
        // From here on the caller is known to hold the key, and may learn what is the matter with it.
        let now = self.clock.now();
        check(record, address, now)?;
        self.records.note_use(entry, now);
        Ok(Arc::clone(&entry.identity))
    }

    /// The counter stands at `value`, as an answer to a question put at `asked` when `known` had been followed.
    fn counter_read(&self, value: i64, known: Option<i64>, asked: Instant) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if !applied.read(value, known) {
            self.records.invalidate_all();
        }
        self.freshness.heard_counter(asked);
    }

    /// The counter's value up to which this node has followed.
    fn followed(&self) -> Option<i64> {
        self.applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .value()
    }
}

/// Whether a key holds at `now` for a caller at `address`. What concerns the key itself comes before what others did to
/// its surroundings.
fn check(record: &KeyRecord, address: IpAddr, now: Timestamp) -> Result<(), Error> {
    let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    if over(record.revoked_at) || over(record.secret_expires_at) {
        Err(Error::Revoked)
    } else if over(record.expires_at) {
        Err(Error::Expired)
    } else if !record.addresses.admits(address) {
        Err(Error::Address)
    } else {
        match record.bar {
            None => Ok(()),
            Some(Bar::OrganizationSuspended) => Err(Error::OrganizationSuspended),
            Some(Bar::ProjectSuspended) => Err(Error::ProjectSuspended),
            Some(Bar::ServiceAccountDisabled) => Err(Error::ServiceAccountDisabled),
            Some(Bar::UserDisabled) => Err(Error::MakerDisabled),
        }
    }
}
