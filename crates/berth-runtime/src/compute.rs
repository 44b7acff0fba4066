//! What computes: a few threads for all models of a process.

use std::io;
use std::sync::Arc;

use crate::engine::{self, Engine};
use crate::marks::{Marks, Unmarked};
use crate::turns::{Always, Turns};
use crate::work::Loaded;

/// How models are computed.
#[derive(Debug, Clone)]
pub struct ComputeOptions {
    /// How many models run at once. A model runs one thing at a time.
    pub threads: usize,
    /// Most bytes of requests that wait, of all models together.
    pub queue_bytes: usize,
    /// Who says when the device may be used.
    pub turns: Arc<dyn Turns>,
    /// Who notes what is computed.
    pub marks: Arc<dyn Marks>,
}

impl Default for ComputeOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            queue_bytes: 256 << 20,
            turns: Arc::new(Always),
            marks: Arc::new(Unmarked),
        }
    }
}

/// The threads that compute all models which are loaded on them, and share their time fairly between those who ask. Clones
/// are the same; they end with the last one and the last model.
#[derive(Clone)]
pub struct Compute(pub(crate) Arc<Engine<Loaded>>);

impl Compute {
    /// Starts the threads. Fails when the system gives none.
    pub fn start(options: ComputeOptions) -> io::Result<Self> {
        let ComputeOptions {
            threads,
            queue_bytes,
            turns,
            marks,
        } = options;
        Engine::start(engine::Options {
            threads,
            queue_bytes,
            turns,
            marks,
        })
        .map(Self)
    }
}
