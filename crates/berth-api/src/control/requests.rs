//! Requests that the models of a project have answered.

pub(crate) mod show;
