//! What the planner decided, for people: counters, the log, and a record that all nodes can show.

use std::sync::{Mutex, PoisonError};

use berth_coordination::records::{MoveRecord, PlacementRecord, ShortRecord};
use berth_domain::clock::Timestamp;
use berth_serving::planner::{Decision, LoadReason, Short, UnloadReason};
use berth_telemetry::metrics::names;

/// So many of the last loads and unloads are kept.
const MOVES_KEPT: usize = 200;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Telling(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    short: Vec<Short>,
    record: PlacementRecord,
}

impl Telling {
    /// Shows every count from the beginning: a rise from nothing to one is seen only by who has seen the nothing.
    pub(super) fn begin() {
        for reason in LoadReason::ALL {
            metrics::counter!(names::PLACEMENT_LOADS_TOTAL, "reason" => reason.as_str()).increment(0);
        }
        for reason in UnloadReason::ALL {
            metrics::counter!(names::PLACEMENT_UNLOADS_TOTAL, "reason" => reason.as_str()).increment(0);
        }
    }

    /// Counts and logs what is new; answers the record if it differs from the last one.
    pub(super) fn tell(&self, decision: &Decision, now: Timestamp) -> Option<PlacementRecord> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for short in decision.short.iter().filter(|short| !state.short.contains(short)) {
            tracing::warn!(
                version.id = %short.version,
                missing = short.missing,
                resident_bytes = short.resident_bytes,
                reason = short.lack.as_str(),
                "a replica has no place"
            );
        }
        state.short.clone_from(&decision.short);

        let mut moves = Vec::new();
        for load in &decision.loads {
            let reason = load.reason.as_str();
            metrics::counter!(names::PLACEMENT_LOADS_TOTAL, "reason" => reason).increment(1);
            tracing::info!(worker.id = %load.worker, version.id = %load.version, reason, "a version is to be loaded");
            moves.push(MoveRecord {
                at: now,
                worker: load.worker,
                version: load.version,
                action: "load".to_owned(),
                reason: reason.to_owned(),
            });
        }
        for unload in &decision.unloads {
            let reason = unload.reason.as_str();
            metrics::counter!(names::PLACEMENT_UNLOADS_TOTAL, "reason" => reason).increment(1);
            tracing::info!(worker.id = %unload.worker, version.id = %unload.version, reason, "a version is to be unloaded");
            moves.push(MoveRecord {
                at: now,
                worker: unload.worker,
                version: unload.version,
                action: "unload".to_owned(),
                reason: reason.to_owned(),
            });
        }
        let short = decision.short.iter().map(|short| ShortRecord {
            version: short.version,
            missing: short.missing,
            resident_bytes: short.resident_bytes,
            reason: short.lack.as_str().to_owned(),
        });
        let short: Vec<ShortRecord> = short.collect();
        if moves.is_empty() && short == state.record.short {
            return None;
        }
        moves.append(&mut state.record.moves);
        moves.truncate(MOVES_KEPT);
        state.record = PlacementRecord { short, moves };
        Some(state.record.clone())
    }

    /// Another process plans: what it tells is taken up.
    pub(super) fn follow(&self, record: PlacementRecord) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.record = record;
    }
}
