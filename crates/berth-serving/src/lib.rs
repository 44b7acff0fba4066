#![doc = include_str!("../README.md")]

pub mod inference;
pub mod planner;
pub mod routing;
pub mod runner_client;
