//! Whole days of requests in no time: callers and runs on a clock that is only counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use berth_inference::Interrupt;

use super::bundle::Form;
use super::jobs::{Finished, LaneId, Next, Used};
use super::state::State;
use super::{LaneOptions, Piece, Program, Refusal, Results};

/// Computes nothing; what it would take is counted.
struct Counted;

impl Program for Counted {
    /// The caller's number.
    type Work = usize;
    type Product = ();

    fn run(&mut self, works: &[&usize], _: &Interrupt) -> Result<Results<()>, Refusal> {
        Ok(works.iter().map(|_| Ok(())).collect())
    }
}

/// Somebody who asks, and asks again so long after each answer.
#[derive(Clone, Copy)]
struct Caller {
    tenant: u64,
    lane: LaneId,
    rows: u64,
    pause: Duration,
}

struct Simulation {
    state: State<Counted>,
    begun: Instant,
    now: Instant,
    callers: Vec<Caller>,
    arrivals: BinaryHeap<Reverse<(Instant, usize)>>,
    asked: Vec<Instant>,
    /// How long each answer took, by caller.
    waits: Vec<Vec<Duration>>,
    /// How many runs ended between a caller's question and its answer, at most.
    runs_waited: Vec<u64>,
    runs: u64,
    runs_at: Vec<u64>,
    rows: u64,
    busy: Duration,
    most: u64,
}

impl Simulation {
    fn new(models: usize, most: u64) -> Self {
        let mut state = State::new(usize::MAX);
        for _ in 0..models {
            let options = LaneOptions {
                queue_requests: 10_000,
                longest_wait: Duration::from_millis(5),
                usual_weight: 4,
                most_weight: most,
                mark: 0,
            };
            state.open(Counted, options);
        }
        let begun = Instant::now();
        Self {
            state,
            begun,
            now: begun,
            callers: Vec::new(),
            arrivals: BinaryHeap::new(),
            asked: Vec::new(),
            waits: Vec::new(),
            runs_waited: Vec::new(),
            runs: 0,
            runs_at: Vec::new(),
            rows: 0,
            busy: Duration::ZERO,
            most,
        }
    }

    fn add(&mut self, caller: Caller) -> usize {
        let index = self.callers.len();
        self.callers.push(caller);
        // Not all in the same moment.
        let offset = Duration::from_micros(37 * index as u64);
        self.arrivals.push(Reverse((self.begun + offset, index)));
        self.asked.push(self.begun);
        self.waits.push(Vec::new());
        self.runs_waited.push(0);
        self.runs_at.push(0);
        index
    }

    /// Lets everybody ask for so long, where a run of so many rows takes `cost`.
    fn run(&mut self, length: Duration, cost: impl Fn(u64) -> Duration) {
        let end = self.begun + length;
        while self.now < end {
            self.arrive(self.now);
            match self.state.next(self.now) {
                Next::Run(batch) => {
                    let took = cost(batch.weight);
                    let over = self.now + took;
                    self.arrive(over);
                    self.now = over;
                    self.runs += 1;
                    self.rows += batch.weight;
                    self.busy += took;
                    let whole: u64 = batch.jobs.iter().map(|job| job.form.weight()).sum();
                    let nanoseconds = u64::try_from(took.as_nanos()).expect("short");
                    let finished = Finished {
                        lane: batch.lane,
                        program: batch.program,
                        used: batch
                            .jobs
                            .iter()
                            .map(|job| Used {
                                flow: job.flow,
                                took: nanoseconds * job.form.weight() / whole,
                                charged: job.cost,
                            })
                            .collect(),
                        answered: batch.jobs.len(),
                        runs: vec![(batch.weight, took)],
                        inseparable: false,
                    };
                    assert!(self.state.done(finished, self.now).is_none());
                    for job in &batch.jobs {
                        let caller = job.work;
                        self.waits[caller].push(self.now - self.asked[caller]);
                        let waited = self.runs - self.runs_at[caller];
                        // At first nobody knows what anything costs.
                        if self.now > self.begun + Duration::from_secs(1) {
                            self.runs_waited[caller] = self.runs_waited[caller].max(waited);
                        }
                        let back = self.now + self.callers[caller].pause;
                        self.arrivals.push(Reverse((back, caller)));
                    }
                }
                Next::Hold(until) => self.now = self.next_arrival().map_or(until, |next| next.min(until)),
                Next::Nothing => match self.next_arrival() {
                    Some(next) => self.now = next,
                    None => return,
                },
            }
        }
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.arrivals.peek().map(|Reverse((at, _))| *at)
    }

    fn arrive(&mut self, until: Instant) {
        while let Some(&Reverse((at, index))) = self.arrivals.peek()
            && at <= until
        {
            self.arrivals.pop();
            let caller = self.callers[index];
            let form = Form {
                key: Some(1),
                rows: caller.rows,
                width: 1,
                used: caller.rows,
                limit: self.most,
            };
            let piece = Piece {
                work: index,
                form,
                bytes: 1,
            };
            let pushed = self.state.push(caller.lane, caller.tenant, vec![piece], None, at);
            pushed.unwrap_or_else(|failure| unreachable!("the queue is long: {failure}"));
            self.asked[index] = at;
            self.runs_at[index] = self.runs;
        }
    }

