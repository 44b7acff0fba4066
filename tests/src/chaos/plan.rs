//! What is broken, in which order: drawn from a seed, whatever happens meanwhile.

use std::time::Duration;

use berth_domain::random::{Random as _, SeededRandom};

use crate::installation::{Member, Server};

/// Throws that a seed decides.
#[derive(Debug, Clone)]
pub(super) struct Dice(SeededRandom);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&self, limit: usize) -> usize {
        let number = u64::from_le_bytes(self.0.bytes());
        usize::try_from(number % limit as u64).unwrap_or(0)
    }

    fn between(&self, shortest_ms: u32, longest_ms: u32) -> Duration {
        let span = usize::try_from(longest_ms - shortest_ms).unwrap_or(1);
        Duration::from_millis(u64::from(shortest_ms) + self.below(span) as u64)
    }
}

/// Something that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A process is killed (`kill -9`) and started again.
    Kill(Target),
    /// A process is asked to end (SIGTERM) and started again.
    End(Target),
    /// The runner of the served model is killed.
    KillRunner,
    /// Lines to a server are cut for a while.
    Cut(Server),
}

/// A process, or one of the APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Api,
    Tasks,
    Worker,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Kill(Target::Api),
        Self::Kill(Target::Tasks),
        Self::Kill(Target::Worker),
        Self::KillRunner,
        Self::End(Target::Api),
        Self::End(Target::Tasks),
        Self::End(Target::Worker),
        Self::Cut(Server::Postgres),
        Self::Cut(Server::Redis),
        Self::Cut(Server::RabbitMq),
    ];

    /// What it is called.
    pub(super) fn name(self) -> String {
        let target = |target| match target {
            Target::Api => "an api",
            Target::Tasks => "tasks",
            Target::Worker => "the worker",
        };
        match self {
            Self::Kill(of) => format!("kill {}", target(of)),
            Self::End(of) => format!("end {}", target(of)),
            Self::KillRunner => "kill the runner".to_owned(),
            Self::Cut(server) => format!("cut {server:?}"),
        }
    }
}

/// One breakage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breakage {
    pub(super) kind: Kind,
    /// Which API, where one is meant.
    pub(super) api: Member,
    /// Whose line is cut; without it, everybody's.
    pub(super) alone: Option<Member>,
    /// How long the process stays away, or the line is cut.
    pub(super) lasts: Duration,
    /// How long until the next one; lines may still be cut then.
    pub(super) pause: Duration,
}

/// A source of breakages without end: each kind once, then each once again, in orders that the seed decides.
#[derive(Debug)]
pub(super) struct Plan {
    dice: Dice,
    bag: Vec<Kind>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            bag: Vec::new(),
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Breakage {
        if self.bag.is_empty() {
            self.bag.extend(Kind::ALL);
        }
        let kind = self.bag.swap_remove(self.dice.below(self.bag.len()));
        let lasts = match kind {
            Kind::Cut(_) => self.dice.between(1_000, 4_000),
            Kind::Kill(_) | Kind::End(_) | Kind::KillRunner => self.dice.between(0, 1_000),
        };
        let members: Vec<Member> = Member::ALL
            .into_iter()
            .filter(|member| matches!(kind, Kind::Cut(server) if server.is_used_by(*member)))
            .collect();
        let alone = members.get(self.dice.below(2 * members.len() + 1)).copied();
        Breakage {
            kind,
            api: [Member::ApiA, Member::ApiB][self.dice.below(2)],
            alone,
            lasts,
            pause: self.dice.between(200, 2_500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<Breakage> {
        let mut plan = Plan::new(seed);
        (0..50).map(|_| plan.next()).collect()
    }

    #[test]
    fn seed_decides_what_breaks() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn each_kind_breaks_before_one_breaks_again() {
        for round in drawn(7).chunks(Kind::ALL.len()) {
            for kind in Kind::ALL {
                assert!(round.iter().any(|one| one.kind == kind), "{kind:?} in {round:?}");
            }
        }
    }

    #[test]
    fn some_lines_are_cut_alone_and_some_together() {
        let cuts: Vec<_> = (0..20)
            .flat_map(drawn)
            .filter(|one| matches!(one.kind, Kind::Cut(_)))
            .collect();
        assert!(cuts.iter().any(|one| one.alone.is_none()) && cuts.iter().any(|one| one.alone.is_some()));
    }
}
