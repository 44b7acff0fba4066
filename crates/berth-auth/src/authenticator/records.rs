//! The records of keys as this node has cached them.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_domain::access::KeyIdentity;
use berth_domain::clock::Timestamp;
use berth_domain::id::ApiKeyId;
use berth_store::lookups::KeyRecord;
use chrono::DateTime;
use moka::sync::Cache;

use crate::key_text::PublicId;

/// Loads of keys that share one of this many locks wait for each other, so that a key which many callers ask for at once
/// is loaded once.
const LOCKS: usize = 64;

/// One key: its record, and what it stands for.
pub(super) struct Entry {
    pub(super) record: KeyRecord,
    pub(super) identity: Arc<KeyIdentity>,
    /// When the key was last used, in milliseconds of Unix time.
    last_used: AtomicI64,
    /// Whether the entry waits to be noted as used.
    listed: AtomicBool,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Entry")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Entry {
    pub(super) fn new(record: KeyRecord) -> Self {
        Self {
            identity: Arc::new(KeyIdentity {
                key: record.key,
                organization: record.organization,
                project: record.project,
                service_account: record.service_account,
                scopes: record.scopes.clone(),
                models: record.models.clone(),
                origins: record.cors_origins.clone(),
            }),
            record,
            last_used: AtomicI64::new(0),
            listed: AtomicBool::new(false),
        }
    }
}

/// Bounded caches of keys that exist and of public ids that do not, and the uses that wait to be noted.
#[derive(Debug)]
pub(super) struct Records {
    present: Cache<PublicId, Arc<Entry>>,
    absent: Cache<PublicId, ()>,
    /// Moves on with every invalidation, so that a record which was loaded meanwhile is not kept.
    epoch: AtomicU64,
    loads: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
    used: Mutex<Vec<Arc<Entry>>>,
}

/// What the cache knows of a public id.
#[derive(Debug)]
pub(super) enum Known {
    Present(Arc<Entry>),
    Absent,
    Nothing,
}

impl Records {
    pub(super) fn new(capacity: u64, lifetime: Duration, absent_lifetime: Duration) -> Self {
        Self {
            present: Cache::builder()
                .max_capacity(capacity)
                .time_to_live(lifetime)
                .build(),
            absent: Cache::builder()
                .max_capacity(capacity)
                .time_to_live(absent_lifetime)
                .build(),
            epoch: AtomicU64::new(0),
            loads: (0..LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            hasher: RandomState::new(),
            used: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn get(&self, id: &PublicId) -> Known {
        if let Some(entry) = self.present.get(id) {
            Known::Present(entry)
        } else if self.absent.contains_key(id) {
            Known::Absent
        } else {
            Known::Nothing
        }
    }

    /// The lock under which `id` is loaded.
    pub(super) fn load_lock(&self, id: &PublicId) -> &tokio::sync::Mutex<()> {
        let place = self.hasher.hash_one(id) % LOCKS as u64;
        &self.loads[usize::try_from(place).unwrap_or(0)]
    }

    /// To be taken before a record is loaded, and handed to [`Records::keep`] with it.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Keeps what was loaded for `id`, unless something was invalidated since `epoch`.
    pub(super) fn keep(&self, id: PublicId, loaded: Option<&Arc<Entry>>, epoch: u64) {
        if let Some(entry) = loaded {
            self.present.insert(id, Arc::clone(entry));
            self.absent.invalidate(&id);
        } else {
            self.absent.insert(id, ());
            self.present.invalidate(&id);
        }
        // Whoever invalidates moves the epoch on first: either that is seen here, or their removal comes after our insertion.
        if self.epoch() != epoch {
            self.remove(&id);
        }
    }

    /// Forgets these keys.
    pub(super) fn invalidate(&self, ids: &[PublicId]) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for id in ids {
            self.remove(id);
        }
    }

    /// Forgets every key.
    pub(super) fn invalidate_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.present.invalidate_all();
        self.absent.invalidate_all();
    }

    fn remove(&self, id: &PublicId) {
        self.present.invalidate(id);
        self.absent.invalidate(id);
    }

    /// Notes that the key of `entry` was used at `now`.
    pub(super) fn note_use(&self, entry: &Arc<Entry>, now: Timestamp) {
        entry
            .last_used
            .fetch_max(now.timestamp_millis(), Ordering::Relaxed);
        if !entry.listed.swap(true, Ordering::AcqRel) {
            self.used
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Arc::clone(entry));
        }
    }

