//! The planner: what stays, what goes, what comes.

use std::collections::{BTreeMap, BTreeSet};

use berth_domain::deployment::{Device, DeviceKind, Residency};
use berth_domain::id::{VersionId, WorkerId};
use berth_serving::planner::{
    Copy, Decision, Demand, History, Lack, LoadReason, Phase, Rollout, Rules, Seat, Situation, UnloadReason,
    Version, decide, simulation,
};
use proptest::prelude::*;
use uuid::Uuid;

const START: u64 = 1_000_000_000;

fn worker(number: u128) -> WorkerId {
    WorkerId::from_uuid(Uuid::from_u128(number))
}

fn id(number: u128) -> VersionId {
    VersionId::from_uuid(Uuid::from_u128(number))
}

fn seat(number: u128, memory_bytes: u64) -> Seat {
    Seat {
        worker: worker(number),
        memory_bytes,
        draining: false,
        providers: vec![],
        devices: vec![],
        labels: BTreeMap::new(),
    }
}

fn version(number: u128, min: u32, resident_bytes: u64) -> Version {
    Version {
        version: id(number),
        resident_bytes,
        load_ms: 1_000,
        min,
        max: min.max(1),
        residency: Residency::Shared,
        needs: vec![],
        target_concurrency: None,
        demand: Demand::default(),
        rollout: Rollout::None,
        quarantined: false,
    }
}

/// Workers that do what they are told, at moments that the test chooses.
struct World {
    now_ms: u64,
    situation: Situation,
    history: History,
    rules: Rules,
}

impl World {
    fn new(seats: &[Seat], versions: &[Version]) -> Self {
        Self {
            now_ms: START,
            situation: Situation {
                seats: seats.to_vec(),
                versions: versions.to_vec(),
                ..Situation::default()
            },
            history: History::default(),
            rules: Rules::default(),
        }
    }

    /// Decides once, does it, and sees that deciding again changes nothing.
    fn plan(&mut self) -> Decision {
        let decision = self.decide();
        self.apply(&decision);
        let again = self.decide();
        assert_eq!(again.holdings, decision.holdings, "{:?}", self.situation);
        assert!(again.loads.is_empty() && again.unloads.is_empty());
        decision
    }

    fn decide(&mut self) -> Decision {
        self.history.observe(self.now_ms, &self.situation, &self.rules);
        decide(self.now_ms, &self.situation, &self.history, &self.rules)
    }

    fn apply(&mut self, decision: &Decision) {
        for unload in &decision.unloads {
            let copy = self.copy(unload.worker, unload.version);
            copy.assigned = false;
            copy.phase = Phase::Draining;
        }
        for load in &decision.loads {
            self.situation.copies.push(Copy {
                worker: load.worker,
                version: load.version,
                phase: Phase::Told,
                assigned: true,
                in_use: false,
                resident_bytes: 0,
            });
        }
    }

    fn copy(&mut self, worker: WorkerId, version: VersionId) -> &mut Copy {
        let copies = self.situation.copies.iter_mut();
        let mut found = copies.filter(|copy| copy.worker == worker && copy.version == version);
        found.next().expect("the copy is there")
    }

    /// All that loads answers, all that drains is gone.
    fn settle(&mut self) {
        self.situation.copies.retain(|copy| copy.assigned);
        for copy in &mut self.situation.copies {
            copy.phase = Phase::Ready;
        }
    }

    /// Time passes, with nobody calling.
    fn pass(&mut self, seconds: u64) {
        self.now_ms += seconds * 1000;
    }

    /// Plans until nothing changes any more.
    fn calm(&mut self) {
        self.settle();
        for _ in 0..50 {
            let decision = self.decide();
            self.apply(&decision);
            self.settle();
            if decision.loads.is_empty() && decision.unloads.is_empty() {
                return;
            }
        }
        unreachable!("it never comes to rest: {:?}", self.situation);
    }

    fn of(&mut self, number: u128) -> &mut Version {
        let versions = self.situation.versions.iter_mut();
        let mut found = versions.filter(|version| version.version == id(number));
        found.next().expect("the version is there")
    }

