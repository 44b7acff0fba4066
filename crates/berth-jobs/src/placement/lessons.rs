//! What the planner writes down of what workers say: how long versions take to load, which crash again and again, and which
//! changes from one version to another have come to their end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use berth_coordination::records::{ReplicaRecord, ReplicaState, WorkerRecord};
use berth_domain::clock::Timestamp;
use berth_domain::id::{DeploymentId, OrganizationId, VersionId, WorkerId};
use berth_serving::planner::{Copy, Rollout, Version};
use berth_store::Store;
use berth_store::system::placements::{LoadTime, WantedVersion};

/// A version whose runner ended so often in a row by its own doing is loaded no more.
const CRASHES: u32 = 3;

/// What is written down only if it differs by more than one part in so many.
const PARTS: u64 = 10;

/// What was written down already.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    load_times: Mutex<HashMap<(VersionId, String), u64>>,
}

/// What is to be written down.
#[derive(Debug, Default)]
pub(super) struct Learned {
    load_times: Vec<LoadTime>,
    quarantines: Vec<Quarantine>,
    retired: BTreeMap<DeploymentId, Vec<VersionId>>,
}

#[derive(Debug)]
struct Quarantine {
    organization: OrganizationId,
    version: VersionId,
    reason: String,
    crashes: u32,
}

impl Learned {
    /// Has nothing to be written down.
    pub(super) fn is_empty(&self) -> bool {
        self.load_times.is_empty() && self.quarantines.is_empty() && self.retired.is_empty()
    }
}

impl Lessons {
    /// What is new in what workers say.
    pub(super) fn learn(
        &self,
        workers: &[WorkerRecord],
        replicas: &[ReplicaRecord],
        wanted: &[WantedVersion],
        copies: &[Copy],
    ) -> Learned {
        Learned {
            load_times: self.load_times(workers, replicas, wanted),
            quarantines: quarantines(replicas, wanted),
            retired: retired(wanted, copies),
        }
    }

    fn load_times(
        &self,
        workers: &[WorkerRecord],
        replicas: &[ReplicaRecord],
        wanted: &[WantedVersion],
    ) -> Vec<LoadTime> {
        let kinds: HashMap<WorkerId, String> = workers
            .iter()
            .map(|worker| (worker.id, worker.node_kind()))
            .collect();
        let mut known = self.load_times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times = Vec::new();
        for replica in replicas {
            let (ReplicaState::Ready, Some(kind)) = (&replica.state, kinds.get(&replica.worker)) else {
                continue;
            };
            let Some(version) = wanted.iter().find(|version| version.version == replica.version) else {
                continue;
            };
            let key = (replica.version, kind.clone());
            let before = known.get(&key).or_else(|| version.load_times.get(kind)).copied();
            let same = before.is_some_and(|before| before.abs_diff(replica.load_ms) <= before / PARTS);
            if replica.load_ms == 0 || same {
                continue;
            }
            known.insert(key, replica.load_ms);
            times.push(LoadTime {
                organization: version.organization,
                version: version.version,
                node_kind: kind.clone(),
                load_ms: replica.load_ms,
                resident_bytes: replica.resident_bytes,
            });
        }
        times
    }

    /// Writes it down. What deployments show of it is told by the counter of changes.
    pub(super) async fn write(
        &self,
        store: &Store,
        learned: &Learned,
        now: Timestamp,
    ) -> Result<(), berth_store::Error> {
        let mut tx = store.system().await?;
        for time in &learned.load_times {
            tx.placements().measured(time, now).await?;
        }
        for found in &learned.quarantines {
            let quarantined = tx
                .placements()
                .quarantine(
                    found.organization,
                    found.version,
                    &found.reason,
                    found.crashes,
                    now,
                )
                .await?;
            if quarantined {
                tracing::warn!(
                    organization.id = %found.organization,
                    version.id = %found.version,
                    crashes = found.crashes,
                    reason = found.reason,
                    "a version crashes again and again, and is loaded no more"
                );
            }
        }
        for (deployment, versions) in &learned.retired {
            if tx.placements().retire(*deployment, versions).await? {
                tracing::info!(deployment.id = %deployment, "the new versions of a deployment have taken over");
            }
        }
        tx.commit().await
    }
}

fn quarantines(replicas: &[ReplicaRecord], wanted: &[WantedVersion]) -> Vec<Quarantine> {
    let mut found: BTreeMap<VersionId, Quarantine> = BTreeMap::new();
    for replica in replicas {
        let ReplicaState::Failed { reason } = &replica.state else {
            continue;
        };
        let version = wanted.iter().find(|version| version.version == replica.version);
        let Some(version) = version.filter(|version| !version.quarantined && replica.crashes >= CRASHES)
        else {
            continue;
        };
        // Where it answers elsewhere, the fault may be the worker's.
        let answers = replicas
            .iter()
            .any(|other| other.version == replica.version && other.state == ReplicaState::Ready);
        if !answers {
            found.entry(version.version).or_insert_with(|| Quarantine {
                organization: version.organization,
                version: version.version,
                reason: format!("It crashed {} times in a row. {reason}", replica.crashes),
                crashes: replica.crashes,
            });
        }
    }
    found.into_values().collect()
}

/// By deployment, the versions that have nothing left to do in a change: the new ones answer, or they themselves do not.
fn retired(wanted: &[WantedVersion], copies: &[Copy]) -> BTreeMap<DeploymentId, Vec<VersionId>> {
    let ready: BTreeSet<VersionId> = copies
        .iter()
        .filter(|copy| copy.is_ready())
        .map(|copy| copy.version)
        .collect();
    let coming: BTreeSet<VersionId> = copies
        .iter()
        .filter(|copy| copy.is_coming())
        .map(|copy| copy.version)
        .collect();
    let mut new: BTreeMap<DeploymentId, Vec<VersionId>> = BTreeMap::new();
    let mut old: BTreeMap<DeploymentId, Vec<VersionId>> = BTreeMap::new();
    for version in wanted {
        for wish in &version.wanted_by {
            if wish.retiring {
                old.entry(wish.deployment).or_default().push(version.version);
            } else if wish.weight > 0 {
                new.entry(wish.deployment).or_default().push(version.version);
            }
        }
    }
    old.retain(|deployment, versions| {
        let taken_over = new.get(deployment).is_some_and(|new| {
            new.iter()
                .all(|version| ready.contains(version) && !coming.contains(version))
        });
        versions.retain(|version| taken_over || !ready.contains(version));
        !versions.is_empty()
    });
    old
}

/// Marks what takes whose place.
pub(super) fn mark(versions: &mut [Version], wanted: &[WantedVersion], copies: &[Copy]) {
    let ready: BTreeSet<VersionId> = copies
        .iter()
        .filter(|copy| copy.is_ready())
        .map(|copy| copy.version)
        .collect();
    let changing: BTreeSet<DeploymentId> = wanted
        .iter()
        .filter(|version| ready.contains(&version.version))
        .flat_map(|version| &version.wanted_by)
        .filter(|wish| wish.retiring)
        .map(|wish| wish.deployment)
        .collect();
    for (version, wanted) in versions.iter_mut().zip(wanted) {
        let wishes = &wanted.wanted_by;
        if wishes.iter().all(|wish| wish.retiring) {
            version.rollout = Rollout::Leaving;
        } else if wishes
            .iter()
            .any(|wish| !wish.retiring && wish.weight > 0 && changing.contains(&wish.deployment))
        {
            version.rollout = Rollout::Coming;
        }
    }
}
