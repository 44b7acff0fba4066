//! What a request and the thread that computes it share: the pieces that are done, and whether anybody still waits.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use berth_inference::Interrupt;

use crate::failure::Failure;

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Done<P> {
    /// One for each piece, in the order of the pieces.
    pub(crate) products: Vec<P>,
    pub(crate) times: Times,
}

/// How long a request waited and computed, and in what company.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// Until a thread was free for it.
    pub(crate) queued: Duration,
    /// While a thread was free and waited for others.
    pub(crate) held: Duration,
    /// All runs that it took part in, whole.
    pub(crate) computed: Duration,
    /// The largest of those runs: how many requests shared it, and what it weighed.
    pub(crate) batch_requests: u32,
    pub(crate) batch_weight: u64,
}

/// A run, as those who take part in it see it. It is stopped when nobody is left who waits for it.
#[derive(Debug)]
pub(super) struct Running {
    /// Who still waits, and one more while it is being put together.
    live: AtomicUsize,
    pub(super) interrupt: Interrupt,
}

impl Running {
    /// A run that is being put together.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            live: AtomicUsize::new(1),
            interrupt: Interrupt::new(),
        })
    }

    /// It is complete; or somebody leaves it.
    pub(super) fn leave(&self) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.interrupt.trigger();
        }
    }
}

/// One request's place in the engine.
#[derive(Debug)]
pub(super) struct Ticket<P>(Mutex<State<P>>);

#[derive(Debug)]
struct State<P> {
    products: Vec<Option<P>>,
    left: usize,
    failure: Option<Failure>,
    /// Nobody waits any more, or the answer was fetched.
    over: bool,
    waker: Option<Waker>,
    others: Option<Wakers>,
    running: Vec<Arc<Running>>,
    times: Times,
}

impl<P> Ticket<P> {
    /// A request of so many pieces.
    pub(super) fn new(pieces: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            products: (0..pieces).map(|_| None).collect(),
            left: pieces,
            failure: None,
            over: false,
            waker: None,
            others: None,
            running: Vec::new(),
            times: Times::default(),
        })))
    }

    /// A piece begins. `false` when nobody waits for it any more.
    pub(super) fn begin(&self, running: &Arc<Running>, queued: Duration, held: Duration) -> bool {
        let mut state = self.lock();
        if state.over || state.failure.is_some() {
            return false;
        }
        if state.times.batch_requests == 0 {
            state.times.queued = queued;
            state.times.held = held;
            state.times.batch_requests = 1;
        }
        running.live.fetch_add(1, Ordering::AcqRel);
        state.running.push(Arc::clone(running));
        true
    }

    /// A piece is done. Gives who is to be woken, if that was the last one.
    pub(super) fn finish(
        &self,
        piece: usize,
        result: Result<P, Failure>,
        running: &Arc<Running>,
        run: &RunTimes,
    ) -> Option<Waker> {
        let mut state = self.lock();
        state.leave(running, run);
        if state.over || state.failure.is_some() {
            return None;
        }
        match result {
            Ok(product) => {
                if let Some(slot) = state.products.get_mut(piece)
                    && slot.replace(product).is_none()
                {
                    state.left -= 1;
                }
                (state.left == 0).then(|| state.waker.take()).flatten()
            }
            Err(failure) => {
                state.failure = Some(failure);
                state.waker.take()
            }
        }
    }

    /// A run in which it took part came to nothing.
    pub(super) fn leave(&self, running: &Arc<Running>, run: &RunTimes) {
        self.lock().leave(running, run);
    }

    /// It is not done at all.
    pub(super) fn refuse(&self, failure: Failure) -> Option<Waker> {
        let mut state = self.lock();
        if state.over || state.failure.is_some() {
            return None;
        }
        state.failure = Some(failure);
        state.waker.take()
    }

    /// Whoever is woken here wakes these too, from its own thread.
    pub(super) fn pass_on(&self, others: Wakers) {
        let mut state = self.lock();
        if !state.over {
            state.others = Some(others);
        }
        // Else they are woken now, as they are dropped.
    }

    /// Nobody waits any more. Gives whether pieces may still be waiting.
    pub(super) fn abandon(&self) -> bool {
        let mut state = self.lock();
        let unfinished = state.left > 0;
        state.over = true;
        let (others, running) = (state.others.take(), mem::take(&mut state.running));
        drop(state);
        for run in running {
            run.leave();
        }
        drop(others);
        unfinished
    }

    /// The answer, when it is there.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Done<P>, Failure>> {
        let mut state = self.lock();
        let result = if let Some(failure) = state.failure.take() {
            // A second one must not be waited for.
            state.over = true;
            Err(failure)
        } else if state.left == 0 {
            state.over = true;
            Ok(Done {
                products: state.products.drain(..).flatten().collect(),
                times: state.times,
            })
        } else {
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                slot => *slot = Some(context.waker().clone()),
            }
            return Poll::Pending;
        };
        let others = state.others.take();
        drop(state);
        drop(others);
        Poll::Ready(result)
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> State<P> {
    fn leave(&mut self, running: &Arc<Running>, run: &RunTimes) {
        let is_it = |other: &Arc<Running>| Arc::ptr_eq(other, running);
        let Some(place) = self.running.iter().position(is_it) else {
            return;
        };
        self.running.swap_remove(place);
        // Several pieces may have taken part.
        if !self.running.iter().any(is_it) {
            self.times.computed += run.took;
            self.times.batch_requests = self.times.batch_requests.max(run.requests);
            self.times.batch_weight = self.times.batch_weight.max(run.weight);
        }
    }
}

/// What a run was.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunTimes {
    pub(super) took: Duration,
    pub(super) requests: u32,
    pub(super) weight: u64,
}

/// Those who are to be woken. Waking from another thread costs a system call each, so one is woken from there, and wakes
/// the others, for which its own thread is theirs too.
#[derive(Debug)]
pub(super) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(super) const fn new(wakers: Vec<Waker>) -> Self {
        Self(wakers)
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        for waker in self.0.drain(..) {
            waker.wake();
        }
    }
}
