//! Replays what was called when through the same planner, on workers that are only imagined.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use berth_domain::deployment::Residency;
use berth_domain::id::{VersionId, WorkerId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Copy, Decision, Demand, History, Phase, Rollout, Rules, Seat, Situation, UnloadReason, Version, decide,
};

/// A line of a trace: a version is called. What is said of a version holds from then on; before it is said, its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// When, in milliseconds; never before the line above.
    pub time_ms: u64,
    /// What is called, by any name.
    pub version: String,
    /// How many requests come.
    #[serde(default = "one")]
    pub requests: u32,
    /// Memory that a copy takes.
    pub size_bytes: u64,
    /// How long it takes to load.
    pub load_ms: u64,
    /// How long a request keeps a copy busy.
    #[serde(default = "ten")]
    pub run_ms: u64,
    /// So many copies are kept.
    #[serde(default)]
    pub min: u32,
    /// So many copies may be.
    #[serde(default = "one")]
    pub max: u32,
    /// For how long copies stay loaded.
    #[serde(default)]
    pub residency: Residency,
}

const fn one() -> u32 {
    1
}

const fn ten() -> u64 {
    10
}

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is no call.
    #[error("line {line} is no call of a version")]
    Malformed {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Lines are not in order of time.
    #[error("line {line} is earlier than the line above it")]
    OutOfOrder {
        /// Which line, from 1.
        line: usize,
    },
}

/// Reads a trace: one JSON object a line; empty lines are passed over. Fails by the first line that does not fit.
pub fn read(text: &str) -> Result<Vec<Call>, Error> {
    let mut calls: Vec<Call> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line_number = index + 1;
        let call: Call = serde_json::from_str(line).map_err(|source| Error::Malformed {
            line: line_number,
            source,
        })?;
        if calls.last().is_some_and(|last| last.time_ms > call.time_ms) {
            return Err(Error::OutOfOrder { line: line_number });
        }
        calls.push(call);
    }
    Ok(calls)
}

/// The imagined workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// How many.
    pub workers: u32,
    /// Memory that each may use.
    pub memory_bytes: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that found no copy and were never answered.
    pub unanswered: u64,
    /// Copies that were loaded.
    pub loads: u64,
    /// Copies that were unloaded, by reason.
    pub unloads: BTreeMap<&'static str, u64>,
    /// Copies that were unloaded to make room.
    pub evictions: u64,
    /// Loads of what had been unloaded to make room less than a minute before.
    pub thrashed: u64,
    /// Their share of all loads.
    pub thrash_ratio: f64,
    /// Half of the requests waited no longer for a copy.
    pub wait_p50_ms: u64,
    /// 99 of 100 requests waited no longer for a copy.
    pub wait_p99_ms: u64,
    /// The longest wait for a copy.
    pub wait_max_ms: u64,
    /// The most memory that was taken on one worker.
    pub peak_bytes: u64,
}

/// How often the planner looks without an event.
const TICK_MS: u64 = 1_000;

/// How long a copy that is unloaded still takes memory.
const DRAIN_MS: u64 = 500;

/// A load so soon after the same was unloaded to make room is thrash.
const THRASH_MS: u64 = 60_000;

/// How long after the last call it goes on: copies that are waited for have to come.
const PATIENCE_MS: u64 = 600_000;

/// Replays `calls`. The same calls have the same outcome.
pub fn replay(calls: &[Call], fleet: Fleet, rules: &Rules) -> Outcome {
    let mut world = World::new(fleet);
    let mut coming: VecDeque<&Call> = calls.iter().collect();
    let mut now_ms = calls.first().map_or(0, |call| call.time_ms);
    let end_ms = calls.last().map_or(0, |call| call.time_ms);
    loop {
        world.pass(now_ms);
        while coming.front().is_some_and(|call| call.time_ms <= now_ms) {
            if let Some(call) = coming.pop_front() {
                world.call(now_ms, call);
            }
        }
        world.plan(now_ms, rules);
        let over = coming.is_empty() && !world.waits();
        if over || now_ms > end_ms.saturating_add(PATIENCE_MS) {
            break;
        }
        let next_call = coming.front().map(|call| call.time_ms);
        let next = next_call.into_iter().chain(world.next_change(now_ms));
        let tick = now_ms + TICK_MS;
        now_ms = next.fold(tick, u64::min).max(now_ms + 1);
    }
    world.outcome()
}

