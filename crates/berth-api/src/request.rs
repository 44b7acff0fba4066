//! What is known of a request before any handler sees it.

mod address;
mod context;

pub(crate) use address::client_address;
pub(crate) use context::RequestContext;
