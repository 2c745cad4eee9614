//! The rows on standard output: a table, or one JSON object a line.

use crate::measure::Figures;
use crate::options::Options;
use std::io::{self, Write};

/// Where the rows go.
pub(crate) struct Report {
    json: bool,
    connections: usize,
    bytes: usize,
    header_due: bool,
    error: Option<io::Error>,
}

impl Report {
    /// A report as JSON lines, or as a table.
    pub(crate) fn new(options: &Options) -> Report {
        let Options { json, connections, bytes, .. } = *options;
        Report { json, connections, bytes, header_due: !json, error: None }
    }

    /// Prints one row.
    pub(crate) fn row(&mut self, name: &str, figures: Figures) {
        let mut text = String::new();
        if core::mem::take(&mut self.header_due) {
            text = format!(
                "{} connections, messages of {} bytes\n{:9} {:>11} {:>8} {:>9} {:>6} {:>9} {:>11}\n",
                self.connections,
                self.bytes,
                "backend",
                "round trips",
                "ns/rt",
                "cpu ns/rt",
                "ratio",
                "allocs/rt",
                "syscalls/rt",
            );
        }
        text += &if self.json { self.json(name, figures) } else { line(name, figures) };
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.error.get_or_insert(error);
        }
    }

    fn json(&self, name: &str, figures: Figures) -> String {
        format!(
            "{{\"backend\":\"{name}\",\"connections\":{},\"bytes\":{},\"round_trips\":{},\
             \"ns_per_rt\":{:.1},\"cpu_ns_per_rt\":{:.1},\"ratio\":{},\"allocs_per_rt\":{},\
             \"syscalls_per_rt\":{:.4}}}\n",
            self.connections,
            self.bytes,
            figures.round_trips,
            figures.ns,
            figures.cpu_ns,
            ratio(figures.ratio, "null"),
            // All the digits: a single allocation in a million round trips shows.
            figures.allocs,
            figures.syscalls,
        )
    }

    /// The end.
    ///
    /// # Errors
    /// The first error of writing.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }
}

/// JSON has no NaN.
fn ratio(value: Option<f64>, none: &str) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.3}"),
        _ => none.to_owned(),
    }
}

fn line(name: &str, figures: Figures) -> String {
    let allocs =
        if figures.allocs == 0.0 { "0".to_owned() } else { format!("{:.2e}", figures.allocs) };
    format!(
        "{name:9} {:>11} {:>8.0} {:>9.0} {:>6} {allocs:>9} {:>11.3}\n",
        figures.round_trips,
        figures.ns,
        figures.cpu_ns,
        ratio(figures.ratio, "-"),
        figures.syscalls,
    )
}