struct World {
    seats: Vec<Seat>,
    models: BTreeMap<VersionId, Model>,
    by_name: BTreeMap<String, VersionId>,
    copies: BTreeMap<(WorkerId, VersionId), Held>,
    evicted_at: BTreeMap<VersionId, u64>,
    history: History,
    outcome: Outcome,
    waits: Vec<u64>,
}

struct Model {
    call: Call,
    last_use_ms: Option<u64>,
    /// When the requests came that found no copy.
    queue: Vec<u64>,
}

/// A copy on an imagined worker.
enum Held {
    Loading { until_ms: u64 },
    Ready { busy_until_ms: u64 },
    Draining { until_ms: u64 },
}

impl World {
    fn new(fleet: Fleet) -> Self {
        let seat = |number: u32| Seat {
            worker: WorkerId::from_uuid(Uuid::from_u128(u128::from(number))),
            memory_bytes: fleet.memory_bytes,
            draining: false,
            providers: Vec::new(),
            devices: Vec::new(),
            labels: BTreeMap::new(),
        };
        Self {
            seats: (1..=fleet.workers).map(seat).collect(),
            models: BTreeMap::new(),
            by_name: BTreeMap::new(),
            copies: BTreeMap::new(),
            evicted_at: BTreeMap::new(),
            history: History::default(),
            outcome: Outcome::default(),
            waits: Vec::new(),
        }
    }

    /// What has come to its end by now.
    fn pass(&mut self, now_ms: u64) {
        self.copies
            .retain(|_, held| !matches!(held, Held::Draining { until_ms } if *until_ms <= now_ms));
        for ((_, version), held) in &mut self.copies {
            let Held::Loading { until_ms } = *held else {
                continue;
            };
            if until_ms > now_ms {
                continue;
            }
            let model = self.models.get_mut(version);
            let served = model.map_or(0, |model| {
                let queue = std::mem::take(&mut model.queue);
                let served = u64::try_from(queue.len()).unwrap_or(u64::MAX);
                self.waits
                    .extend(queue.into_iter().map(|came| until_ms.saturating_sub(came)));
                model.last_use_ms = Some(until_ms).filter(|_| served > 0).or(model.last_use_ms);
                served * model.call.run_ms
            });
            *held = Held::Ready {
                busy_until_ms: until_ms + served,
            };
        }
    }

    fn call(&mut self, now_ms: u64, call: &Call) {
        let next = Uuid::from_u128(u128::try_from(self.by_name.len()).unwrap_or(0) + 1);
        let version = *self
            .by_name
            .entry(call.version.clone())
            .or_insert_with(|| VersionId::from_uuid(next));
        let model = self.models.entry(version).or_insert_with(|| Model {
            call: call.clone(),
            last_use_ms: None,
            queue: Vec::new(),
        });
        model.call = call.clone();
        model.last_use_ms = Some(now_ms);
        let least_busy = self
            .copies
            .iter_mut()
            .filter_map(|((_, held), copy)| match copy {
                Held::Ready { busy_until_ms } if *held == version => Some(busy_until_ms),
                _ => None,
            })
            .min_by_key(|busy| **busy);
        let requests = usize::try_from(call.requests).unwrap_or(usize::MAX);
        match least_busy {
            Some(busy) => {
                *busy = (*busy).max(now_ms) + u64::from(call.requests) * call.run_ms;
                self.waits.extend(std::iter::repeat_n(0, requests));
            }
            None => model.queue.extend(std::iter::repeat_n(now_ms, requests)),
        }
    }

    fn plan(&mut self, now_ms: u64, rules: &Rules) {
        let situation = self.situation(now_ms);
        self.history.observe(now_ms, &situation, rules);
        let decision = decide(now_ms, &situation, &self.history, rules);
        self.apply(now_ms, &decision);
    }

