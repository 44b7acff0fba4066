//! Computes what is asked of all loaded models, on a few threads.
//!
//! A [`Program`] computes for one model, one run at a time; a [`Lane`] is that model's way into the engine. What waits is
//! kept apart by model and tenant. A thread that is free asks whose turn it is (`shares`), whether to wait a moment for more
//! (`pace`), and how large the run should be (`sizes`); it takes pieces of as many requests as fit together (`bundle`), runs
//! them, and gives each its own answer. There is no thread for a model, and none for a request.

mod bundle;
mod compute;
mod jobs;
mod pace;
mod shares;
mod sizes;
mod state;
mod ticket;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod simulation;

use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher as _;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use berth_inference::Interrupt;

use crate::failure::{Code, Failure};
use crate::marks::Marks;
use crate::turns::Turns;
use jobs::{LaneId, Look};
use state::State;
use ticket::{Ticket, Wakers};

pub(crate) use bundle::{Form, wastes_little};
pub(crate) use state::Standing;
pub(crate) use ticket::{Done, Times};

/// Computes for one model.
pub(crate) trait Program: Send + 'static {
    /// A piece of a request.
    type Work: Send + Sync + 'static;
    /// What comes of it.
    type Product: Send + 'static;

    /// Runs these pieces together and gives one result for each. Fails when the run as a whole fails.
    fn run(
        &mut self,
        works: &[&Self::Work],
        interrupt: &Interrupt,
    ) -> Result<Results<Self::Product>, Refusal>;
}

/// One result for each piece of a run.
pub(crate) type Results<P> = Vec<Result<P, Failure>>;

/// Why a run gave nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It failed.
    Failed(Failure),
    /// What came of it cannot be told apart, or the pieces do not fit together: each has to run alone, now and later.
    Inseparable,
}

/// A piece of a request: what can run by itself or with others.
#[derive(Debug)]
pub(crate) struct Piece<W> {
    pub(crate) work: W,
    pub(crate) form: Form,
    /// How much memory it holds.
    pub(crate) bytes: usize,
}

/// How an engine is set up.
#[derive(Clone)]
pub(crate) struct Options {
    /// How many runs there are at once, of different models.
    pub(crate) threads: usize,
    /// Most bytes that wait.
    pub(crate) queue_bytes: usize,
    /// Who says when the device may be used.
    pub(crate) turns: Arc<dyn Turns>,
    /// Who notes what is computed.
    pub(crate) marks: Arc<dyn Marks>,
}

/// How one model is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneOptions {
    /// How many requests may wait.
    pub(crate) queue_requests: usize,
    /// The longest wait for others before a run.
    pub(crate) longest_wait: Duration,
    /// What runs should weigh before anything is known about them.
    pub(crate) usual_weight: u64,
    /// What they may weigh at most, unless a single piece weighs more.
    pub(crate) most_weight: u64,
    /// What its runs are noted by.
    pub(crate) mark: u64,
}

/// The threads, and what they share. Dropping it ends them after their present runs.
pub(crate) struct Engine<P: Program> {
    shared: Arc<Shared<P>>,
    threads: Vec<JoinHandle<()>>,
    hasher: RandomState,
}

struct Shared<P: Program> {
    state: Mutex<Guarded<P>>,
    changed: Condvar,
    turns: Arc<dyn Turns>,
    marks: Arc<dyn Marks>,
}

struct Guarded<P: Program> {
    queues: State<P>,
    closed: bool,
    /// How many threads have nothing to do, and how many of them are being woken.
    sleeping: usize,
    woken: usize,
    /// Until when a thread sleeps at most because something is held.
    watched: Option<Instant>,
}

