//! Handlers of queued and periodic work.

pub mod mail;
pub mod model_check;
pub mod placement;
pub mod relay;
pub mod sweeps;

mod observed;
mod reason;
