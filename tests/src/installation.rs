//! Whole installations, made of the built binaries.

mod cluster;
mod lines;
mod one_api;
mod one_machine;
mod settings;

pub use cluster::{Cluster, Member};
pub use lines::{Lines, Server};
pub use one_api::OneApi;
pub use one_machine::OneMachine;

use std::process::Command;
use std::time::Duration;

/// How long anything that a test waits for may take on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Makes a command independent of the settings in the environment of whoever runs the tests.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("BERTH_") && !text.starts_with("BERTH_TEST_") {
            command.env_remove(name);
        }
    }
}
