//! Which models are computed right now, noted where the node can read it when this process has crashed.

use berth_runtime::Marks;
use berth_sandbox::notes::Page;

/// A cell of the page for each compute thread.
#[derive(Debug)]
pub(super) struct Noted(pub(super) Page);

impl Marks for Noted {
    fn begin(&self, thread: usize, mark: u64) {
        self.0.note(thread, mark);
    }

    fn end(&self, thread: usize) {
        self.0.note(thread, 0);
    }
}