    fn wait_for(&mut self, number: u128, waiting: u32) {
        let now_ms = self.now_ms;
        self.of(number).demand = Demand {
            last_use_ms: Some(now_ms),
            waiting,
            ..Demand::default()
        };
    }

    fn call(&mut self, number: u128, outstanding: u32) {
        let now_ms = self.now_ms;
        self.of(number).demand = Demand {
            last_use_ms: Some(now_ms),
            outstanding,
            ..Demand::default()
        };
    }

    fn holders(&self, number: u128) -> Vec<WorkerId> {
        let copies = self.situation.copies.iter();
        let mine = copies.filter(|copy| copy.version == id(number) && copy.assigned);
        mine.map(|copy| copy.worker).collect()
    }
}

#[test]
fn copies_of_a_version_go_to_different_workers_with_most_room() {
    let mut world = World::new(&[seat(1, 50), seat(2, 90), seat(3, 100)], &[version(7, 2, 10)]);
    let decision = world.plan();
    assert_eq!(world.holders(7), [worker(3), worker(2)]);
    assert!(decision.short.is_empty());
    assert!(
        decision
            .loads
            .iter()
            .all(|load| load.reason == LoadReason::Wanted)
    );
}

#[test]
fn copy_stays_when_a_roomier_worker_joins_and_moves_when_its_own_is_gone() {
    let mut world = World::new(&[seat(1, 50)], &[version(7, 1, 10)]);
    world.calm();
    world.situation.seats.push(seat(2, 900));
    world.calm();
    assert_eq!(world.holders(7), [worker(1)]);
    world.situation.seats.remove(0);
    world.situation.copies.clear();
    world.plan();
    assert_eq!(world.holders(7), [worker(2)]);
}

#[test]
fn draining_worker_gives_up_its_copies() {
    let mut world = World::new(&[seat(1, 50)], &[version(7, 1, 10)]);
    world.calm();
    world.situation.seats[0].draining = true;
    world.situation.seats.push(seat(2, 50));
    let decision = world.plan();
    assert_eq!(decision.unloads[0].reason, UnloadReason::WorkerDrains);
    assert_eq!(world.holders(7), [worker(2)]);
}

#[test]
fn copy_that_failed_moves_to_a_worker_on_which_it_has_not() {
    let mut world = World::new(&[seat(1, 50)], &[version(7, 1, 10)]);
    world.plan();
    world.situation.seats.push(seat(2, 40));
    world.copy(worker(1), id(7)).phase = Phase::Failed;
    world.situation.failed.insert((worker(1), id(7)));
    assert_eq!(world.plan().unloads[0].reason, UnloadReason::Failed);
    assert_eq!(world.holders(7), [worker(2)]);
    // Where it has failed everywhere, it stays where it is.
    world.situation.copies.retain(|copy| copy.assigned);
    world.copy(worker(2), id(7)).phase = Phase::Failed;
    world.situation.failed.insert((worker(2), id(7)));
    assert!(world.plan().unloads.is_empty());
    assert_eq!(world.holders(7), [worker(2)]);
}

#[test]
fn quarantined_version_is_held_nowhere() {
    let mut world = World::new(&[seat(1, 50)], &[version(7, 1, 10)]);
    world.calm();
    world.of(7).quarantined = true;
    assert_eq!(world.plan().unloads[0].reason, UnloadReason::Quarantined);
    world.settle();
    assert!(world.plan().short.is_empty());
    world.of(7).quarantined = false;
    world.plan();
    assert_eq!(world.holders(7), [worker(1)]);
}

#[test]
fn version_without_a_place_is_told_with_what_it_lacks() {
    let lack = |seats: &[Seat], wanted: Version| World::new(seats, &[wanted]).plan().short[0].lack;
    assert_eq!(lack(&[], version(7, 1, 60)), Lack::NoWorker);
    assert_eq!(lack(&[seat(1, 50)], version(7, 1, 60)), Lack::TooLarge);
    let mut picky = version(7, 1, 10);
    picky.needs = vec![Device {
        kind: DeviceKind::Cuda,
        ..Device::default()
    }];
    assert_eq!(lack(&[seat(1, 50)], picky), Lack::NoSuchWorker);
    let mut world = World::new(&[seat(1, 100)], &[version(7, 1, 60), version(8, 1, 60)]);
    let decision = world.plan();
    assert_eq!(decision.short.len(), 1);
    assert_eq!(decision.short[0].lack, Lack::NoRoom);
}

