//! The server's description of itself.

pub(crate) mod entrance;
pub(crate) mod jwks;
pub(crate) mod openapi;
pub(crate) mod pages;
