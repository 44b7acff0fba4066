//! What commands answer. All writing to the standard output stream goes through here; notes go to the standard error
//! stream.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document, which is the server's own where it answered with one.
    Json,
}

/// Writes one line of the answer.
///
/// Fails when the stream is closed; a reader that has gone away (`| head`) is no failure worth words.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes text of the answer as it is.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Tells the person at the terminal something that is not part of the answer. When nobody listens any more, nothing is
/// lost.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person sits in front of the standard input and error streams.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Writes an answer in the wanted form.
pub(crate) fn show(format: Format, json: &Value, table: impl FnOnce() -> Table) -> io::Result<()> {
    match format {
        Format::Json => line(format_args!("{json:#}")),
        Format::Table => text(&table().to_string()),
    }
}

/// Writes an answer of which people want words and no table.
pub(crate) fn tell(format: Format, json: &Value, words: impl Display) -> io::Result<()> {
    match format {
        Format::Json => line(format_args!("{json:#}")),
        Format::Table => line(words),
    }
}

/// Rows under headings, for people.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// With one more row.
    pub(crate) fn row(mut self, cells: &[&dyn Display]) -> Self {
        self.push(cells);
        self
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, cells: &[&dyn Display]) {
        // Names come from servers: a control character in one must not reach the terminal.
        let plain = |cell: &&dyn Display| cell.to_string().chars().filter(|c| !c.is_control()).collect();
        self.rows.push(cells.iter().map(plain).collect());
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(self.headings[column].chars().count())
        };
        let widths: Vec<_> = (0..self.headings.len()).map(width).collect();
        let mut write_row = |cells: &mut dyn Iterator<Item = String>| {
            let padded: Vec<_> = cells
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            writeln!(out, "{}", padded.join("  ").trim_end())
        };
        write_row(&mut self.headings.iter().map(|heading| heading.to_uppercase()))?;
        self.rows
            .iter()
            .try_for_each(|row| write_row(&mut row.iter().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = Table::new(&["name", "state"])
            .row(&[&"größer", &"ready"])
            .row(&[&"x", &"failed"]);
        assert_eq!(
            table.to_string(),
            "NAME    STATE\ngrößer  ready\nx       failed\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let table = Table::new(&["name"]).row(&[&"a\u{1b}[2Jb"]);
        assert_eq!(table.to_string(), "NAME\na[2Jb\n");
    }
}
