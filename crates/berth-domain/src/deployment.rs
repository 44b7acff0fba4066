//! How a deployment wants to be run, and how it stands.

use serde::{Deserialize, Serialize};

/// How many replicas a deployment keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Replicas {
    /// So many of each version, each on another worker.
    pub min: u32,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { min: 1 }
    }
}

/// What a deployment asks of the workers. Stored as a document: a field that is not there has its default, and a field of a
/// newer release is passed over, so that neighboring releases work together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Settings {
    /// How many replicas of each version are kept.
    pub replicas: Replicas,
    /// How many threads compute one request, as far as the worker's machine has them; the worker's choice where it is not
    /// said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

/// How a deployment stands, the worst of its versions first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeploymentState)]
pub enum State {
    /// Loading a version failed, or its process ended, several times in a row. Workers go on trying, ever more rarely.
    Failed,
    /// No worker holds a version yet: none was told to, none has room, or none is there.
    Pending,
    /// A version is being fetched or loaded.
    Loading,
    /// Every version answers.
    Ready,
    /// It keeps its name and serves nobody.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_settings_have_defaults_and_unknown_ones_are_passed_over() {
        let settings = serde_json::json!({ "replicas": { "max": 3 }, "residency": "pinned" });
        assert_eq!(
            serde_json::from_value::<Settings>(settings).expect("parses"),
            Settings {
                replicas: Replicas { min: 1 },
                threads: None
            }
        );
    }
}