    /// The share `part` of the answers of these callers that was quicker, after the first tenth of them.
    fn quantile(&self, callers: &[usize], part: f64) -> Duration {
        let mut all: Vec<Duration> = callers
            .iter()
            .flat_map(|&caller| {
                let waits = &self.waits[caller];
                waits[waits.len() / 10..].iter().copied()
            })
            .collect();
        all.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small numbers"
        )]
        let place = ((all.len() - 1) as f64 * part) as usize;
        all[place]
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn rows_per_second(&self) -> f64 {
        self.rows as f64 / (self.now - self.begun).as_secs_f64()
    }
}

/// Something between a processor and a device: some cost for each run, more for each row.
fn usual(rows: u64) -> Duration {
    Duration::from_micros(4000 + 2500 * rows)
}

fn callers(simulation: &mut Simulation, count: usize, caller: Caller) -> Vec<usize> {
    (0..count).map(|_| simulation.add(caller)).collect()
}

const CALLER: Caller = Caller {
    tenant: 1,
    lane: 0,
    rows: 1,
    pause: Duration::from_micros(300),
};

#[test]
fn callers_who_come_back_do_not_fall_into_step() {
    for count in [2, 3, 8, 20, 50] {
        let mut simulation = Simulation::new(1, 64);
        let all = callers(&mut simulation, count, CALLER);
        simulation.run(Duration::from_secs(60), usual);
        let (usually, slowly) = (simulation.quantile(&all, 0.5), simulation.quantile(&all, 0.99));
        assert!(slowly <= usually.mul_f64(1.25), "{count}: {usually:?} {slowly:?}");
    }
}

#[test]
fn caller_alone_is_never_kept_waiting() {
    let mut simulation = Simulation::new(1, 64);
    let alone = simulation.add(CALLER);
    simulation.run(Duration::from_secs(10), usual);
    assert!(simulation.waits[alone].iter().all(|&wait| wait == usual(1)));
}

#[test]
fn quiet_tenant_waits_for_few_runs_and_nothing_is_lost() {
    // Beside fifty callers of another tenant, and beside ten of each of five others.
    for (others, each) in [(1, 50), (5, 10)] {
        let mut alone = Simulation::new(1, 16);
        for other in 0..others {
            callers(
                &mut alone,
                each,
                Caller {
                    tenant: 10 + other,
                    ..CALLER
                },
            );
        }
        alone.run(Duration::from_secs(120), usual);

        let mut both = Simulation::new(1, 16);
        for other in 0..others {
            callers(
                &mut both,
                each,
                Caller {
                    tenant: 10 + other,
                    ..CALLER
                },
            );
        }
        let quiet = both.add(CALLER);
        both.run(Duration::from_secs(120), usual);
        // The run that is under way, and its own.
        assert!(both.runs_waited[quiet] <= 2, "{}", both.runs_waited[quiet]);
        assert!(both.waits[quiet].len() > 500, "{}", both.waits[quiet].len());
        assert!(both.rows_per_second() >= 0.95 * alone.rows_per_second());
    }
}

#[test]
fn time_is_shared_by_what_requests_cost() {
    // One tenant asks for 8 rows at a time, the other for 1: both want more than there is.
    let mut simulation = Simulation::new(1, 8);
    let large = callers(&mut simulation, 40, Caller { rows: 8, ..CALLER });
    let small = callers(&mut simulation, 40, Caller { tenant: 2, ..CALLER });
    simulation.run(Duration::from_secs(120), usual);
    let rows = |callers: &[usize], each: usize| -> usize {
        callers
            .iter()
            .map(|&caller| simulation.waits[caller].len() * each)
            .sum()
    };
    let (large, small) = (rows(&large, 8), rows(&small, 1));
    assert!(
        large * 10 >= small * 8 && small * 10 >= large * 8,
        "{large} {small}"
    );
}

#[test]
fn quiet_model_beside_a_busy_one_on_the_same_thread_waits_for_few_runs() {
    let mut simulation = Simulation::new(2, 16);
    callers(&mut simulation, 50, CALLER);
    let quiet = simulation.add(Caller {
        tenant: 2,
        lane: 1,
        ..CALLER
    });
    simulation.run(Duration::from_secs(60), usual);
    assert!(
        simulation.runs_waited[quiet] <= 2,
        "{}",
        simulation.runs_waited[quiet]
    );
}

#[test]
fn runs_grow_no_larger_than_is_good_for_them() {
    // Dearer by the row beyond 4 rows, as on a processor with small caches.
    let cost = |rows: u64| Duration::from_micros(1000 * rows + 200 * rows.saturating_sub(4) * rows);
    let mut simulation = Simulation::new(1, 64);
    callers(&mut simulation, 64, CALLER);
    simulation.run(Duration::from_secs(60), cost);
    assert!(
        simulation.rows_per_second() >= 950.0,
        "{}",
        simulation.rows_per_second()
    );
}
