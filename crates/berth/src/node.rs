//! What the server processes share: settings become services, and everything that runs ends in order.

pub(crate) mod shutdown;
