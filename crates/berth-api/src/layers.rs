//! What lies around every endpoint, the outermost first.

mod compress;
mod cors;
mod crowd;
mod departure;
mod failures;
mod farewell;
mod observe;
mod record;

pub(crate) use compress::compress;
pub(crate) use cors::cors;
pub(crate) use crowd::{Crowd, crowd};
pub(crate) use failures::failures;
pub(crate) use farewell::farewell;
pub(crate) use observe::observe;

#[cfg(test)]
mod tests;