#[test]
fn version_goes_where_its_device_and_labels_are() {
    let mut gpu = seat(2, 50);
    gpu.providers = vec!["cuda".to_owned(), "cpu".to_owned()];
    gpu.devices = vec![("cuda".to_owned(), 16), ("cpu".to_owned(), 64)];
    gpu.labels.insert("zone".to_owned(), "a".to_owned());
    let demand = |kind, min_memory_bytes, zone: Option<&str>| Device {
        kind,
        min_memory_bytes,
        labels: zone
            .map(|zone| ("zone".to_owned(), zone.to_owned()))
            .into_iter()
            .collect(),
    };
    let mut cases = vec![
        (demand(DeviceKind::Cuda, None, None), Some(worker(2))),
        (demand(DeviceKind::Cuda, Some(16), Some("a")), Some(worker(2))),
        (demand(DeviceKind::Cuda, Some(17), None), None),
        (demand(DeviceKind::Tensorrt, None, None), None),
        (demand(DeviceKind::Any, None, Some("b")), None),
        (demand(DeviceKind::Cpu, None, None), Some(worker(1))),
    ];
    for (needs, expected) in cases.drain(..) {
        let mut wanted = version(7, 1, 10);
        wanted.needs = vec![needs.clone()];
        let mut world = World::new(&[seat(1, 90), gpu.clone()], &[wanted]);
        world.plan();
        assert_eq!(world.holders(7).first().copied(), expected, "{needs:?}");
    }
}

#[test]
fn waiting_callers_get_room_from_what_is_worth_least() {
    // The first is called often, the second was called once, the third is waited for.
    let mut world = World::new(
        &[seat(1, 100)],
        &[version(1, 1, 50), version(2, 1, 50), version(3, 0, 50)],
    );
    world.calm();
    world.call(2, 0);
    world.plan();
    for _ in 0..60 {
        world.pass(1);
        world.call(1, 0);
        world.plan();
    }
    world.pass(5);
    world.wait_for(3, 1);
    let decision = world.plan();
    assert_eq!(decision.unloads.len(), 1);
    assert_eq!(
        (decision.unloads[0].version, decision.unloads[0].reason),
        (id(2), UnloadReason::MadeRoom)
    );
    // Nothing comes before the memory is free.
    assert!(decision.loads.is_empty());
    world.settle();
    let decision = world.plan();
    assert_eq!(
        (decision.loads[0].version, decision.loads[0].reason),
        (id(3), LoadReason::CallersWait)
    );
}

#[test]
fn what_is_dear_to_load_stays_rather_than_what_is_cheap() {
    let mut dear = version(1, 1, 50);
    dear.load_ms = 60_000;
    let mut world = World::new(&[seat(1, 100)], &[dear, version(2, 1, 50), version(3, 0, 50)]);
    world.calm();
    world.call(1, 0);
    world.call(2, 0);
    world.plan();
    world.pass(60);
    world.wait_for(3, 1);
    assert_eq!(world.plan().unloads[0].version, id(2));
}

#[test]
fn nothing_goes_that_is_in_use_loading_pinned_or_has_just_come() {
    let mut pinned = version(3, 1, 25);
    pinned.residency = Residency::Pinned;
    let versions = [
        version(1, 1, 25),
        version(2, 1, 25),
        pinned,
        version(4, 1, 25),
        version(5, 0, 25),
    ];
    let mut world = World::new(&[seat(1, 100)], &versions);
    world.calm();
    world.pass(20);
    world.copy(worker(1), id(1)).in_use = true;
    world.copy(worker(1), id(2)).phase = Phase::Loading;
    world.wait_for(5, 3);
    // Version 4 has not been there for long enough.
    assert!(world.plan().unloads.is_empty());
    world.pass(20);
    world.wait_for(5, 3);
    let decision = world.plan();
    let gone: Vec<_> = decision.unloads.iter().map(|unload| unload.version).collect();
    assert_eq!(gone, [id(4)]);
}

