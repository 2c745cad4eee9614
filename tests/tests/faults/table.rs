//! `FAULTS.md`: the table for readers.

use crate::matrix::{COLUMNS, Cell, ROWS};
use core::fmt::Write as _;
use libtest_mimic::Failed;
use std::path::PathBuf;

/// Set to write the file instead of comparing it.
const WRITE: &str = "IO_FAULTS_WRITE";

const HEAD: &str = "\
# Faults

What goes wrong in the real world, and what each backend makes of it. Written from the table in
`tests/faults/matrix.rs`, of which each cell is a test: `cargo test -p io-conformance --test faults`.

Expected of every cell: each operation completes once, with the right result; no descriptor, thread, mapping or
memory is left behind, also when it is repeated; and the backend works afterwards.

A file and a name say which test tries it elsewhere. A dash makes no sense, and the list below says why.

";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("FAULTS.md")
}

fn entry(cell: Cell) -> String {
    match cell {
        Cell::Here(_) => "tried".to_owned(),
        Cell::There(file, test) => {
            let file = file.rsplit('/').next().unwrap_or(file);
            format!("`{file}`: `{test}`")
        }
        Cell::Senseless(_) => "–".to_owned(),
        Cell::NotTried(_) => "not tried".to_owned(),
    }
}

fn render() -> String {
    let mut out = HEAD.to_owned();
    // Writing to a `String` does not fail, here and below.
    let _ = writeln!(out, "| | fault | expected | {} |", COLUMNS.join(" | "));
    let _ = writeln!(out, "|---|---|---|{}", "---|".repeat(COLUMNS.len()));
    for row in ROWS {
        let cells = row.cells.map(entry).join(" | ");
        let _ = writeln!(out, "| {} | {} | {} | {cells} |", row.name, row.fault, row.expected);
    }
    for (title, pick) in [("Makes no sense", false), ("Not tried", true)] {
        let _ = write!(out, "\n## {title}\n\n");
        for row in ROWS {
            let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
            for (column, cell) in COLUMNS.iter().zip(row.cells) {
                let why = match cell {
                    Cell::Senseless(why) if !pick => why,
                    Cell::NotTried(why) if pick => why,
                    _ => continue,
                };
                match said.iter_mut().find(|(other, _)| *other == why) {
                    Some((_, columns)) => columns.push(column),
                    None => said.push((why, vec![column])),
                }
            }
            for (why, columns) in said {
                let _ = writeln!(out, "* {}, {}: {why}.", row.name, columns.join(", "));
            }
        }
    }
    let _ = write!(out, "\n{}.\n", counts());
    out
}

/// How many cells there are of each sort.
pub(crate) fn counts() -> String {
    let [mut here, mut there, mut senseless, mut not_tried] = [0; 4];
    for cell in ROWS.iter().flat_map(|row| row.cells) {
        match cell {
            Cell::Here(_) => here += 1,
            Cell::There(..) => there += 1,
            Cell::Senseless(_) => senseless += 1,
            Cell::NotTried(_) => not_tried += 1,
        }
    }
    format!(
        "{} faults: {here} cells tried here, {there} by other tests, {senseless} make no sense, \
         {not_tried} not tried",
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
