//! `GET /api/v1/placements`

use actix_web::get;
use actix_web::web::Json;
use berth_coordination::Fleet;
use berth_coordination::records::PlacementRecord;
use berth_domain::id::{VersionId, WorkerId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Operating;

/// What the planner did last, and what has no place.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Placements {
    /// Versions of which copies are missing.
    short: Vec<Missing>,
    /// The last loads and unloads, the latest first.
    moves: Vec<Move>,
}

/// A version of which copies are missing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlacementShort)]
struct Missing {
    /// The version.
    version_id: VersionId,
    /// How many copies.
    missing: u32,
    /// Memory that each needs.
    resident_bytes: u64,
    /// Why, in words.
    reason: String,
}

/// A load or an unload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlacementMove)]
struct Move {
    /// When it was decided.
    at: DateTime<Utc>,
    /// Where.
    worker_id: WorkerId,
    /// The version.
    version_id: VersionId,
    /// `load` or `unload`.
    action: String,
    /// Why: `callers_wait`, `wanted`, `new_version`, `scaled_up`; `not_wanted`, `idle`, `scaled_down`, `made_room`, `over_budget`,
    /// `worker_drains`, `unsuitable`, `failed`, `quarantined`.
    reason: String,
}

impl From<PlacementRecord> for Placements {
    fn from(record: PlacementRecord) -> Self {
        let short = record.short.into_iter().map(|short| Missing {
            version_id: short.version,
            missing: short.missing,
            resident_bytes: short.resident_bytes,
            reason: short.reason,
        });
        let moves = record.moves.into_iter().map(|last| Move {
            at: last.at,
            worker_id: last.worker,
            version_id: last.version,
            action: last.action,
            reason: last.reason,
        });
        Self {
            short: short.collect(),
            moves: moves.collect(),
        }
    }
}

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR]);

/// Show what the planner did
///
/// The last loads and unloads with their reasons, and the versions that have no place.
#[utoipa::path(
    operation_id = "placements_show",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    responses((status = 200, description = "What was done, and what is missing.", body = Placements), Errors)
)]
#[get("/api/v1/placements")]
pub(crate) async fn placements(caller: Operating) -> Result<Json<Placements>, Failure> {
    let last = Fleet::new(caller.coordination.clone()).placement().await;
    let last = last.map_err(|error| Failure::of(crate::errors::Code::Unavailable).source(error))?;
    Ok(Json(last.into()))
}
