//! Measurements.

pub(crate) mod show;
