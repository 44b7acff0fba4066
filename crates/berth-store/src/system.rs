//! What works across organizations, as `berth_system`: the relay, the planner, proofs, sweeps, letters, and operators of the
//! platform. Everything here sees every tenant, which is why it stands apart.

pub mod blobs;
pub mod expired;
pub mod invitations;
pub mod models;
pub mod organizations;
pub mod outbox;
pub mod password_resets;
pub mod placements;
pub mod users;
pub mod versions;
