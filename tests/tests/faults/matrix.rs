//! What a table of faults consists of, and its cells as trials.

use crate::rows::ROWS;
use io_conformance::fault::Cell as Process;
use libtest_mimic::{Completion, Trial};
use std::process::ExitCode;

/// What a fault meets.
pub(crate) const COLUMNS: [&str; 4] = ["uring", "epoll", "pool", "auto"];

/// What there is to say about a fault in a column.
#[derive(Clone, Copy)]
pub(crate) enum Cell {
    /// Tried by this.
    Here(fn()),
    /// Makes no sense there, and why.
    Senseless(&'static str),
    /// Could not be made, and why.
    NotTried(&'static str),
}

/// A fault.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// What goes wrong, and how it is made.
    pub(crate) fault: &'static str,
    /// What is expected, beyond what is expected of all: one completion each, nothing left behind, and a backend
    /// that works afterwards.
    pub(crate) expected: &'static str,
    /// In the order of [`COLUMNS`].
    pub(crate) cells: [Cell; 4],
}

/// The name of a cell.
pub(crate) fn name(row: &Row, column: usize) -> String {
    format!("{}::{}", row.name, COLUMNS[column])
}

fn cells() -> impl Iterator<Item = (String, &'static Row, Cell)> {
    let row = |row: &'static Row| {
        row.cells.iter().enumerate().map(move |(column, cell)| (name(row, column), row, *cell))
    };
    ROWS.iter().flat_map(row)
}

/// Is the cell of this name.
pub(crate) fn be(wanted: &str) -> ExitCode {
    let found = cells().find_map(|(name, row, cell)| match cell {
        Cell::Here(body) if name == wanted => Some(Process { name: row.name, body }),
        _ => None,
    });
    found.map_or(ExitCode::FAILURE, Process::be)
}

/// A trial for each cell that says anything.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, row, cell): (String, &'static Row, Cell)| match cell {
        Cell::Here(body) => {
            let inside = name.clone();
            let process = Process { name: row.name, body };
            Some(Trial::ignorable_test(name, move || process.run(&inside)))
        }
        Cell::NotTried(why) => Some(Trial::ignorable_test(name, move || {
            Ok(Completion::ignored_with(format!("not tried: {why}")))
        })),
        Cell::Senseless(_) => None,
    };
    cells().filter_map(trial).collect()
}