    /// The keys that were used since the last call, and when.
    pub(super) fn take_used(&self) -> Vec<(ApiKeyId, Timestamp)> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        used.iter()
            .filter_map(|entry| {
                // Cleared before it is read: a use after this is listed again.
                entry.listed.store(false, Ordering::Release);
                let millis = entry.last_used.load(Ordering::Acquire);
                Some((entry.identity.key, DateTime::from_timestamp_millis(millis)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::address::AddressList;
    use berth_domain::clock::SystemClock;
    use berth_domain::id::{OrganizationId, ProjectId};
    use berth_domain::permission::PermissionSet;
    use berth_domain::random::SystemRandom;
    use chrono::TimeDelta;

    use super::*;

    fn records() -> Records {
        Records::new(10, Duration::from_mins(1), Duration::from_mins(1))
    }

    fn id(text: &str) -> PublicId {
        text.parse().expect("a public id")
    }

    fn entry() -> Arc<Entry> {
        Arc::new(Entry::new(KeyRecord {
            key: ApiKeyId::new(&SystemClock, &SystemRandom),
            public_id: "0123456789abcdef".to_owned(),
            secret_hash: [0; 32],
            pepper_id: "one".to_owned(),
            secret_expires_at: None,
            organization: OrganizationId::new(&SystemClock, &SystemRandom),
            project: ProjectId::new(&SystemClock, &SystemRandom),
            service_account: None,
            scopes: PermissionSet::default(),
            models: None,
            addresses: AddressList::default(),
            cors_origins: Vec::new(),
            expires_at: None,
            revoked_at: None,
            bar: None,
        }))
    }

    #[test]
    fn what_was_loaded_is_kept() {
        let (records, here, gone) = (records(), id("0123456789abcdef"), id("fedcba9876543210"));
        records.keep(here, Some(&entry()), records.epoch());
        records.keep(gone, None, records.epoch());
        assert!(matches!(records.get(&here), Known::Present(_)));
        assert!(matches!(records.get(&gone), Known::Absent));
        records.keep(gone, Some(&entry()), records.epoch());
        assert!(matches!(records.get(&gone), Known::Present(_)), "made meanwhile");
    }

    #[test]
    fn record_that_was_loaded_while_something_was_dropped_is_not_kept() {
        let (records, key) = (records(), id("0123456789abcdef"));
        for drop in [&(|| records.invalidate(&[key])) as &dyn Fn(), &|| {
            records.invalidate_all();
        }] {
            let epoch = records.epoch();
            drop();
            records.keep(key, Some(&entry()), epoch);
            assert!(matches!(records.get(&key), Known::Nothing));
        }
    }

    #[test]
    fn dropping_one_key_leaves_the_others() {
        let (records, one, other) = (records(), id("0123456789abcdef"), id("fedcba9876543210"));
        for key in [one, other] {
            records.keep(key, Some(&entry()), records.epoch());
        }
        records.invalidate(&[one]);
        assert!(matches!(records.get(&one), Known::Nothing));
        assert!(matches!(records.get(&other), Known::Present(_)));
        records.invalidate_all();
        assert!(matches!(records.get(&other), Known::Nothing));
    }

    #[test]
    fn use_is_noted_once_with_its_latest_time() {
        let (records, entry) = (records(), entry());
        let begin = DateTime::UNIX_EPOCH;
        let later = begin + TimeDelta::seconds(5);
        records.note_use(&entry, later);
        records.note_use(&entry, begin);
        assert_eq!(records.take_used(), [(entry.identity.key, later)]);
        assert_eq!(records.take_used(), []);
        records.note_use(&entry, later + TimeDelta::seconds(1));
        assert_eq!(records.take_used().len(), 1);
    }
}
