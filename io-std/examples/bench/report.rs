//! The rows on standard output: a table, or one JSON object a line.

use crate::measure::Figures;
use crate::rows::{Named, Row};
use std::io::{self, Write};

/// Where the rows go.
pub(crate) struct Report {
    json: bool,
    header_due: bool,
    error: Option<io::Error>,
}

impl Report {
    /// A report as JSON lines, or as a table.
    pub(crate) fn new(json: bool) -> Report {
        Report { json, header_due: !json, error: None }
    }

    /// Prints one row at once.
    pub(crate) fn row(&mut self, row: Row, figures: Figures) {
        let mut text = String::new();
        if core::mem::take(&mut self.header_due) {
            text = format!(
                "{:17} {:9} {:8} {:>5} {:>9} {:>10} {:>7} {:>9} {:>11}\n",
                "workload",
                "backend",
                "form",
                "depth",
                "ns/op",
                "cpu ns/op",
                "ratio",
                "allocs/op",
                "syscalls/op",
            );
        }
        text += &if self.json { json(row, figures) } else { line(row, figures) };
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.error.get_or_insert(error);
        }
    }

    /// The end.
    ///
    /// # Errors
    /// The first error of writing.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }
}

/// `null` where there is no figure; JSON has no NaN either.
fn number(value: Option<f64>, digits: usize, none: &str) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.digits$}"),
        _ => none.to_owned(),
    }
}

fn json(row: Row, figures: Figures) -> String {
    format!(
        "{{\"workload\":\"{}\",\"backend\":\"{}\",\"form\":\"{}\",\"depth\":{},\"ns_per_op\":{},\
         \"cpu_ns_per_op\":{},\"ratio\":{},\"allocs_per_op\":{},\"syscalls_per_op\":{}}}\n",
        row.workload.name(),
        row.backend.name(),
        row.form.name(),
        row.depth,
        number(Some(figures.ns), 1, "null"),
        number(Some(figures.cpu_ns), 1, "null"),
        number(figures.ratio, 3, "null"),
        // All the digits: a single allocation in a million operations shows.
        figures.allocs,
        number(figures.syscalls, 4, "null"),
    )
}

fn line(row: Row, figures: Figures) -> String {
    let allocs =
        if figures.allocs == 0.0 { "0".to_owned() } else { format!("{:.2e}", figures.allocs) };
    format!(
        "{:17} {:9} {:8} {:>5} {:>9} {:>10} {:>7} {:>9} {:>11}\n",
        row.workload.name(),
        row.backend.name(),
        row.form.name(),
        row.depth,
        number(Some(figures.ns), 1, "-"),
        number(Some(figures.cpu_ns), 1, "-"),
        number(figures.ratio, 3, "-"),
        allocs,
        number(figures.syscalls, 4, "-"),
    )
}