    fn apply(&mut self, now_ms: u64, decision: &Decision) {
        for unload in &decision.unloads {
            let until_ms = now_ms + DRAIN_MS;
            self.copies
                .insert((unload.worker, unload.version), Held::Draining { until_ms });
            *self.outcome.unloads.entry(unload.reason.as_str()).or_default() += 1;
            if unload.reason == UnloadReason::MadeRoom {
                self.outcome.evictions += 1;
                self.evicted_at.insert(unload.version, now_ms);
            }
        }
        for load in &decision.loads {
            let load_ms = self
                .models
                .get(&load.version)
                .map_or(0, |model| model.call.load_ms);
            let until_ms = now_ms + load_ms.max(1);
            self.copies
                .insert((load.worker, load.version), Held::Loading { until_ms });
            self.outcome.loads += 1;
            let evicted = self.evicted_at.get(&load.version);
            if evicted.is_some_and(|at| now_ms - at < THRASH_MS) {
                self.outcome.thrashed += 1;
            }
        }
        let mut taken: BTreeMap<WorkerId, u64> = BTreeMap::new();
        for (worker, version) in self.copies.keys() {
            let bytes = self.models.get(version).map_or(0, |model| model.call.size_bytes);
            *taken.entry(*worker).or_default() += bytes;
        }
        let peak = taken.into_values().max().unwrap_or(0);
        self.outcome.peak_bytes = self.outcome.peak_bytes.max(peak);
    }

    fn situation(&self, now_ms: u64) -> Situation {
        let copy = |(&(worker, version), held): (&(WorkerId, VersionId), &Held)| Copy {
            worker,
            version,
            phase: match held {
                Held::Loading { .. } => Phase::Loading,
                Held::Ready { .. } => Phase::Ready,
                Held::Draining { .. } => Phase::Draining,
            },
            assigned: !matches!(held, Held::Draining { .. }),
            in_use: matches!(held, Held::Ready { busy_until_ms } if *busy_until_ms > now_ms),
            resident_bytes: 0,
        };
        let version = |(&version, model): (&VersionId, &Model)| Version {
            version,
            resident_bytes: model.call.size_bytes,
            load_ms: model.call.load_ms,
            min: model.call.min,
            max: model.call.max.max(model.call.min).max(1),
            residency: model.call.residency,
            needs: Vec::new(),
            target_concurrency: None,
            demand: Demand {
                last_use_ms: model.last_use_ms,
                outstanding: self.outstanding(now_ms, version, model),
                waiting: u32::try_from(model.queue.len()).unwrap_or(u32::MAX),
                queue_wait_us: 0,
            },
            rollout: Rollout::None,
            quarantined: false,
        };
        Situation {
            seats: self.seats.clone(),
            versions: self.models.iter().map(version).collect(),
            copies: self.copies.iter().map(copy).collect(),
            failed: BTreeSet::new(),
            blind: false,
        }
    }

    /// Requests that copies have taken and not answered.
    fn outstanding(&self, now_ms: u64, version: VersionId, model: &Model) -> u32 {
        let busy_ms: u64 = self
            .copies
            .iter()
            .filter_map(|((_, held), copy)| match copy {
                Held::Ready { busy_until_ms } if *held == version => {
                    Some(busy_until_ms.saturating_sub(now_ms))
                }
                _ => None,
            })
            .sum();
        u32::try_from(busy_ms.div_ceil(model.call.run_ms.max(1))).unwrap_or(u32::MAX)
    }

    fn waits(&self) -> bool {
        self.models.values().any(|model| !model.queue.is_empty())
    }

    fn next_change(&self, now_ms: u64) -> Option<u64> {
        let ends = self.copies.values().map(|held| match held {
            Held::Loading { until_ms } | Held::Draining { until_ms } => *until_ms,
            Held::Ready { busy_until_ms } => *busy_until_ms,
        });
        ends.filter(|at| *at > now_ms).min()
    }

    fn outcome(mut self) -> Outcome {
        let unanswered: usize = self.models.values().map(|model| model.queue.len()).sum();
        self.waits.sort_unstable();
        let at = |percent: usize| {
            let place = (self.waits.len() * percent).div_ceil(100).saturating_sub(1);
            self.waits.get(place).copied().unwrap_or(0)
        };
        let outcome = self.outcome;
        Outcome {
            requests: u64::try_from(self.waits.len()).unwrap_or(u64::MAX),
            unanswered: u64::try_from(unanswered).unwrap_or(u64::MAX),
            wait_p50_ms: at(50),
            wait_p99_ms: at(99),
            wait_max_ms: self.waits.last().copied().unwrap_or(0),
            thrash_ratio: ratio(outcome.thrashed, outcome.loads),
            ..outcome
        }
    }
}

/// A share in thousandths, as a number.
fn ratio(part: u64, whole: u64) -> f64 {
    let thousandths = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1000.0
}
