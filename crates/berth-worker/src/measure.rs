//! What is counted of runners. No label grows with what tenants do.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use berth_telemetry::metrics::names;

/// What a runner is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It answers requests.
    Serving,
    /// It proves an uploaded version, and ends.
    Proof,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Serving, Self::Proof];

    const fn word(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Proof => "proof",
        }
    }
}

/// How an attempt to load a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// The runner answers.
    Loaded,
    /// The runner said why it cannot hold the model.
    Refused,
    /// The runner ended without a word.
    Crashed,
    /// It took too long.
    Timeout,
    /// The node could not start a runner.
    NotStarted,
    /// The runner that it would have shared ended; it is loaded again.
    Disturbed,
}

impl Load {
    const ALL: [Self; 6] = [
        Self::Loaded,
        Self::Refused,
        Self::Crashed,
        Self::Timeout,
        Self::NotStarted,
        Self::Disturbed,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Refused => "refused",
            Self::Crashed => "crashed",
            Self::Timeout => "timeout",
            Self::NotStarted => "not_started",
            Self::Disturbed => "disturbed",
        }
    }
}

/// Why a runner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was asked to, and did.
    Stopped,
    /// It was asked to, did not in time, and was killed.
    DrainTimeout,
    /// It could not hold the model, and said why.
    Refused,
    /// It did not load the model in time, and was killed.
    LoadTimeout,
    /// A fault of its own: memory, arithmetic, an instruction, an abort.
    Crashed,
    /// Somebody killed it: most often the system, because memory ran out.
    Killed,
    /// It made a system call that the sandbox forbids.
    Sandbox,
    /// By itself, with a code.
    Exited,
    /// Whoever had asked for it did not wait any longer.
    Abandoned,
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Stopped,
        Self::DrainTimeout,
        Self::Refused,
        Self::LoadTimeout,
        Self::Crashed,
        Self::Killed,
        Self::Sandbox,
        Self::Exited,
        Self::Abandoned,
    ];

    /// Of a runner that ended by itself.
    pub(crate) fn of(status: ExitStatus) -> Self {
        match status.signal() {
            Some(9 | 15) => Self::Killed,
            Some(31) => Self::Sandbox,
            Some(_) => Self::Crashed,
            None => Self::Exited,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::DrainTimeout => "drain_timeout",
            Self::Refused => "refused",
            Self::LoadTimeout => "load_timeout",
            Self::Crashed => "crashed",
            Self::Killed => "killed",
            Self::Sandbox => "sandbox",
            Self::Exited => "exited",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Shows every count from the beginning: a rise from nothing to one is seen only by who has seen the nothing.
pub(crate) fn begin() {
    for purpose in Purpose::ALL {
        for load in Load::ALL {
            count_load(purpose, load, 0);
        }
        for exit in Exit::ALL {
            count_exit(purpose, exit, 0);
        }
    }
    resident_bytes(0);
}

/// A model was loaded, or not.
pub(crate) fn loaded(purpose: Purpose, load: Load) {
    count_load(purpose, load, 1);
}

/// What all runners of this node take now.
pub(crate) fn resident_bytes(bytes: u64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating point, exact up to 9 PB"
    )]
    metrics::gauge!(names::MODEL_RESIDENT_BYTES).set(bytes as f64);
}

fn count_load(purpose: Purpose, load: Load, number: u64) {
    metrics::counter!(names::MODEL_LOADS_TOTAL, "purpose" => purpose.word(), "outcome" => load.word())
        .increment(number);
}

fn count_exit(purpose: Purpose, exit: Exit, number: u64) {
    metrics::counter!(names::RUNNER_EXITS_TOTAL, "purpose" => purpose.word(), "reason" => exit.word())
        .increment(number);
}

/// A runner that lives. Its end is counted once: as it is told, or as abandoned when this is dropped before.
#[derive(Debug)]
pub(crate) struct Lives {
    purpose: Purpose,
    ended: bool,
}

impl Lives {
    /// A runner was started.
    pub(crate) const fn begin(purpose: Purpose) -> Self {
        Self {
            purpose,
            ended: false,
        }
    }

    /// It has ended. Being told again changes nothing.
    pub(crate) fn end(&mut self, exit: Exit) {
        if !self.ended {
            self.ended = true;
            count_exit(self.purpose, exit, 1);
        }
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        self.end(Exit::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_told_apart() {
        for (raw, exit) in [
            (11, Exit::Crashed),
            (6, Exit::Crashed),
            (9, Exit::Killed),
            (15, Exit::Killed),
            (31, Exit::Sandbox),
            (3 << 8, Exit::Exited),
            (0, Exit::Exited),
        ] {
            assert_eq!(Exit::of(ExitStatus::from_raw(raw)), exit, "{raw}");
        }
    }

    #[test]
    fn words_are_words_of_their_own() {
        let mut words: Vec<_> = Exit::ALL.map(Exit::word).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Exit::ALL.len());
    }
}
