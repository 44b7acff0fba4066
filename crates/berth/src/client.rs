//! The client of Berth's API, as the command line uses it: one module per kind of thing that the server has.

pub(crate) mod credentials;
pub(crate) mod deployments;
mod error;
mod http;
pub(crate) mod inference;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod organizations;
pub(crate) mod packing;
pub(crate) mod projects;
pub(crate) mod requests;
pub(crate) mod sessions;

pub(crate) use error::{Error, Refusal};
pub(crate) use http::{Client, Identity, Reply};
