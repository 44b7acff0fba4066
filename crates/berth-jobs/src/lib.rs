//! Handlers of queued and periodic work.

pub mod model_check;
pub mod placement;
pub mod relay;
