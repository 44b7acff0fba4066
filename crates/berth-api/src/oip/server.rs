//! What the server says of itself.

pub(crate) mod live;
pub(crate) mod metadata;
pub(crate) mod ready;
