//! What waits and what runs, of all models.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::bundle::Bundle;
use super::jobs::{Batch, Finished, Job, LaneId, Look, Next, Pushed};
use super::pace::Pace;
use super::shares::{FlowId, Shares};
use super::sizes::Sizes;
use super::ticket::{Running, Ticket};
use super::{LaneOptions, Piece, Program};
use crate::failure::{Code, Failure};

/// How far a run looks into a flow for pieces that fit; what it passes over begins the flow's next run.
const LOOK_AHEAD: usize = 32;

/// What work is taken to cost before any was measured, in nanoseconds.
const UNKNOWN_COST: u64 = 1_000_000;

/// After so many runs the flows of those who are gone are forgotten.
const SWEEP_AFTER: u32 = 1024;

/// Everything that the threads share.
pub(super) struct State<P: Program> {
    lanes: Vec<Option<Lane<P>>>,
    flows: Vec<Option<Flow<P>>>,
    shares: Shares,
    bytes: usize,
    most_bytes: usize,
    /// What all that waits is expected to cost, in nanoseconds.
    cost: u64,
    requests_seen: u64,
    runs_since_sweep: u32,
}

/// One model.
struct Lane<P: Program> {
    /// Not there while it runs.
    program: Option<P>,
    /// When the present run is expected to end.
    busy_until: Option<Instant>,
    options: LaneOptions,
    /// Whether requests may share a run.
    shared: bool,
    flows: HashMap<u64, FlowId>,
    pace: Pace,
    sizes: Sizes,
    /// How many requests and weights wait.
    requests: usize,
    weight: u64,
    /// Since when a thread could run and waits for more.
    held_since: Option<Instant>,
}

/// What one tenant wants of one model, first in, first out.
struct Flow<P: Program> {
    lane: LaneId,
    tenant: u64,
    jobs: VecDeque<Job<P>>,
    requests: usize,
    bytes: usize,
    cost: u64,
    in_flight: usize,
}

/// How one model stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many requests wait, and what they weigh.
    pub(crate) requests: usize,
    pub(crate) weight: u64,
    /// How long a newcomer would wait.
    pub(crate) wait: Duration,
    /// What a run weighs at most, as learned so far.
    pub(crate) limit: u64,
}