#[test]
fn nobody_starves_behind_what_is_worth_more() {
    let mut dear = version(1, 1, 90);
    dear.load_ms = 100_000;
    let mut world = World::new(&[seat(1, 100)], &[dear, version(2, 0, 90)]);
    world.calm();
    for _ in 0..300 {
        world.pass(1);
        world.call(1, 0);
        world.plan();
    }
    let begun = world.now_ms;
    loop {
        world.pass(1);
        world.call(1, 0);
        world.wait_for(2, 1);
        if !world.plan().unloads.is_empty() {
            break;
        }
        assert!(world.now_ms - begun <= world.rules.patience_ms);
    }
    assert!(world.now_ms - begun >= world.rules.patience_ms - 1_000);
}

#[test]
fn version_nobody_calls_is_unloaded_and_comes_back_when_it_is_called() {
    let mut idle = version(1, 1, 10);
    idle.residency = Residency::Idle { unload_after_s: 60 };
    let on_demand = version(2, 0, 10);
    let mut world = World::new(&[seat(1, 100)], &[idle, on_demand, version(3, 1, 10)]);
    world.calm();
    assert_eq!((world.holders(1).len(), world.holders(2).len()), (1, 0));
    world.wait_for(2, 1);
    world.calm();
    assert_eq!(world.holders(2).len(), 1);
    world.call(2, 0);
    world.pass(61);
    assert_eq!(world.plan().unloads[0].reason, UnloadReason::Idle);
    world.settle();
    assert_eq!((world.holders(1).len(), world.holders(2).len()), (0, 1));
    world.pass(600);
    world.plan();
    world.settle();
    assert_eq!((world.holders(2).len(), world.holders(3).len()), (0, 1));
    world.wait_for(1, 1);
    world.plan();
    assert_eq!(world.holders(1).len(), 1);
}

#[test]
fn nothing_is_unloaded_while_nobody_tells_what_is_called() {
    let mut idle = version(1, 1, 10);
    idle.residency = Residency::Idle { unload_after_s: 60 };
    let mut world = World::new(&[seat(1, 100)], &[idle]);
    world.calm();
    world.situation.blind = true;
    world.pass(3600);
    assert!(world.plan().unloads.is_empty());
}

#[test]
fn copies_follow_concurrency_up_at_once_and_down_slowly() {
    let mut wanted = version(1, 1, 10);
    wanted.max = 3;
    let seats: Vec<Seat> = (1..=4).map(|number| seat(number, 100)).collect();
    let mut world = World::new(&seats, &[wanted]);
    world.calm();
    assert_eq!(world.holders(1).len(), 1);
    world.pass(1);
    world.call(1, 40);
    world.calm();
    assert_eq!(world.holders(1).len(), 3);
    world.call(1, 0);
    world.pass(60);
    world.calm();
    assert_eq!(world.holders(1).len(), 3, "it may become busy again");
    world.pass(61);
    world.calm();
    world.pass(121);
    world.calm();
    assert_eq!(world.holders(1).len(), 1);
}

#[test]
fn long_waits_in_runners_call_for_one_more() {
    let mut wanted = version(1, 1, 10);
    wanted.max = 2;
    let mut world = World::new(&[seat(1, 100), seat(2, 100)], &[wanted]);
    world.calm();
    world.of(1).demand.queue_wait_us = world.rules.queue_wait_limit_us + 1;
    assert_eq!(world.plan().loads[0].reason, LoadReason::ScaledUp);
}

