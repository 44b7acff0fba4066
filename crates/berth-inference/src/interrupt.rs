//! Stopping a run from outside.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Stop = Box<dyn Fn() + Send>;

/// A handle by which others stop a run, before it starts or in its middle. Clones are the same handle.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Default)]
struct State {
    triggered: AtomicBool,
    stop: Mutex<Option<Stop>>,
}

impl Interrupt {
    /// A handle that has not been triggered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the run that is armed, and every later one. Triggering twice is the same as once.
    pub fn trigger(&self) {
        // The flag is set under the lock, so that a run which is being armed either sees it or is told.
        let stop = self.0.stop.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.triggered.store(true, Ordering::Release);
        if let Some(stop) = &*stop {
            stop();
        }
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.0.triggered.load(Ordering::Acquire)
    }

    /// For backends: says how the run that begins now is stopped, until the answer is dropped. `None` when the handle
    /// was triggered already: then the run must not begin.
    pub fn arm(&self, stop: impl Fn() + Send + 'static) -> Option<Armed<'_>> {
        let mut slot = self.0.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_triggered() {
            return None;
        }
        *slot = Some(Box::new(stop));
        Some(Armed(self))
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Interrupt").field(&self.is_triggered()).finish()
    }
}

/// A run that can be stopped; dropped when it is over.
#[derive(Debug)]
pub struct Armed<'a>(&'a Interrupt);

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        *self.0.0.stop.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn armed_run_is_stopped_and_a_finished_one_is_left_alone() {
        let stops = Arc::new(AtomicUsize::new(0));
        let interrupt = Interrupt::new();
        let count = Arc::clone(&stops);
        let armed = interrupt.arm(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert!(armed.is_some());
        interrupt.clone().trigger();
        assert_eq!(stops.load(Ordering::Relaxed), 1);
        drop(armed);
        interrupt.trigger();
        assert_eq!(stops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn triggered_handle_lets_no_run_begin() {
        let interrupt = Interrupt::new();
        interrupt.trigger();
        assert!(interrupt.arm(|| ()).is_none());
    }
}
