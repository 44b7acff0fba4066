//! Invitations into one project: the same as into an organization, confined to it.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;
