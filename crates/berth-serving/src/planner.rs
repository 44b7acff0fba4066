//! Which worker holds which version: a pure function from what is wanted and what there is to what each worker should
//! hold. Running it again on its own result changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use berth_coordination::records::Assignment;
use berth_domain::deployment::{Batching, DeviceKind};
use berth_domain::id::{OrganizationId, VersionId, WorkerId};
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;

/// A version that deployments ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Whose version it is.
    pub organization: OrganizationId,
    /// The version.
    pub version: VersionId,
    /// How its files are used.
    pub manifest: Manifest,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// How many copies there should be, each on another worker.
    pub replicas: u32,
    /// Memory that a copy takes, as measured when the version was proved.
    pub resident_bytes: u64,
    /// How a copy is set up.
    pub setup: Setup,
}

/// How a copy is set up. A copy that is set up otherwise is replaced by a fresh one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setup {
    /// How many threads compute one request, where a deployment says.
    pub threads: Option<u32>,
    /// How requests are joined to batches.
    pub batching: Batching,
    /// What it must be computed on.
    pub device: DeviceKind,
    /// Whether it has a process of its own.
    pub own_runner: bool,
}

impl Setup {
    /// How the copy of an assignment is set up.
    pub const fn of(assignment: &Assignment) -> Self {
        Self {
            threads: assignment.threads,
            batching: assignment.batching,
            device: assignment.device,
            own_runner: assignment.own_runner,
        }
    }
}

/// Workers on which copies of versions failed again and again.
pub type Failed = BTreeSet<(WorkerId, VersionId)>;

/// Workers on which copies of versions answer.
pub type Ready = BTreeSet<(WorkerId, VersionId)>;

/// A worker as the planner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The worker.
    pub worker: WorkerId,
    /// Memory that its replicas may use together.
    pub memory_bytes: u64,
    /// It takes nothing new and will leave.
    pub draining: bool,
}

/// What each worker should hold, and what has no place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Every worker that is there, with exactly what it should hold.
    pub assignments: BTreeMap<WorkerId, Vec<Assignment>>,
    /// Versions of which fewer copies are placed than wanted.
    pub short: Vec<Short>,
}

/// A version of which copies are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// The version.
    pub version: VersionId,
    /// How many copies have no place.
    pub missing: u32,
    /// Memory that each needs.
    pub resident_bytes: u64,
}

/// The plan.
///
/// A copy stays where it is as long as it is wanted and its worker stays: moving costs a load. A new copy goes to the
/// worker with the most free memory that does not hold the version yet and has room; surplus copies that are not `ready` leave
/// first, then those on the fullest workers. Larger versions are placed before smaller ones, so that small ones do not take the only fitting room.
///
/// A copy that `failed` where it is goes to another worker on which it has not, if there is one with room; else it stays,
/// since the fault may be the version's own, and moving it about would only hide that.
pub fn plan(
    seats: &[Seat],
    current: &BTreeMap<WorkerId, Vec<Assignment>>,
    wanted: &[Wanted],
    failed: &Failed,
    ready: &Ready,
) -> Plan {
    let mut rooms: BTreeMap<WorkerId, Room> =
        seats.iter().map(|seat| (seat.worker, Room::new(seat))).collect();
    let mut order: Vec<&Wanted> = wanted.iter().collect();
    order.sort_by_key(|wanted| (std::cmp::Reverse(wanted.resident_bytes), wanted.version));

    for version in &order {
        keep(&mut rooms, current, version, failed, ready);
    }
    let mut short = Vec::new();
    for version in &order {
        let missing = place(&mut rooms, current, version, failed);
        if missing > 0 {
            short.push(Short {
                version: version.version,
                missing,
                resident_bytes: version.resident_bytes,
            });
        }
    }

    let by_version: BTreeMap<VersionId, &Wanted> =
        wanted.iter().map(|wanted| (wanted.version, wanted)).collect();
    let assignments = rooms
        .into_iter()
        .map(|(worker, room)| {
            let kept = current.get(&worker).map(Vec::as_slice).unwrap_or_default();
            let held = room.versions.iter().filter_map(|version| by_version.get(version));
            (worker, held.map(|wanted| assignment(wanted, kept)).collect())
        })
        .collect();
    Plan { assignments, short }
}