#[test]
fn old_version_stays_until_the_new_one_answers() {
    let mut old = version(1, 1, 10);
    let mut world = World::new(&[seat(1, 100)], std::slice::from_ref(&old));
    world.calm();
    old.rollout = Rollout::Leaving;
    let mut new = version(2, 0, 10);
    new.rollout = Rollout::Coming;
    world.situation.versions = vec![old, new];
    let decision = world.plan();
    assert_eq!(decision.loads[0].reason, LoadReason::NewVersion);
    assert_eq!((world.holders(1).len(), world.holders(2).len()), (1, 1));
}

#[test]
fn so_many_copies_load_at_once_and_the_rest_waits_for_its_turn() {
    let versions: Vec<Version> = (1..=10).map(|number| version(number, 1, 5)).collect();
    let mut world = World::new(&[seat(1, 100)], &versions);
    let decision = world.plan();
    assert_eq!(decision.loads.len(), 4);
    assert!(decision.short.is_empty(), "who waits for a turn lacks nothing");
    world.settle();
    world.calm();
    assert_eq!(world.situation.copies.len(), 10);
}

#[test]
fn two_versions_that_take_turns_do_not_chase_each_other_out() {
    // Each has room alone only, and both are called again and again.
    let mut world = World::new(&[seat(1, 100)], &[version(1, 0, 80), version(2, 0, 80)]);
    let mut unloads = 0;
    for second in 0..600 {
        world.pass(1);
        let called = 1 + u128::from(second % 2 == 0);
        for number in [1, 2] {
            let there = world
                .situation
                .copies
                .iter()
                .any(|copy| copy.version == id(number) && copy.is_ready());
            if !there && (called == number || world.of(number).demand.waiting > 0) {
                world.wait_for(number, 1);
            } else if called == number {
                world.call(number, 0);
            }
        }
        unloads += world.plan().unloads.len();
        world.settle();
    }
    assert!((1..=20).contains(&unloads), "{unloads} unloads in ten minutes");
}

/// Any step of any history.
#[derive(Debug, Clone)]
struct Step {
    seconds: u64,
    version: usize,
    waiting: u32,
    outstanding: u32,
    settles: bool,
    in_use: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0u64..90,
        0usize..8,
        0u32..3,
        0u32..60,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(seconds, version, waiting, outstanding, settles, in_use)| Step {
            seconds,
            version,
            waiting,
            outstanding,
            settles,
            in_use,
        });
    proptest::collection::vec(step, 1..40)
}

