//! `FAULTS.md`: the table for readers.

use crate::matrix::{COLUMNS, Cell, name};
use crate::rows::ROWS;
use core::fmt::Write as _;
use libtest_mimic::Failed;
use std::path::PathBuf;

/// Set to write the file instead of comparing it.
const WRITE: &str = "IO_FAULTS_WRITE";

const HEAD: &str = "\
# Faults

What goes wrong in the real world, and what each backend makes of it. Written from the table in
`tests/faults/rows.rs`, of which each cell is a test: `cargo test -p io-conformance --test faults`.

Expected of every cell: each operation completes once, with the right result; no descriptor, thread, mapping or
memory is left behind, also when it is repeated; and the backend works afterwards.

A dash makes no sense, and the list below says why. A cell that cannot be made on a machine is ignored there, with the
reason, and counted; with `IO_FAULTS_REQUIRED=1`, as in `.ci/long`, it is a failure.

";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("FAULTS.md")
}

fn entry(cell: Cell) -> String {
    match cell {
        Cell::Here(_) => "tried".to_owned(),
        Cell::Senseless(_) => "–".to_owned(),
        Cell::NotTried(_) => "not tried".to_owned(),
    }
}

fn render() -> String {
    let mut out = HEAD.to_owned();
    // Writing to a `String` does not fail, here and elsewhere.
    let _ = writeln!(out, "| | fault | expected | {} |", COLUMNS.join(" | "));
    let _ = writeln!(out, "|---|---|---|{}", "---|".repeat(COLUMNS.len()));
    for row in ROWS {
        let cells = row.cells.map(entry).join(" | ");
        let _ = writeln!(out, "| {} | {} | {} | {cells} |", row.name, row.fault, row.expected);
    }
    reasons(&mut out, "Makes no sense", |cell| match cell {
        Cell::Senseless(why) => Some(why),
        _ => None,
    });
    reasons(&mut out, "Not tried", |cell| match cell {
        Cell::NotTried(why) => Some(why),
        _ => None,
    });
    let _ = write!(out, "\n{}.\n", counts());
    out
}

/// A list of the reasons that `pick` finds, each with its cells.
fn reasons(out: &mut String, title: &str, pick: impl Fn(Cell) -> Option<&'static str>) {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in ROWS {
        for (column, cell) in row.cells.into_iter().enumerate() {
            let Some(why) = pick(cell) else { continue };
            let cell = name(row, column);
            match reasons.iter_mut().find(|(other, _)| *other == why) {
                Some((_, cells)) => cells.push(cell),
                None => reasons.push((why, vec![cell])),
            }
        }
    }
    let _ = write!(out, "\n## {title}\n\n");
    for (why, cells) in reasons {
        let _ = writeln!(out, "* {why}: {}.", cells.join(", "));
    }
}

/// How many cells there are of each sort.
pub(crate) fn counts() -> String {
    let [mut here, mut senseless, mut not_tried] = [0; 3];
    for cell in ROWS.iter().flat_map(|row| row.cells) {
        match cell {
            Cell::Here(_) => here += 1,
            Cell::Senseless(_) => senseless += 1,
            Cell::NotTried(_) => not_tried += 1,
        }
    }
    format!(
        "{} faults: {here} cells tried, {senseless} make no sense, {not_tried} not tried",
        ROWS.len()
    )
}

/// That the file says what the table says; or makes it say so.
pub(crate) fn is_up_to_date() -> Result<(), Failed> {
    let text = render();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path(), text).map_err(|error| error.to_string())?;
        return Ok(());
    }
    match std::fs::read_to_string(path()) {
        Ok(found) if found == text => Ok(()),
        _ => Err(Failed::from(format!("FAULTS.md is not what the table says: run with {WRITE}=1"))),
    }
}