/// A worker's memory while the plan is made.
struct Room {
    free_bytes: i128,
    draining: bool,
    versions: BTreeSet<VersionId>,
}

impl Room {
    fn new(seat: &Seat) -> Self {
        Self {
            free_bytes: i128::from(seat.memory_bytes),
            draining: seat.draining,
            versions: BTreeSet::new(),
        }
    }

    fn has_place(&self, wanted: &Wanted) -> bool {
        !self.draining
            && !self.versions.contains(&wanted.version)
            && self.free_bytes >= i128::from(wanted.resident_bytes)
    }

    fn take(&mut self, wanted: &Wanted) {
        self.versions.insert(wanted.version);
        self.free_bytes -= i128::from(wanted.resident_bytes);
    }
}

/// Leaves copies that have not failed where they are, up to the number that is wanted; those that answer first, then those on
/// the emptiest workers.
fn keep(
    rooms: &mut BTreeMap<WorkerId, Room>,
    current: &BTreeMap<WorkerId, Vec<Assignment>>,
    wanted: &Wanted,
    failed: &Failed,
    ready: &Ready,
) {
    let mut holders: Vec<(bool, i128, WorkerId)> = rooms
        .iter()
        .filter(|(_, room)| !room.draining)
        .filter(|(worker, _)| {
            holds(current, **worker, wanted) && !failed.contains(&(**worker, wanted.version))
        })
        .map(|(worker, room)| {
            let answers = ready.contains(&(*worker, wanted.version));
            (!answers, -room.free_bytes, *worker)
        })
        .collect();
    holders.sort_unstable();
    for (_, _, worker) in holders.into_iter().take(wanted.replicas as usize) {
        if let Some(room) = rooms.get_mut(&worker) {
            room.take(wanted);
        }
    }
}

fn holds(current: &BTreeMap<WorkerId, Vec<Assignment>>, worker: WorkerId, wanted: &Wanted) -> bool {
    current
        .get(&worker)
        .is_some_and(|held| held.iter().any(|assignment| assignment.version == wanted.version))
}

/// Finds places for the copies that are missing; tells how many found none. Best is a worker on which the version has not
/// failed, then the one that holds it already, then the one with the most room.
fn place(
    rooms: &mut BTreeMap<WorkerId, Room>,
    current: &BTreeMap<WorkerId, Vec<Assignment>>,
    wanted: &Wanted,
    failed: &Failed,
) -> u32 {
    let held = rooms
        .values()
        .filter(|room| room.versions.contains(&wanted.version))
        .count();
    let missing = wanted
        .replicas
        .saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
    for placed in 0..missing {
        let best = rooms
            .iter_mut()
            .filter(|(_, room)| room.has_place(wanted))
            .max_by_key(|(worker, room)| {
                let failed = failed.contains(&(**worker, wanted.version));
                let holds = holds(current, **worker, wanted);
                (!failed, holds, room.free_bytes, std::cmp::Reverse(**worker))
            });
        match best {
            Some((_, room)) => room.take(wanted),
            None => return missing - placed,
        }
    }
    0
}