impl<P: Program> State<P> {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            lanes: Vec::new(),
            flows: Vec::new(),
            shares: Shares::default(),
            bytes: 0,
            most_bytes,
            cost: 0,
            requests_seen: 0,
            runs_since_sweep: 0,
        }
    }

    /// Adds a model.
    pub(super) fn open(&mut self, program: P, options: LaneOptions) -> LaneId {
        let lane = Lane {
            program: Some(program),
            busy_until: None,
            pace: Pace::new(options.longest_wait),
            shared: true,
            options,
            flows: HashMap::new(),
            sizes: Sizes::starting_at(options.usual_weight, options.most_weight),
            requests: 0,
            weight: 0,
            held_since: None,
        };
        if let Some(id) = self.lanes.iter().position(Option::is_none) {
            self.lanes[id] = Some(lane);
            return id;
        }
        self.lanes.push(Some(lane));
        self.lanes.len() - 1
    }

    /// Removes a model. What waits for it is refused; gives what is to be dropped and woken outside of the lock. A run
    /// that is under way goes on, and what it used is dropped after it.
    pub(super) fn close(&mut self, id: LaneId) -> (Option<P>, Vec<Waker>) {
        let Some(lane) = self.lanes.get_mut(id).and_then(Option::take) else {
            return (None, Vec::new());
        };
        let mut wakers = Vec::new();
        for (_, flow) in lane.flows {
            let Some(gone) = self.flows.get_mut(flow).and_then(Option::take) else {
                continue;
            };
            self.shares.close(flow);
            self.bytes -= gone.bytes;
            self.cost = self.cost.saturating_sub(gone.cost);
            let stopped = || Failure::new(Code::Internal, "The model has stopped.");
            wakers.extend(gone.jobs.iter().filter_map(|job| job.ticket.refuse(stopped())));
        }
        (lane.program, wakers)
    }

    /// Takes a request of one tenant. Fails when too much waits already, or when its turn would come after the deadline.
    pub(super) fn push(
        &mut self,
        id: LaneId,
        tenant: u64,
        pieces: Vec<Piece<P::Work>>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Pushed<P::Product>, Failure> {
        let wait = self.wait(id, Some(tenant), now);
        let lane = self.lanes.get_mut(id).and_then(Option::as_mut);
        let lane = lane.ok_or_else(|| Failure::new(Code::Internal, "The model has stopped."))?;
        lane.pace.arrive(now);
        if let Some(deadline) = deadline
            && lane.sizes.is_sure()
            && now + wait > deadline
        {
            return Err(Failure::new(
                Code::QueueFull,
                format!(
                    "The wait for this model is about {} ms, longer than the request may take; try again soon.",
                    wait.as_millis()
                ),
            ));
        }
        let mut displaced = Vec::new();
        self.make_room(id, tenant, &pieces, &mut displaced)?;
        let flow = self.flow(id, tenant);
        let (Some(lane), Some(entry)) = (
            self.lanes.get_mut(id).and_then(Option::as_mut),
            self.flows.get_mut(flow).and_then(Option::as_mut),
        ) else {
            return Err(Failure::new(Code::Internal, "The model has stopped."));
        };
        let ticket = Ticket::new(pieces.len());
        self.requests_seen += 1;
        let request = self.requests_seen;
        let count = pieces.len();
        for (piece, Piece { work, form, bytes }) in pieces.into_iter().enumerate() {
            let weight = form.weight();
            let cost = lane.sizes.cost(weight).unwrap_or(UNKNOWN_COST);
            let last = piece + 1 == count;
            self.bytes += bytes;
            self.cost += cost;
            entry.bytes += bytes;
            entry.cost += cost;
            entry.requests += usize::from(last);
            lane.requests += usize::from(last);
            lane.weight += weight;
            entry.jobs.push_back(Job {
                request,
                piece,
                work,
                form,
                ticket: Arc::clone(&ticket),
                flow,
                cost,
                bytes,
                last,
                queued_at: now,
            });
        }
        let look = match lane.hold(now) {
            _ if lane.program.is_none() => Look::Later,
            Some(until) => Look::At(until),
            None => Look::Now,
        };
        let crowded = lane.pace.is_crowded();
        self.shares.begin(flow);
        Ok(Pushed {
            ticket,
            request,
            flow,
            look,
            crowded,
            displaced,
        })
    }

    /// Takes a request back, as far as it still waits. What it held is dropped outside of the lock.
    pub(super) fn remove(&mut self, flow: FlowId, request: u64) -> Vec<Job<P>> {
        let Some(entry) = self.flows.get_mut(flow).and_then(Option::as_mut) else {
            return Vec::new();
        };
        let mut removed = Vec::new();
        let mut place = 0;
        while place < entry.jobs.len() {
            if entry.jobs[place].request == request {
                removed.extend(entry.jobs.remove(place));
            } else {
                place += 1;
            }
        }
        for job in &removed {
            self.forget(job);
        }
        self.pause_if_empty(flow);
        removed
    }

    /// Whether there is a next run.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.shares.ring().any(|flow| self.can(flow, now))
    }

    fn can(&self, flow: FlowId, now: Instant) -> bool {
        let lane = self.flows[flow]
            .as_ref()
            .and_then(|flow| self.lanes[flow.lane].as_ref());
        lane.is_some_and(|lane| lane.program.is_some() && lane.hold(now).is_none())
    }

    /// The next run.
    pub(super) fn next(&mut self, now: Instant) -> Next<P> {
        let (flows, lanes) = (&self.flows, &self.lanes);
        let lead = self.shares.next(|flow| {
            let lane = flows[flow].as_ref().and_then(|flow| lanes[flow.lane].as_ref());
            lane.is_some_and(|lane| lane.program.is_some() && lane.hold(now).is_none())
        });
        match lead {
            Some(lead) => self.gather(lead, now),
            None => self.holding(now),
        }
    }

    /// A run is over.
    pub(super) fn done(&mut self, batch: Finished<P>, now: Instant) -> Option<P> {
        for used in &batch.used {
            let Some(entry) = self.flows.get_mut(used.flow).and_then(Option::as_mut) else {
                continue;
            };
            // A flow that was closed meanwhile may have been opened again for another model.
            if entry.lane != batch.lane {
                continue;
            }
            entry.in_flight = entry.in_flight.saturating_sub(1);
            let correction = i64::try_from(used.took).unwrap_or(i64::MAX)
                - i64::try_from(used.charged).unwrap_or(i64::MAX);
            self.shares.charge(used.flow, correction);
        }
        self.runs_since_sweep += 1;
        if self.runs_since_sweep >= SWEEP_AFTER {
            self.sweep();
        }
        let Some(lane) = self.lanes.get_mut(batch.lane).and_then(Option::as_mut) else {
            return Some(batch.program);
        };
        lane.program = Some(batch.program);
        lane.busy_until = None;
        for (weight, took) in batch.runs {
            lane.sizes.learn(weight, took);
        }
        if batch.inseparable {
            lane.shared = false;
        }
        let run = lane.sizes.run();
        lane.pace.leave(now, batch.answered, lane.requests, run);
        None
    }

    /// How one model stands.
    pub(super) fn standing(&self, id: LaneId, now: Instant) -> Option<Standing> {
        let lane = self.lanes.get(id)?.as_ref()?;
        Some(Standing {
            requests: lane.requests,
            weight: lane.weight,
            wait: self.wait(id, None, now),
            limit: lane.sizes.usual(),
        })
    }

    /// How long a request of this tenant (of one who has nothing waiting, if none) would wait for its turn.
    fn wait(&self, id: LaneId, tenant: Option<u64>, now: Instant) -> Duration {
        let Some(lane) = self.lanes.get(id).and_then(Option::as_ref) else {
            return Duration::ZERO;
        };
        let running = lane
            .busy_until
            .map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
        let own = tenant
            .and_then(|tenant| lane.flows.get(&tenant))
            .and_then(|&flow| self.flows[flow].as_ref());
        // Every flow gets the same, so others delay it by no more than it has itself, and those before it in the ring by a
        // little.
        let flows = self.shares.waiting().max(1) as u64;
        let behind = own.map_or(0, |flow| flow.cost).saturating_mul(flows);
        running + Duration::from_nanos(behind.min(self.cost))
    }

    fn flow(&mut self, id: LaneId, tenant: u64) -> FlowId {
        let lane = self.lanes.get_mut(id).and_then(Option::as_mut);
        if let Some(&flow) = lane.as_ref().and_then(|lane| lane.flows.get(&tenant)) {
            return flow;
        }
        let flow = self.shares.open();
        if let Some(lane) = lane {
            lane.flows.insert(tenant, flow);
        }
        if self.flows.len() <= flow {
            self.flows.resize_with(flow + 1, || None);
        }
        self.flows[flow] = Some(Flow {
            lane: id,
            tenant,
            jobs: VecDeque::new(),
            requests: 0,
            bytes: 0,
            cost: 0,
            in_flight: 0,
        });
        flow
    }

    /// Makes room for a request: whoever has the most waiting gives way to those who have less.
    fn make_room(
        &mut self,
        id: LaneId,
        tenant: u64,
        pieces: &[Piece<P::Work>],
        displaced: &mut Vec<Waker>,
    ) -> Result<(), Failure> {
        let bytes: usize = pieces.iter().map(|piece| piece.bytes).sum();
        if self.bytes > 0 && bytes > self.most_bytes {
            return Err(Failure::new(
                Code::QueueFull,
                "Other requests wait, and this one is too large to wait beside them; try again soon.",
            ));
        }
        loop {
            let Some(lane) = self.lanes.get(id).and_then(Option::as_ref) else {
                return Ok(());
            };
            let own = lane
                .flows
                .get(&tenant)
                .and_then(|&flow| self.flows[flow].as_ref());
            let (requests, own_bytes) = own.map_or((0, 0), |flow| (flow.requests, flow.bytes));
            let longest = if lane.requests >= lane.options.queue_requests.max(1) {
                let candidates = lane.flows.values().copied();
                let longest = candidates.max_by_key(|&flow| self.requests_of(flow));
                longest.filter(|&flow| self.requests_of(flow) > requests + 1)
            } else if self.bytes > 0 && self.bytes.saturating_add(bytes) > self.most_bytes {
                let largest = (0..self.flows.len()).max_by_key(|&flow| self.bytes_of(flow));
                largest.filter(|&flow| self.bytes_of(flow) > own_bytes.saturating_add(bytes))
            } else {
                return Ok(());
            };
            let newest = longest.and_then(|flow| {
                let newest = self.flows[flow].as_ref()?.jobs.back()?;
                Some((flow, newest.request))
            });
            let waiting = lane.requests;
            let full = || {
                Failure::new(
                    Code::QueueFull,
                    format!("{waiting} requests wait for this model already; try again soon."),
                )
            };
            let Some((flow, request)) = newest else {
                return Err(full());
            };
            let removed = self.remove(flow, request);
            displaced.extend(removed.iter().filter_map(|job| job.ticket.refuse(full())));
        }
    }

    fn requests_of(&self, flow: FlowId) -> usize {
        self.flows[flow].as_ref().map_or(0, |flow| flow.requests)
    }

    fn bytes_of(&self, flow: FlowId) -> usize {
        self.flows[flow].as_ref().map_or(0, |flow| flow.bytes)
    }

    /// Puts a run together: the first piece of the flow whose turn it is, and what fits to it, by turns.
    fn gather(&mut self, lead: FlowId, now: Instant) -> Next<P> {
        let running = Running::new();
        let mut jobs: Vec<Job<P>> = Vec::new();
        let mut bundle: Option<Bundle> = None;
        let mut turn = Some((lead, 0));
        let Some(id) = self.flows[lead].as_ref().map(|flow| flow.lane) else {
            return Next::Nothing;
        };
        let (limit, shared, held_since, there) = match self.lanes[id].as_mut() {
            Some(lane) => (
                lane.sizes.limit(lane.weight),
                lane.shared,
                lane.held_since.take(),
                lane.requests,
            ),
            None => return Next::Nothing,
        };
        while let Some((flow, place)) = turn {
            if let Some(job) = self.take(flow, place) {
                let waited = now.saturating_duration_since(job.queued_at);
                let held = held_since.map_or(Duration::ZERO, |since| {
                    now.saturating_duration_since(since.max(job.queued_at))
                });
                if job.ticket.begin(&running, waited.saturating_sub(held), held) {
                    bundle = Some(match bundle {
                        None => Bundle::of(job.form),
                        Some(before) => before.with(&job.form, limit).unwrap_or(before),
                    });
                    self.shares
                        .charge(flow, i64::try_from(job.cost).unwrap_or(i64::MAX));
                    if let Some(entry) = self.flows[flow].as_mut() {
                        entry.in_flight += 1;
                    }
                    jobs.push(job);
                }
                self.pause_if_empty(flow);
            }
            let flows = &self.flows;
            let fitting = |flow: FlowId| {
                let entry = flows[flow].as_ref().filter(|entry| entry.lane == id)?;
                match &bundle {
                    // What was taken was not wanted any more.
                    None => Some(0),
                    Some(bundle) if shared => entry
                        .jobs
                        .iter()
                        .take(LOOK_AHEAD)
                        .position(|job| bundle.with(&job.form, limit).is_some()),
                    Some(_) => None,
                }
            };
            let next = self.shares.next(|flow| fitting(flow).is_some());
            turn = next.and_then(|flow| Some((flow, fitting(flow)?)));
        }
        let (Some(bundle), Some(lane)) = (bundle, self.lanes[id].as_mut()) else {
            return self.next(now);
        };
        running.leave();
        if held_since.is_some() {
            lane.pace.held(jobs.iter().filter(|job| job.last).count(), there);
        }
        let Some(program) = lane.program.take() else {
            return Next::Nothing;
        };
        let weight = bundle.weight();
        let cost = lane.sizes.cost(weight).unwrap_or(UNKNOWN_COST);
        lane.busy_until = Some(now + Duration::from_nanos(cost));
        let mark = lane.options.mark;
        Next::Run(Box::new(Batch {
            mark,
            lane: id,
            program,
            jobs,
            running,
            weight,
        }))
    }

    /// Until when all that could run waits for more.
    fn holding(&mut self, now: Instant) -> Next<P> {
        let mut until: Option<Instant> = None;
        for flow in self.shares.ring() {
            let Some(entry) = &self.flows[flow] else { continue };
            let Some(lane) = self.lanes[entry.lane].as_mut() else {
                continue;
            };
            if lane.program.is_some()
                && let Some(end) = lane.hold(now)
            {
                lane.held_since.get_or_insert(now);
                until = Some(until.map_or(end, |earliest| earliest.min(end)));
            }
        }
        until.map_or(Next::Nothing, Next::Hold)
    }

    fn take(&mut self, flow: FlowId, place: usize) -> Option<Job<P>> {
        let job = self.flows[flow].as_mut()?.jobs.remove(place)?;
        self.forget(&job);
        Some(job)
    }

    /// A piece waits no more.
    fn forget(&mut self, job: &Job<P>) {
        let Some(entry) = self.flows[job.flow].as_mut() else {
            return;
        };
        self.bytes -= job.bytes;
        self.cost = self.cost.saturating_sub(job.cost);
        entry.bytes -= job.bytes;
        entry.cost = entry.cost.saturating_sub(job.cost);
        entry.requests -= usize::from(job.last);
        if let Some(lane) = self.lanes[entry.lane].as_mut() {
            lane.requests -= usize::from(job.last);
            lane.weight -= job.form.weight();
        }
    }

    fn pause_if_empty(&mut self, flow: FlowId) {
        if self.flows[flow]
            .as_ref()
            .is_some_and(|entry| entry.jobs.is_empty())
        {
            self.shares.pause(flow);
        }
    }

    /// Forgets the flows of those who have not been here for a while.
    fn sweep(&mut self) {
        self.runs_since_sweep = 0;
        for flow in 0..self.flows.len() {
            let Some(entry) = &self.flows[flow] else { continue };
            if entry.jobs.is_empty() && entry.in_flight == 0 && self.shares.is_even(flow) {
                if let Some(lane) = self.lanes[entry.lane].as_mut() {
                    lane.flows.remove(&entry.tenant);
                }
                self.flows[flow] = None;
                self.shares.close(flow);
            }
        }
    }
}

impl<P: Program> Lane<P> {
    /// Until when to wait for more before the next run.
    fn hold(&self, now: Instant) -> Option<Instant> {
        if !self.shared || self.sizes.is_plenty(self.weight) {
            return None;
        }
        self.pace.hold(now, self.requests)
    }
}
