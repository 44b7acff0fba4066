#![doc = include_str!("../README.md")]

pub mod deployments;
pub mod inference;
pub mod models;
pub mod planner;
pub mod proving;
pub mod routing;
pub mod runner_client;
pub mod surroundings;

pub use crate::surroundings::Surroundings;
