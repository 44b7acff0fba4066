//! What operators and tools need: health, metrics, and the server's description of itself.

pub(crate) mod documents;
pub(crate) mod error_codes;
pub(crate) mod health;
pub(crate) mod metrics;