/// What a worker is told. Its generation grows when the replica that it has cannot be changed to what is wanted now.
fn assignment(wanted: &Wanted, kept: &[Assignment]) -> Assignment {
    let before = kept
        .iter()
        .find(|assignment| assignment.version == wanted.version);
    let generation = before.map_or(0, |before| {
        before.generation + u64::from(Setup::of(before) != wanted.setup)
    });
    Assignment {
        organization: wanted.organization,
        version: wanted.version,
        manifest: wanted.manifest.clone(),
        files: wanted.files.clone(),
        threads: wanted.setup.threads,
        batching: wanted.setup.batching,
        device: wanted.setup.device,
        own_runner: wanted.setup.own_runner,
        generation,
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::manifest::{self, Task};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn wanted(number: u128, replicas: u32, resident_bytes: u64) -> Wanted {
        Wanted {
            organization: OrganizationId::from_uuid(Uuid::from_u128(1)),
            version: VersionId::from_uuid(Uuid::from_u128(number)),
            manifest: Manifest {
                task: Task::Tensors,
                graph: "model.onnx".to_owned(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                text_embedding: None,
                batching: manifest::Batching::default(),
                license: None,
                guessed: Vec::new(),
            },
            files: Vec::new(),
            replicas,
            resident_bytes,
            setup: Setup::default(),
        }
    }

    /// The plan where nothing has failed.
    fn plan(seats: &[Seat], current: &BTreeMap<WorkerId, Vec<Assignment>>, wanted: &[Wanted]) -> Plan {
        plan_failed(seats, current, wanted, &Failed::new())
    }

    /// The plan where nothing answers.
    fn plan_failed(
        seats: &[Seat],
        current: &BTreeMap<WorkerId, Vec<Assignment>>,
        wanted: &[Wanted],
        failed: &Failed,
    ) -> Plan {
        super::plan(seats, current, wanted, failed, &Ready::new())
    }

    fn seat(number: u128, memory_bytes: u64) -> Seat {
        Seat {
            worker: WorkerId::from_uuid(Uuid::from_u128(number)),
            memory_bytes,
            draining: false,
        }
    }

    fn holders(plan: &Plan, version: &Wanted) -> Vec<WorkerId> {
        let holds = |held: &Vec<Assignment>| {
            held.iter()
                .any(|assignment| assignment.version == version.version)
        };
        plan.assignments
            .iter()
            .filter(|(_, held)| holds(held))
            .map(|(worker, _)| *worker)
            .collect()
    }

    #[test]
    fn copies_of_a_version_go_to_different_workers() {
        let seats = [seat(1, 100), seat(2, 100), seat(3, 100)];
        let version = wanted(7, 2, 10);
        let plan = plan(&seats, &BTreeMap::new(), std::slice::from_ref(&version));
        assert_eq!(holders(&plan, &version).len(), 2);
        assert!(plan.short.is_empty());
    }

    #[test]
    fn new_copy_goes_where_most_memory_is_free() {
        let plan = plan(&[seat(1, 50), seat(2, 90)], &BTreeMap::new(), &[wanted(7, 1, 10)]);
        assert_eq!(holders(&plan, &wanted(7, 1, 10)), [seat(2, 90).worker]);
    }

    #[test]
    fn copy_stays_when_a_roomier_worker_joins() {
        let version = wanted(7, 1, 10);
        let first = plan(&[seat(1, 50)], &BTreeMap::new(), std::slice::from_ref(&version));
        let second = plan(
            &[seat(1, 50), seat(2, 900)],
            &first.assignments,
            std::slice::from_ref(&version),
        );
        assert_eq!(holders(&second, &version), [seat(1, 50).worker]);
    }

    #[test]
    fn copies_of_a_lost_worker_are_placed_elsewhere() {
        let version = wanted(7, 1, 10);
        let first = plan(&[seat(1, 50)], &BTreeMap::new(), std::slice::from_ref(&version));
        let second = plan(&[seat(2, 50)], &first.assignments, std::slice::from_ref(&version));
        assert_eq!(holders(&second, &version), [seat(2, 50).worker]);
    }

    #[test]
    fn draining_worker_gives_up_its_copies() {
        let version = wanted(7, 1, 10);
        let first = plan(&[seat(1, 50)], &BTreeMap::new(), std::slice::from_ref(&version));
        let leaving = Seat {
            draining: true,
            ..seat(1, 50)
        };
        let second = plan(
            &[leaving, seat(2, 50)],
            &first.assignments,
            std::slice::from_ref(&version),
        );
        assert_eq!(holders(&second, &version), [seat(2, 50).worker]);
    }

    #[test]
    fn copy_that_failed_moves_to_a_worker_on_which_it_has_not() {
        let version = wanted(7, 1, 10);
        let versions = std::slice::from_ref(&version);
        let first = plan(&[seat(1, 50)], &BTreeMap::new(), versions);
        let seats = [seat(1, 50), seat(2, 40)];
        let failed = Failed::from([(seats[0].worker, version.version)]);
        let second = plan_failed(&seats, &first.assignments, versions, &failed);
        assert_eq!(holders(&second, &version), [seats[1].worker]);

        // Where it has failed everywhere, it stays where it is.
        let failed = Failed::from(seats.map(|seat| (seat.worker, version.version)));
        let third = plan_failed(&seats, &second.assignments, versions, &failed);
        assert_eq!(third, second);
        // Where there is no room elsewhere, too.
        let failed = Failed::from([(seats[0].worker, version.version)]);
        let narrow = [seat(1, 50), seat(2, 5)];
        let stayed = plan_failed(&narrow, &first.assignments, versions, &failed);
        assert_eq!(holders(&stayed, &version), [seats[0].worker]);
    }

    #[test]
    fn surplus_copy_that_does_not_answer_leaves_before_one_that_does() {
        let version = wanted(7, 2, 10);
        let versions = std::slice::from_ref(&version);
        let seats = [seat(1, 50), seat(2, 900)];
        let both = plan(&seats, &BTreeMap::new(), versions);
        let one = wanted(7, 1, 10);
        let ready = Ready::from([(seats[0].worker, version.version)]);
        let versions = std::slice::from_ref(&one);
        let left = super::plan(&seats, &both.assignments, versions, &Failed::new(), &ready);
        assert_eq!(holders(&left, &one), [seats[0].worker]);
        let left = plan(&seats, &both.assignments, versions);
        assert_eq!(holders(&left, &one), [seats[1].worker]);
    }

    #[test]
    fn other_number_of_threads_asks_for_a_fresh_copy() {
        let mut version = wanted(7, 1, 10);
        let held = |plan: &Plan| {
            let assignment = &plan.assignments[&seat(1, 50).worker][0];
            (assignment.threads, assignment.generation)
        };
        let first = plan(&[seat(1, 50)], &BTreeMap::new(), std::slice::from_ref(&version));
        assert_eq!(held(&first), (None, 0));
        version.setup.threads = Some(4);
        let second = plan(&[seat(1, 50)], &first.assignments, std::slice::from_ref(&version));
        assert_eq!(held(&second), (Some(4), 1));
        let third = plan(
            &[seat(1, 50)],
            &second.assignments,
            std::slice::from_ref(&version),
        );
        assert_eq!(third, second);
    }

    #[test]
    fn version_without_room_is_told_rather_than_squeezed_in() {
        let version = wanted(7, 2, 60);
        let plan = plan(
            &[seat(1, 100), seat(2, 50)],
            &BTreeMap::new(),
            std::slice::from_ref(&version),
        );
        assert_eq!(
            plan.short,
            [Short {
                version: version.version,
                missing: 1,
                resident_bytes: 60
            }]
        );
    }

    proptest! {
        #[test]
        fn plans_are_stable_and_never_overfill(
            memories in proptest::collection::vec(0u64..200, 0..6),
            sizes in proptest::collection::vec((0u32..4, 0u64..80), 0..12),
            failed in proptest::collection::btree_set((1u128..6, 100u128..112), 0..20),
        ) {
            let seats: Vec<Seat> = (1..).zip(&memories).map(|(number, memory)| seat(number, *memory)).collect();
            let versions: Vec<Wanted> =
                (100..).zip(&sizes).map(|(number, (replicas, size))| wanted(number, *replicas, *size)).collect();
            let failed: Failed = failed
                .into_iter()
                .map(|(number, version)| (seat(number, 0).worker, wanted(version, 0, 0).version))
                .collect();
            let first = plan_failed(&seats, &BTreeMap::new(), &versions, &failed);
            for seat in &seats {
                let held: u64 = first.assignments[&seat.worker]
                    .iter()
                    .map(|held| versions.iter().find(|wanted| wanted.version == held.version).map_or(0, |w| w.resident_bytes))
                    .sum();
                prop_assert!(held <= seat.memory_bytes);
            }
            for version in &versions {
                let missing = first.short.iter().find(|short| short.version == version.version).map_or(0, |short| short.missing);
                prop_assert_eq!(holders(&first, version).len() + missing as usize, version.replicas as usize);
            }
            let second = plan_failed(&seats, &first.assignments, &versions, &failed);
            prop_assert_eq!(first, second);
        }
    }
}
