#![doc = include_str!("../README.md")]

mod sandbox;

mod filesystem;
mod limits;
mod privileges;
mod system_calls;

pub mod inherited;
pub mod launch;
pub mod notes;
pub mod probes;

pub use sandbox::{Applied, Error, Mode, Sandbox};