fn residency() -> impl Strategy<Value = Residency> {
    prop_oneof![
        3 => Just(Residency::Shared),
        1 => Just(Residency::Pinned),
        1 => (1u32..300).prop_map(|unload_after_s| Residency::Idle { unload_after_s }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn plans_are_stable_within_budget_and_spare_what_must_stay(
        memories in proptest::collection::vec(20u64..200, 1..5),
        wanted in proptest::collection::vec((0u32..3, 0u32..3, 1u64..80, 1u64..20_000, residency()), 1..9),
        steps in steps(),
    ) {
        let seats: Vec<Seat> = (1u128..).zip(memories).map(|(number, memory)| seat(number, memory)).collect();
        let versions: Vec<Version> = (100u128..)
            .zip(wanted)
            .map(|(number, (min, more, bytes, load_ms, residency))| {
                let min = if residency == Residency::Pinned { min.max(1) } else { min };
                Version { load_ms, residency, max: (min + more).max(1), ..version(number, min, bytes) }
            })
            .collect();
        let count = versions.len();
        let mut world = World::new(&seats, &versions);
        let mut ready_since: BTreeMap<(WorkerId, VersionId), u64> = BTreeMap::new();
        for step in steps {
            world.pass(step.seconds);
            if step.settles {
                world.settle();
            }
            let number = 100 + u128::try_from(step.version % count).expect("fits");
            let there = world.situation.copies.iter().any(|copy| copy.version == id(number) && copy.is_ready());
            if there {
                world.call(number, step.outstanding);
            } else {
                world.wait_for(number, step.waiting);
            }
            for copy in &mut world.situation.copies {
                copy.in_use = step.in_use && copy.version == id(number) && copy.is_ready();
            }
            let before = world.situation.copies.clone();
            for copy in &before {
                if copy.is_ready() {
                    ready_since.entry((copy.worker, copy.version)).or_insert(world.now_ms);
                } else {
                    ready_since.remove(&(copy.worker, copy.version));
                }
            }
            let decision = world.decide();
            world.apply(&decision);

            for seat in &world.situation.seats {
                let on_it = world.situation.copies.iter().filter(|copy| copy.worker == seat.worker);
                let bytes: u64 = on_it.map(|copy| {
                    let version = versions.iter().find(|version| version.version == copy.version);
                    version.map_or(0, |version| version.resident_bytes)
                }).sum();
                prop_assert!(bytes <= seat.memory_bytes, "{bytes} of {}", seat.memory_bytes);
            }
            for unload in &decision.unloads {
                let copy = before
                    .iter()
                    .find(|copy| copy.worker == unload.worker && copy.version == unload.version)
                    .expect("only what is there is unloaded");
                let version = versions.iter().find(|version| version.version == copy.version).expect("is wanted");
                prop_assert!(!copy.in_use && !copy.is_coming());
                prop_assert!(version.residency != Residency::Pinned || unload.reason == UnloadReason::ScaledDown);
                if unload.reason == UnloadReason::MadeRoom {
                    let since = ready_since[&(copy.worker, copy.version)];
                    prop_assert!(world.now_ms - since >= world.rules.min_residency_ms);
                }
            }
            // Where what goes and what comes cross, it may take a look more until all is said, and no longer.
            let mut looks = 0;
            loop {
                let again = world.decide();
                if again.loads.is_empty() && again.unloads.is_empty() {
                    break;
                }
                world.apply(&again);
                looks += 1;
                prop_assert!(looks <= 5, "it never comes to rest");
            }
            for version in &versions {
                let holders = world.holders(version.version.as_uuid().as_u128());
                let distinct: BTreeSet<_> = holders.iter().collect();
                prop_assert_eq!(distinct.len(), holders.len());
                prop_assert!(holders.len() <= version.max as usize);
            }
        }
        // Left alone, what should always be there is there, or is said to be missing.
        for version in &mut world.situation.versions {
            version.demand = Demand::default();
        }
        for copy in &mut world.situation.copies {
            copy.in_use = false;
        }
        world.calm();
        let last = world.decide();
        for version in &versions {
            let kept = world.holders(version.version.as_uuid().as_u128()).len();
            let missing: u32 = last.short.iter().filter(|short| short.version == version.version).map(|short| short.missing).sum();
            if !matches!(version.residency, Residency::Idle { .. }) {
                prop_assert!(kept + missing as usize >= version.min as usize);
            }
        }
    }
}

/// What came of a trace: by name, what is written down beside it.
fn replayed(name: &str) -> serde_json::Value {
    let path = format!("{}/tests/traces/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the trace is there");
    let calls = simulation::read(&text).expect("the trace can be read");
    let fleet = simulation::Fleet {
        workers: 1,
        memory_bytes: 8 << 30,
    };
    let outcome = simulation::replay(&calls, fleet, &Rules::default());
    assert_eq!(outcome, simulation::replay(&calls, fleet, &Rules::default()));
    assert!(outcome.peak_bytes <= fleet.memory_bytes);
    serde_json::to_value(outcome).expect("serializes")
}

#[test]
fn traces_have_the_outcome_that_is_written_down() {
    for name in ["turns", "popular"] {
        let path = format!("{}/tests/traces/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let outcome = replayed(name);
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap_or_default();
        assert_eq!(
            outcome, expected,
            "if that is better, write it into {path}:\n{outcome:#}"
        );
    }
}

#[test]
fn trace_that_is_none_is_refused_by_its_line() {
    let call = r#"{"time_ms": 5, "version": "a", "size_bytes": 1, "load_ms": 1}"#;
    let earlier = call.replace('5', "4");
    let error = |text: &str| simulation::read(text).expect_err("is refused").to_string();
    assert_eq!(error(&format!("{call}\n{{}}")), "line 2 is no call of a version");
    assert_eq!(
        error(&format!("{call}\n\n{earlier}")),
        "line 3 is earlier than the line above it"
    );
}
