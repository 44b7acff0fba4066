//! The server's description of itself.

pub(crate) mod jwks;
pub(crate) mod openapi;
pub(crate) mod pages;