impl<P: Program> Engine<P> {
    /// Starts the threads. Fails when the system gives none.
    pub(crate) fn start(options: Options) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            state: Mutex::new(Guarded {
                queues: State::new(options.queue_bytes),
                closed: false,
                sleeping: 0,
                woken: 0,
                watched: None,
            }),
            changed: Condvar::new(),
            turns: options.turns,
            marks: options.marks,
        });
        let mut engine = Self {
            shared,
            threads: Vec::new(),
            hasher: RandomState::new(),
        };
        for number in 0..options.threads.max(1) {
            let shared = Arc::clone(&engine.shared);
            let thread = thread::Builder::new().name("compute".to_owned());
            engine
                .threads
                .push(thread.spawn(move || compute::run(&shared, number))?);
        }
        Ok(Arc::new(engine))
    }

    /// Adds a model.
    pub(crate) fn open(self: &Arc<Self>, program: P, options: LaneOptions) -> Lane<P> {
        let id = self.shared.lock().queues.open(program, options);
        Lane {
            engine: Arc::clone(self),
            id,
        }
    }
}

impl<P: Program> Drop for Engine<P> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a compute thread panicked");
            }
        }
    }
}

/// One model's way into the engine. Dropping it removes the model.
pub(crate) struct Lane<P: Program> {
    engine: Arc<Engine<P>>,
    id: LaneId,
}

impl<P: Program> Lane<P> {
    /// The number under which an owner's requests are treated as one.
    pub(crate) fn tenant(&self, organization: &str, project: &str) -> u64 {
        self.engine.hasher.hash_one((organization, project))
    }

    /// Runs the pieces of one request when its turn comes. Dropping the future takes the request back: out of the queue, or
    /// by interrupting its run when it was the last to wait for it.
    ///
    /// Fails when too much waits, when the deadline passes or surely will, or when a piece fails.
    pub(crate) async fn run(
        &self,
        tenant: u64,
        pieces: Vec<Piece<P::Work>>,
        deadline: Option<Instant>,
    ) -> Result<Done<P::Product>, Failure> {
        let shared = &*self.engine.shared;
        let now = Instant::now();
        let (pushed, wake) = {
            let mut state = shared.lock();
            let pushed = state.queues.push(self.id, tenant, pieces, deadline, now)?;
            let needed = match pushed.look {
                Look::Now => true,
                Look::Later => false,
                Look::At(until) => state.watched.is_none_or(|watched| watched > until),
            };
            let wake = needed && state.sleeping > state.woken;
            state.woken += usize::from(wake);
            (pushed, wake)
        };
        drop(Wakers::new(pushed.displaced));
        let waiting = Waiting {
            shared,
            ticket: pushed.ticket,
            flow: pushed.flow,
            request: pushed.request,
        };
        if wake {
            let wake = WakeOnDrop(&shared.changed);
            if pushed.crowded {
                // Others that came in the same moment are taken in first: a thread is woken once for all of them.
                tokio::task::yield_now().await;
            }
            drop(wake);
        }
        let answer = poll_fn(|context| waiting.ticket.poll(context));
        match deadline {
            None => answer.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer)
                .await
                .unwrap_or_else(|_| Err(late())),
        }
    }

    /// How the model stands.
    pub(crate) fn standing(&self) -> Standing {
        let standing = self.engine.shared.lock().queues.standing(self.id, Instant::now());
        standing.unwrap_or_default()
    }
}

impl<P: Program> Drop for Lane<P> {
    fn drop(&mut self) {
        let (program, wakers) = self.engine.shared.lock().queues.close(self.id);
        drop(Wakers::new(wakers));
        drop(program);
    }
}

/// What a request that is too late is told.
pub(crate) fn late() -> Failure {
    Failure::new(
        Code::DeadlineExceeded,
        "The deadline passed before the answer was ready.",
    )
}

/// Takes a request back when nobody waits for it any more.
struct Waiting<'a, P: Program> {
    shared: &'a Shared<P>,
    ticket: Arc<Ticket<P::Product>>,
    flow: usize,
    request: u64,
}

impl<P: Program> Drop for Waiting<'_, P> {
    fn drop(&mut self) {
        if self.ticket.abandon() {
            let removed = self.shared.lock().queues.remove(self.flow, self.request);
            // Large work is freed after the lock.
            drop(removed);
        }
    }
}

/// Wakes a thread, even when whoever was to do it is gone.
struct WakeOnDrop<'a>(&'a Condvar);

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl<P: Program> Shared<P> {
    fn lock(&self) -> MutexGuard<'_, Guarded<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
