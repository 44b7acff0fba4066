//! Notes of what is computed, for whoever looks for the cause when the process has ended.

use std::fmt;

/// Takes notes that outlive the process. Called around each run, so it must be cheap.
pub trait Marks: fmt::Debug + Send + Sync {
    /// The compute thread of this number begins a run of the model with this mark.
    fn begin(&self, thread: usize, mark: u64);

    /// That run is over.
    fn end(&self, thread: usize);
}

/// Nobody looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmarked;

impl Marks for Unmarked {
    fn begin(&self, _: usize, _: u64) {}

    fn end(&self, _: usize) {}
}
