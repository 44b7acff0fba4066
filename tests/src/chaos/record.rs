//! What happened: counts, the story of the storm, and faults.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Faults beyond so many are only counted.
const FAULTS: usize = 40;

/// What happened. Shared by everybody.
#[derive(Debug)]
pub(super) struct Record {
    begin: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    counts: BTreeMap<String, BTreeMap<String, u64>>,
    events: Vec<String>,
    faults: Vec<String>,
    further_faults: u64,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
            inside: Mutex::default(),
        }
    }

    /// Counts an outcome of something.
    pub(super) fn count(&self, what: &str, outcome: &str) {
        let mut inside = self.inside();
        let outcomes = inside.counts.entry(what.to_owned()).or_default();
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    /// How often something had this outcome.
    pub(super) fn counted(&self, what: &str, outcome: &str) -> u64 {
        let inside = self.inside();
        let count = inside.counts.get(what).and_then(|outcomes| outcomes.get(outcome));
        count.copied().unwrap_or(0)
    }

    /// Notes a part of the story.
    pub(super) fn event(&self, text: &str) {
        let line = format!("{} {text}", self.time());
        self.inside().events.push(line);
    }

    /// Notes a promise that was broken.
    pub(super) fn fault(&self, text: &str) {
        let line = format!("{} FAULT {text}", self.time());
        let mut inside = self.inside();
        if inside.faults.len() == FAULTS {
            inside.further_faults += 1;
        } else {
            inside.faults.push(line.clone());
            inside.events.push(line);
        }
    }

    /// The promises that were broken.
    pub(super) fn faults(&self) -> Vec<String> {
        let inside = self.inside();
        let mut faults = inside.faults.clone();
        if inside.further_faults > 0 {
            faults.push(format!("and {} more", inside.further_faults));
        }
        faults
    }

    /// Counts in one line.
    pub(super) fn summary(&self) -> String {
        let inside = self.inside();
        let mut text = format!("{} s", self.begin.elapsed().as_secs());
        for (what, outcomes) in &inside.counts {
            let outcomes: Vec<_> = outcomes
                .iter()
                .map(|(outcome, count)| format!("{outcome} {count}"))
                .collect();
            let _ = write!(text, "; {what}: {}", outcomes.join(", "));
        }
        text
    }

    /// The story of the storm.
    pub(super) fn story(&self) -> String {
        self.inside().events.join("\n")
    }

    fn time(&self) -> String {
        format!("{:8.3}", self.begin.elapsed().as_secs_f64())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
