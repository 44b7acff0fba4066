//! Rows of a benchmark: a table for people, one JSON object a row for programs.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::statistics::Estimate;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    const fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }

    const fn sign(self) -> char {
        match self {
            Self::AtMost(_) => '≤',
            Self::AtLeast(_) => '≥',
        }
    }
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    bench: &'static str,
    case: String,
    metric: &'static str,
    value: f64,
    low: f64,
    high: f64,
    unit: &'static str,
    /// What the figure should be at most or at least.
    aim: Option<f64>,
    #[serde(skip)]
    sign: char,
    /// Whether the figure reaches the aim.
    met: Option<bool>,
}

impl Row {
    /// A figure with its unit and, where there is one, what it should be.
    pub(crate) fn new(
        bench: &'static str,
        case: impl Into<String>,
        metric: &'static str,
        estimate: Estimate,
        unit: &'static str,
        aim: Option<Aim>,
    ) -> Self {
        let met = aim.map(|aim| aim.is_met_by(estimate.value));
        let Estimate { value, low, high } = estimate;
        Self {
            bench,
            case: case.into(),
            metric,
            value,
            low,
            high,
            unit,
            aim: aim.map(Aim::value),
            sign: aim.map_or(' ', Aim::sign),
            met,
        }
    }
}

/// Prints the table and, where a file is named, writes the rows as JSON lines.
pub(crate) fn write(rows: &[Row], json: Option<&Path>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| case | metric | value | 95 % interval | unit | aim |\n|---|---|---:|---|---|---|"
    )?;
    for row in rows {
        let aim = match (row.aim, row.met) {
            (Some(aim), Some(met)) => format!("{} {aim} {}", row.sign, if met { "met" } else { "missed" }),
            _ => String::new(),
        };
        let Row {
            case,
            metric,
            value,
            low,
            high,
            unit,
            ..
        } = row;
        writeln!(
            out,
            "| {case} | {metric} | {value:.3} | {low:.3} – {high:.3} | {unit} | {aim} |"
        )?;
    }
    if let Some(path) = json {
        let lines = rows
            .iter()
            .map(serde_json::to_string)
            .collect::<Result<Vec<_>, _>>()?;
        std::fs::write(path, lines.join("\n") + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
