//! The control plane under `/api/v1`: people, organizations, keys, models and deployments.

#![expect(
    clippy::struct_field_names,
    reason = "fields are named as in JSON, where an id says of what"
)]

mod paths;

pub(crate) mod api_keys;
pub(crate) mod auth;
pub(crate) mod deployments;
pub(crate) mod fleet;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod models;
pub(crate) mod organizations;
pub(crate) mod platform;
pub(crate) mod project_invitations;
pub(crate) mod project_members;
pub(crate) mod projects;
pub(crate) mod requests;
pub(crate) mod roles;
pub(crate) mod service_accounts;
pub(crate) mod versions;
