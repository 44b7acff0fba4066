//! The queue before the compute thread.
//!
//! Today it hands out one job at a time, first come, first served. This is the place where rows of several requests are
//! joined into one run, and where turns are shared fairly between tenants: both only change what [`Queue::next`] takes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use berth_inference::Interrupt;
use tokio::sync::oneshot;

use crate::engine::Done;
use crate::failure::{Code, Failure};

type Reply<P> = oneshot::Sender<Result<Done<P>, Failure>>;

/// Work that waits.
pub(super) struct Job<W, P> {
    ticket: u64,
    pub(super) work: W,
    pub(super) interrupt: Interrupt,
    pub(super) queued_at: Instant,
    pub(super) reply: Reply<P>,
}

/// What comes next.
pub(super) enum Next<W, P> {
    /// This job.
    Job(Job<W, P>),
    /// Nothing came for as long as was asked.
    Quiet,
    /// Nothing will come any more.
    Closed,
}

/// A bounded queue.
pub(super) struct Queue<W, P> {
    state: Mutex<State<W, P>>,
    changed: Condvar,
    capacity: usize,
}

struct State<W, P> {
    jobs: VecDeque<Job<W, P>>,
    tickets: u64,
    closed: bool,
}

impl<W, P> Queue<W, P> {
    /// An empty queue in which so many jobs can wait.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                tickets: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            capacity: capacity.max(1),
        }
    }

    /// Adds a job. Gives the ticket by which it can be taken back. Fails at once when too many wait.
    pub(super) fn push(&self, work: W, interrupt: Interrupt, reply: Reply<P>) -> Result<u64, Failure> {
        let mut state = self.lock();
        if state.jobs.len() >= self.capacity {
            return Err(Failure::new(
                Code::QueueFull,
                format!(
                    "{} requests wait for this model already; try again soon.",
                    state.jobs.len()
                ),
            ));
        }
        state.tickets += 1;
        let ticket = state.tickets;
        state.jobs.push_back(Job {
            ticket,
            work,
            interrupt,
            queued_at: Instant::now(),
            reply,
        });
        drop(state);
        self.changed.notify_one();
        Ok(ticket)
    }

    /// Takes a job back, if it still waits.
    pub(super) fn remove(&self, ticket: u64) {
        let mut state = self.lock();
        let place = state.jobs.iter().position(|job| job.ticket == ticket);
        let removed = place.and_then(|place| state.jobs.remove(place));
        // Large work is freed after the lock.
        drop(state);
        drop(removed);
    }

    /// Waits for the next job, or as long as `patience` lasts.
    pub(super) fn next(&self, patience: Option<Duration>) -> Next<W, P> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Next::Job(job);
            }
            if state.closed {
                return Next::Closed;
            }
            state = match patience {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (state, waited) = self
                        .changed
                        .wait_timeout(state, patience)
                        .unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.jobs.is_empty() && !state.closed {
                        return Next::Quiet;
                    }
                    state
                }
            };
        }
    }

    /// Lets the compute thread end when the jobs that wait are done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<W, P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
