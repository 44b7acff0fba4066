//! The commands, one file each.

pub(crate) mod caller;
pub(crate) mod config;
pub(crate) mod deployments;
pub(crate) mod embed;
pub(crate) mod infer;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod models;
pub(crate) mod organizations;
pub(crate) mod projects;
