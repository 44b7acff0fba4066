//! What the server processes share: settings become services, and everything that runs ends in order.

pub(crate) mod api;
pub(crate) mod foundation;
mod leftovers;
pub(crate) mod options;
pub(crate) mod probes;
pub(crate) mod shutdown;
pub(crate) mod start;
pub(crate) mod tasks;
