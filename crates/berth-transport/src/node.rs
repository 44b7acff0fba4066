//! What a node lets callers of other machines reach, by name.

/// The node's own control service.
pub const CONTROL: &str = "control";

const RUNNER: &str = "runner/";

/// The runner of a replica.
pub fn runner(replica: &str) -> String {
    format!("{RUNNER}{replica}")
}

/// The replica whose runner is meant; `None` when it is something else.
pub fn replica(target: &str) -> Option<&str> {
    target.strip_prefix(RUNNER)
}
