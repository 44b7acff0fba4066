//! Members of one project: the same as members of an organization, confined to it.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod show;
pub(crate) mod update;
