//! What a compute thread does: takes a run, does it, and gives everybody their answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use berth_inference::Interrupt;

use super::jobs::{Batch, Finished, Job, Next, Used};
use super::ticket::{RunTimes, Running, Wakers};
use super::{Guarded, Program, Refusal, Results, Shared, late};
use crate::failure::{Code, Failure};

/// After so long without work freed memory is given back to the system.
const QUIET: Duration = Duration::from_secs(2);

/// Works until the engine is closed, as the thread of this number.
pub(super) fn run<P: Program>(shared: &Shared<P>, number: usize) {
    let mut worked = false;
    while let Some((batch, turn)) = next(shared, &mut worked) {
        worked = true;
        shared.marks.begin(number, batch.mark);
        let took = execute(shared, *batch);
        shared.marks.end(number);
        if turn {
            shared.turns.give_back(took);
        }
    }
}

/// Waits for the next run, and for the turn to do it where there are turns: then the second part is true.
fn next<P: Program>(shared: &Shared<P>, worked: &mut bool) -> Option<(Box<Batch<P>>, bool)> {
    let mut state = shared.lock();
    let mut turn = false;
    loop {
        if state.closed {
            break;
        }
        let now = Instant::now();
        // What comes while the turn is waited for can still share the run.
        if !turn && shared.turns.are_used() && state.queues.is_ready(now) {
            drop(state);
            shared.turns.take();
            turn = true;
            state = shared.lock();
            continue;
        }
        let patience = match state.queues.next(now) {
            Next::Run(batch) => {
                // Those who came together woke one thread; there may be more to do.
                if state.sleeping > state.woken && state.queues.is_ready(now) {
                    state.woken += 1;
                    shared.changed.notify_one();
                }
                return Some((batch, turn));
            }
            Next::Hold(until) => {
                state.watched = Some(state.watched.map_or(until, |earlier| earlier.min(until)));
                Some(until.saturating_duration_since(now))
            }
            Next::Nothing => worked.then_some(QUIET),
        };
        if std::mem::take(&mut turn) {
            // It was wanted for something that is gone.
            shared.turns.give_back(Duration::ZERO);
        }
        let held = state.watched.is_some();
        let (after, idle) = sleep(shared, state, patience);
        state = after;
        if idle && !held {
            drop(state);
            berth_inference::memory::release_free_pages();
            *worked = false;
            state = shared.lock();
        }
    }
    drop(state);
    if turn {
        shared.turns.give_back(Duration::ZERO);
    }
    None
}

/// Sleeps until something changes, or as long as `patience` lasts: then the second part is true.
fn sleep<'s, P: Program>(
    shared: &'s Shared<P>,
    mut state: MutexGuard<'s, Guarded<P>>,
    patience: Option<Duration>,
) -> (MutexGuard<'s, Guarded<P>>, bool) {
    state.sleeping += 1;
    let (mut state, idle) = match patience {
        None => {
            let state = shared.changed.wait(state);
            (state.unwrap_or_else(PoisonError::into_inner), false)
        }
        Some(patience) => {
            let waited = shared.changed.wait_timeout(state, patience);
            let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            (state, waited.timed_out())
        }
    };
    state.sleeping -= 1;
    state.woken = state.woken.saturating_sub(1);
    state.watched = None;
    (state, idle)
}

/// Does a run, and gives the answers.
fn execute<P: Program>(shared: &Shared<P>, batch: Batch<P>) -> Duration {
    let Batch {
        lane,
        mut program,
        jobs,
        running,
        weight,
        ..
    } = batch;
    let begun = Instant::now();
    let works: Vec<_> = jobs.iter().map(|job| &job.work).collect();
    let result = attempt(&mut program, &works, &running.interrupt);
    let together = begun.elapsed();
    let mut runs = Vec::new();
    let mut results = None;
    let inseparable = matches!(result, Err(Refusal::Inseparable));
    match result {
        Ok(products) => {
            runs.push((weight, together));
            results = Some(products);
        }
        Err(Refusal::Failed(failure)) if jobs.len() == 1 || running.interrupt.is_triggered() => {
            results = Some(jobs.iter().map(|_| Err(failure.clone())).collect());
        }
        // One of them may be at fault: each gets an answer of its own.
        Err(_) => {
            for job in &jobs {
                runs.extend(alone(&mut program, job, &running));
            }
        }
    }
    let took = begun.elapsed();
    let finished = Finished {
        lane,
        program,
        used: used(&jobs, took),
        answered: jobs.iter().filter(|job| job.last).count(),
        runs,
        inseparable: inseparable && jobs.len() > 1,
    };
    let orphan = shared.lock().queues.done(finished, Instant::now());
    drop(orphan);
    if let Some(results) = results {
        let times = RunTimes {
            took: together,
            requests: requests(&jobs),
            weight,
        };
        deliver(&jobs, results, &running, &times);
    }
    took
}

