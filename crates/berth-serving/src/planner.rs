//! Which worker holds which version: a pure function from what is wanted and what there is to what each worker should
//! hold. Running it again on its own result changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use berth_coordination::records::Assignment;
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
}

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
/// worker with the most free memory that does not hold the version yet and has room; surplus copies leave the fullest
/// workers first. Larger versions are placed before smaller ones, so that small ones do not take the only fitting room.
pub fn plan(seats: &[Seat], current: &BTreeMap<WorkerId, Vec<Assignment>>, wanted: &[Wanted]) -> Plan {
    let mut rooms: BTreeMap<WorkerId, Room> =
        seats.iter().map(|seat| (seat.worker, Room::new(seat))).collect();
    let mut order: Vec<&Wanted> = wanted.iter().collect();
    order.sort_by_key(|wanted| (std::cmp::Reverse(wanted.resident_bytes), wanted.version));

    for version in &order {
        keep(&mut rooms, current, version);
    }
    let mut short = Vec::new();
    for version in &order {
        let missing = place(&mut rooms, version);
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

    fn take(&mut self, wanted: &Wanted) {
        self.versions.insert(wanted.version);
        self.free_bytes -= i128::from(wanted.resident_bytes);
    }
}

/// Leaves copies where they are, up to the number that is wanted; on the emptiest workers first.
fn keep(
    rooms: &mut BTreeMap<WorkerId, Room>,
    current: &BTreeMap<WorkerId, Vec<Assignment>>,
    wanted: &Wanted,
) {
    let mut holders: Vec<(i128, WorkerId)> = rooms
        .iter()
        .filter(|(_, room)| !room.draining)
        .filter(|(worker, _)| {
            current
                .get(worker)
                .is_some_and(|held| held.iter().any(|assignment| assignment.version == wanted.version))
        })
        .map(|(worker, room)| (-room.free_bytes, *worker))
        .collect();
    holders.sort_unstable();
    for (_, worker) in holders.into_iter().take(wanted.replicas as usize) {
        if let Some(room) = rooms.get_mut(&worker) {
            room.take(wanted);
        }
    }
}

/// Finds places for the copies that are missing; tells how many found none.
fn place(rooms: &mut BTreeMap<WorkerId, Room>, wanted: &Wanted) -> u32 {
    let held = rooms
        .values()
        .filter(|room| room.versions.contains(&wanted.version))
        .count();
    let missing = wanted
        .replicas
        .saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
    for placed in 0..missing {
        let roomiest = rooms
            .iter_mut()
            .filter(|(_, room)| !room.draining && !room.versions.contains(&wanted.version))
            .filter(|(_, room)| room.free_bytes >= i128::from(wanted.resident_bytes))
            .max_by_key(|(worker, room)| (room.free_bytes, std::cmp::Reverse(**worker)));
        match roomiest {
            Some((_, room)) => room.take(wanted),
            None => return missing - placed,
        }
    }
    0
}

fn assignment(wanted: &Wanted, kept: &[Assignment]) -> Assignment {
    let before = kept
        .iter()
        .find(|assignment| assignment.version == wanted.version);
    Assignment {
        organization: wanted.organization,
        version: wanted.version,
        manifest: wanted.manifest.clone(),
        files: wanted.files.clone(),
        generation: before.map_or(0, |assignment| assignment.generation),
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::manifest::{Batching, Task};
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
                batching: Batching::default(),
                license: None,
                guessed: Vec::new(),
            },
            files: Vec::new(),
            replicas,
            resident_bytes,
        }
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
        ) {
            let seats: Vec<Seat> = (1..).zip(&memories).map(|(number, memory)| seat(number, *memory)).collect();
            let versions: Vec<Wanted> =
                (100..).zip(&sizes).map(|(number, (replicas, size))| wanted(number, *replicas, *size)).collect();
            let first = plan(&seats, &BTreeMap::new(), &versions);
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
            let second = plan(&seats, &first.assignments, &versions);
            prop_assert_eq!(first, second);
        }
    }
}
