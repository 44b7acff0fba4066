//! The pages to which the `type` of problem details points.

pub(crate) mod list;
pub(crate) mod show;
