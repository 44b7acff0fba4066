//! Turns of a device that several processes share.

use std::fmt;
use std::time::Duration;

/// Says when this process may use its device. A turn that cannot be had must not be waited for without end: whoever grants
/// it may be gone.
pub trait Turns: fmt::Debug + Send + Sync {
    /// Whether there are turns at all; asked before each run, so it must be cheap.
    fn are_used(&self) -> bool;

    /// Waits for a turn. Each is given back.
    fn take(&self);

    /// Gives a turn back, after so much use.
    fn give_back(&self, used: Duration);
}

/// The device is used whenever there is something to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Always;

impl Turns for Always {
    fn are_used(&self) -> bool {
        false
    }

    fn take(&self) {}

    fn give_back(&self, _: Duration) {}
}
