//! What the processes wrote.

use std::collections::{BTreeMap, VecDeque};

use super::record::Record;

/// Of how many processes that have ended the last lines are kept.
const KEPT: usize = 12;

/// How many last lines of each.
const LINES: usize = 120;

/// What the processes wrote that have ended, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct Logs {
    tails: VecDeque<String>,
    errors: BTreeMap<String, u64>,
}

impl Logs {
    /// Reads what a process wrote: a panic is a fault, whoever survived it.
    pub(super) fn read(&mut self, name: &str, output: &str, record: &Record) {
        for line in output.lines() {
            if line.contains("panic: ") || line.contains("panicked at") {
                record.fault(&format!("{name} panicked: {line}"));
            } else if line.contains(" ERROR ") {
                *self
                    .errors
                    .entry(format!("{name}: {}", without_time(line)))
                    .or_default() += 1;
            }
        }
        let lines: Vec<&str> = output.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LINES)..];
        self.tails
            .push_back(format!("--- {name} wrote at last:\n{}", tail.join("\n")));
        if self.tails.len() > KEPT {
            self.tails.pop_front();
        }
    }

    /// Lines that tell of errors, without their times, and how often each came.
    pub(super) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// The last lines of those who ended last.
    pub(super) fn tails(&self) -> String {
        self.tails
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn without_time(line: &str) -> &str {
    line.split_once(" ERROR ").map_or(line, |(_, rest)| rest)
}