/// Runs one piece by itself and answers it. Gives its weight and time if that went well.
fn alone<P: Program>(program: &mut P, job: &Job<P>, before: &Arc<Running>) -> Option<(u64, Duration)> {
    let running = Running::new();
    if !job.ticket.begin(&running, Duration::ZERO, Duration::ZERO) {
        return None;
    }
    running.leave();
    let begun = Instant::now();
    let result = attempt(program, &[&job.work], &running.interrupt);
    let times = RunTimes {
        took: begun.elapsed(),
        requests: 1,
        weight: job.form.weight(),
    };
    let result = match result {
        Ok(mut products) => products.pop().unwrap_or_else(|| Err(miscounted())),
        Err(Refusal::Failed(failure)) => Err(failure),
        Err(Refusal::Inseparable) => Err(miscounted()),
    };
    let well = result.is_ok();
    let waker = job.ticket.finish(job.piece, result, &running, &times);
    let nothing = RunTimes {
        took: Duration::ZERO,
        requests: 1,
        weight: 0,
    };
    job.ticket.leave(before, &nothing);
    if let Some(waker) = waker {
        waker.wake();
    }
    well.then_some((times.weight, times.took))
}

/// Each gets what is theirs; all are woken by one.
fn deliver<P: Program>(
    jobs: &[Job<P>],
    results: Results<P::Product>,
    running: &Arc<Running>,
    times: &RunTimes,
) {
    let mut first: Option<(&Job<P>, Waker)> = None;
    let mut others = Vec::new();
    for (job, result) in jobs.iter().zip(results) {
        let Some(waker) = job.ticket.finish(job.piece, result, running, times) else {
            continue;
        };
        match first {
            None => first = Some((job, waker)),
            Some(_) => others.push(waker),
        }
    }
    if let Some((job, waker)) = first {
        if !others.is_empty() {
            job.ticket.pass_on(Wakers::new(others));
        }
        waker.wake();
    }
}

/// Runs, so that a defect in one request does not end the service of all others.
fn attempt<P: Program>(
    program: &mut P,
    works: &[&P::Work],
    interrupt: &Interrupt,
) -> Result<Results<P::Product>, Refusal> {
    if interrupt.is_triggered() {
        return Err(Refusal::Failed(late()));
    }
    match catch_unwind(AssertUnwindSafe(|| program.run(works, interrupt))) {
        Ok(Ok(results)) if results.len() != works.len() => Err(Refusal::Failed(miscounted())),
        Ok(result) => result,
        Err(panic) => {
            tracing::error!(panic = words(&*panic), "a request made the compute thread panic");
            Err(Refusal::Failed(Failure::new(
                Code::Internal,
                "The request hit a defect of the server.",
            )))
        }
    }
}

/// What each flow used, by weight.
fn used<P: Program>(jobs: &[Job<P>], took: Duration) -> Vec<Used> {
    let whole: u128 = jobs.iter().map(|job| u128::from(job.form.weight().max(1))).sum();
    let part = |job: &Job<P>| took.as_nanos() * u128::from(job.form.weight().max(1)) / whole.max(1);
    let jobs = jobs.iter();
    jobs.map(|job| Used {
        flow: job.flow,
        took: u64::try_from(part(job)).unwrap_or(u64::MAX),
        charged: job.cost,
    })
    .collect()
}

/// How many requests take part.
fn requests<P: Program>(jobs: &[Job<P>]) -> u32 {
    let mut requests: Vec<u64> = jobs.iter().map(|job| job.request).collect();
    requests.sort_unstable();
    requests.dedup();
    u32::try_from(requests.len()).unwrap_or(u32::MAX)
}

fn miscounted() -> Failure {
    Failure::new(Code::Internal, "The compute thread lost count of its work.")
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}
