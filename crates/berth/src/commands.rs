//! The commands, one file each.

pub(crate) mod admin;
pub(crate) mod api;
pub(crate) mod caller;
pub(crate) mod config;
pub(crate) mod deployments;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod explain;
pub(crate) mod gate;
pub(crate) mod infer;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod organizations;
pub(crate) mod password;
pub(crate) mod projects;
pub(crate) mod tasks;
