//! How a deployment wants to be run, and how it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many replicas a deployment keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Replicas {
    /// So many of each version, each on another worker; 0 when it may be without any while nobody calls it.
    pub min: u32,
    /// As many as that while callers wait; `min` (1 where that is 0) unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl Replicas {
    /// The most replicas of a version that there may be: never 0, and never fewer than `min`.
    pub fn most(&self) -> u32 {
        self.max.unwrap_or(self.min).max(self.min).max(1)
    }
}

impl Default for Replicas {
    fn default() -> Self {
        Self { min: 1, max: None }
    }
}

/// How requests are joined to batches; what is not said is the worker's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[schema(as = BatchLimits)]
pub struct Batching {
    /// The most rows of one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u32>,
    /// The most tokens of one batch, padding included, where the model's task knows tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// How long a request may wait for others, in microseconds; 0 sends each at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay_us: Option<u32>,
}

impl Batching {
    /// Limits that hold for whoever asked for one of the two: of each the lower.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        let lower = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        Self {
            max_rows: lower(self.max_rows, other.max_rows),
            max_tokens: lower(self.max_tokens, other.max_tokens),
            max_delay_us: lower(self.max_delay_us, other.max_delay_us),
        }
    }
}

/// What a version is to be computed on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Whatever the worker has.
    #[default]
    Any,
    /// The processor, even where there is more.
    Cpu,
    /// A GPU, by CUDA.
    Cuda,
    /// A GPU, by TensorRT.
    Tensorrt,
}

impl DeviceKind {
    /// The name of the execution provider that is demanded; none where any will do.
    pub const fn provider(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Cpu => Some("cpu"),
            Self::Cuda => Some("cuda"),
            Self::Tensorrt => Some("tensorrt"),
        }
    }
}

/// What a worker must have to hold a deployment's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[schema(as = DeviceDemand)]
pub struct Device {
    /// What it computes on.
    pub kind: DeviceKind,
    /// Memory that such a device has at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_memory_bytes: Option<u64>,
    /// Labels that the worker bears, each with this value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// For how long versions stay loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum Residency {
    /// As long as there is room; one that nobody calls makes place for one that has callers.
    #[default]
    Shared,
    /// Always: it makes place for nothing.
    Pinned,
    /// Until nobody has called it for so long, and then not before the next call.
    Idle {
        /// How long, in seconds.
        unload_after_s: u32,
    },
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
    /// How requests are joined to batches.
    pub batching: Batching,
    /// What the workers must have.
    pub device: Device,
    /// For how long versions stay loaded.
    pub residency: Residency,
    /// Whether each replica has a process of its own, even where small models of one organization share one.
    pub own_runner: bool,
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
        let settings =
            serde_json::json!({ "replicas": { "max": 3, "spare": 1 }, "warmth": "high", "device": {} });
        let read: Settings = serde_json::from_value(settings).expect("parses");
        let expected = Settings {
            replicas: Replicas { min: 1, max: Some(3) },
            ..Settings::default()
        };
        assert_eq!(read, expected);
        // What an older release wrote.
        let older: Settings =
            serde_json::from_value(serde_json::json!({ "replicas": { "min": 2 } })).expect("parses");
        assert_eq!(older.replicas.most(), 2);
    }

    #[test]
    fn settings_are_what_they_were_after_being_stored() {
        let settings = Settings {
            replicas: Replicas { min: 0, max: Some(4) },
            threads: Some(2),
            batching: Batching {
                max_rows: Some(32),
                max_tokens: None,
                max_delay_us: Some(0),
            },
            device: Device {
                kind: DeviceKind::Cuda,
                min_memory_bytes: Some(8 << 30),
                labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            },
            residency: Residency::Idle { unload_after_s: 60 },
            own_runner: true,
        };
        let stored = serde_json::to_value(&settings).expect("serializes");
        assert_eq!(
            stored["residency"],
            serde_json::json!({ "policy": "idle", "unload_after_s": 60 })
        );
        assert_eq!(
            serde_json::from_value::<Settings>(stored).expect("parses"),
            settings
        );
    }

    #[test]
    fn tightest_limits_are_the_lower_of_each() {
        let of = |max_rows, max_delay_us| Batching {
            max_rows,
            max_tokens: None,
            max_delay_us,
        };
        assert_eq!(
            of(Some(8), None).tightest(of(Some(4), Some(100))),
            of(Some(4), Some(100))
        );
        assert_eq!(
            Batching::default().tightest(Batching::default()),
            Batching::default()
        );
    }
}
