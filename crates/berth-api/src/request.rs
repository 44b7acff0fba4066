//! What is known of a request before any handler sees it.

mod address;
mod context;
mod prefer;
mod trace;

pub(crate) use address::client_address;
pub(crate) use context::{Facts, RequestContext};
pub(crate) use prefer::wait;
pub(crate) use trace::{Trace, client_request_id};
