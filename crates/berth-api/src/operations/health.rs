//! Signs of life.

pub(crate) mod live;
pub(crate) mod ready;
