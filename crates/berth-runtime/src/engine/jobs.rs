//! Pieces of requests on their way: waiting, running, done.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::Program;
use super::bundle::Form;
use super::shares::FlowId;
use super::ticket::{Running, Ticket};

/// The number of a model.
pub(super) type LaneId = usize;

/// A piece that waits.
pub(super) struct Job<P: Program> {
    pub(super) request: u64,
    pub(super) piece: usize,
    pub(super) work: P::Work,
    pub(super) form: Form,
    pub(super) ticket: Arc<Ticket<P::Product>>,
    pub(super) flow: FlowId,
    /// What its flow was charged, in nanoseconds.
    pub(super) cost: u64,
    pub(super) bytes: usize,
    /// It is the last piece of its request.
    pub(super) last: bool,
    pub(super) queued_at: Instant,
}

/// Pieces that run together now.
pub(super) struct Batch<P: Program> {
    pub(super) lane: LaneId,
    pub(super) program: P,
    pub(super) jobs: Vec<Job<P>>,
    pub(super) running: Arc<Running>,
    pub(super) weight: u64,
    /// What the run is noted by.
    pub(super) mark: u64,
}

/// What a thread does next.
pub(super) enum Next<P: Program> {
    Run(Box<Batch<P>>),
    /// Wait for more, until then.
    Hold(Instant),
    Nothing,
}

/// A request that was taken.
pub(super) struct Pushed<P> {
    pub(super) ticket: Arc<Ticket<P>>,
    pub(super) request: u64,
    pub(super) flow: FlowId,
    pub(super) look: Look,
    /// Whether others are likely to come at the same moment.
    pub(super) crowded: bool,
    /// Who was turned away for it.
    pub(super) displaced: Vec<Waker>,
}

/// When a thread has to look at what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Now,
    /// More is waited for until then.
    At(Instant),
    /// Its model runs: whoever runs it looks afterwards.
    Later,
}

/// What came of a run.
pub(super) struct Finished<P> {
    pub(super) lane: LaneId,
    pub(super) program: P,
    pub(super) used: Vec<Used>,
    /// How many requests it ended.
    pub(super) answered: usize,
    /// The weight and the time of each run that succeeded.
    pub(super) runs: Vec<(u64, Duration)>,
    /// The program cannot tell the members of a run apart.
    pub(super) inseparable: bool,
}

/// What a flow used of a run, in nanoseconds, and what it had been charged for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) flow: FlowId,
    pub(super) took: u64,
    pub(super) charged: u64,
}
