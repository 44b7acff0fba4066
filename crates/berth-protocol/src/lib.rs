#![doc = include_str!("../README.md")]

/// The version of the protocol that this build speaks. Neighbors one version apart work together.
pub const PROTOCOL_VERSION: u32 = 1;

/// What the API and the worker say to a runner.
pub mod runner {
    #![allow(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; the documentation stands in the proto file"
    )]
    include!("generated/berth.runner.v1.rs");
}

/// What the control plane says to a worker.
pub mod worker {
    #![allow(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; the documentation stands in the proto file"
    )]
    include!("generated/berth.worker.v1.rs");
}

/// How both ends set up HTTP/2 between a client and a runner, so that a tensor of a megabyte is not stopped by the
/// protocol's small default windows (64 KiB) and message limit (4 MiB).
pub mod transport {
    /// Flow-control window of one stream.
    pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;
    /// Flow-control window of a connection.
    pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
    /// Largest message; the limits that callers see are lower and are checked before.
    pub const MESSAGE_LIMIT_BYTES: usize = 256 << 20;
    /// Largest HTTP/2 frame, so that a large body is not cut into 16 KiB pieces.
    pub const FRAME_BYTES: u32 = 1 << 20;
}
