//! How a deployment is to be run, as requests say it: what is not known is refused.

use std::collections::BTreeMap;

use berth_domain::deployment::{Batching, Device, DeviceKind, Replicas, Residency, Settings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a deployment is to be run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DeploymentSettings)]
pub(crate) struct WantedSettings {
    /// How many replicas of each version are kept.
    #[schema(inline)]
    replicas: WantedReplicas,
    /// How many threads compute one request, as far as the worker's machine has them; the worker's choice unless stated. The
    /// most that any deployment of a version asks for counts.
    threads: Option<u32>,
    /// How requests are joined to batches; the worker's choice unless stated. The least that any deployment of a version asks
    /// for counts.
    #[schema(inline)]
    batching: WantedBatching,
    /// What the workers must have. All that deployments of a version demand counts together.
    #[schema(inline)]
    device: WantedDevice,
    /// For how long versions stay loaded.
    #[schema(inline)]
    residency: WantedResidency,
    /// Whether each replica has a process of its own, even where small models of one organization share one.
    own_runner: bool,
}

/// How many replicas a deployment keeps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct WantedReplicas {
    /// So many of each version, each on another worker; 0 to 64. With 0 a version is loaded when it is called, and unloaded when
    /// nobody calls it any more.
    min: u32,
    /// As many as that while callers wait, 1 to 64; `min` unless stated.
    max: Option<u32>,
}

impl Default for WantedReplicas {
    fn default() -> Self {
        let Replicas { min, max } = Replicas::default();
        Self { min, max }
    }
}

/// How requests are joined to batches.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct WantedBatching {
    /// The most rows of one batch, 1 to 65536.
    max_rows: Option<u32>,
    /// The most tokens of one batch, padding included, 1 to 16777216.
    max_tokens: Option<u32>,
    /// How long a request may wait for others, in microseconds, up to a second; 0 sends each at once.
    max_delay_us: Option<u32>,
}

/// What a worker must have.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct WantedDevice {
    /// What it computes on; where that is not `any`, nothing else is used instead.
    kind: DeviceKind,
    /// Memory that such a device has at least.
    min_memory_bytes: Option<u64>,
    /// Labels that the worker bears, each with this value; at most 16.
    labels: BTreeMap<String, String>,
}

/// For how long versions stay loaded.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, tag = "policy", rename_all = "snake_case")]
enum WantedResidency {
    /// As long as there is room; one that nobody calls makes place for one that has callers.
    #[default]
    Shared,
    /// Always: it makes place for nothing.
    Pinned,
    /// Until nobody has called it for so long, and then not before the next call.
    Idle {
        /// How long, in seconds; 1 to 2592000.
        unload_after_s: u32,
    },
}

impl From<WantedSettings> for Settings {
    fn from(wanted: WantedSettings) -> Self {
        let WantedSettings {
            replicas,
            threads,
            batching,
            device,
            residency,
            own_runner,
        } = wanted;
        Self {
            replicas: Replicas {
                min: replicas.min,
                max: replicas.max,
            },
            threads,
            batching: Batching {
                max_rows: batching.max_rows,
                max_tokens: batching.max_tokens,
                max_delay_us: batching.max_delay_us,
            },
            device: Device {
                kind: device.kind,
                min_memory_bytes: device.min_memory_bytes,
                labels: device.labels,
            },
            residency: match residency {
                WantedResidency::Shared => Residency::Shared,
                WantedResidency::Pinned => Residency::Pinned,
                WantedResidency::Idle { unload_after_s } => Residency::Idle { unload_after_s },
            },
            own_runner,
        }
    }
}
