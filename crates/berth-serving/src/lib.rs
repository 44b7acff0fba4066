#![doc = include_str!("../README.md")]

mod announcement;
pub mod deployments;
pub mod gate;
pub mod inference;
mod location;
pub mod models;
pub mod place;
pub mod planner;
pub mod proving;
pub mod recognition;
pub mod routing;
pub mod runner_client;
pub mod statistics;
pub mod surroundings;
pub mod trails;
pub mod uploads;

pub use crate::surroundings::Surroundings;

/// What keeps the files: part of the interface of [`uploads`].
pub use berth_artifacts as artifacts;

/// How workers are reached: part of the interface of [`routing`] and [`proving`].
pub use berth_transport as transport;
