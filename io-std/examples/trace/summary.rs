//! The summary: for people a few tables, for programs one JSON object.

use crate::names::Names;
use crate::stats::{Row, Slow, Stats};
use crate::story::Story;
use crate::wait::Ended;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Files in the table for people. The JSON has [`ALL_FILES`].
const FILES: usize = 20;
/// Files in the JSON, which is to stay readable in one piece.
const ALL_FILES: usize = 10_000;

/// What is said of the run as a whole.
pub(crate) struct Run {
    /// The command line, to be read.
    pub(crate) command: String,
    pub(crate) ended: Ended,
    /// From its start to its end, in nanoseconds.
    pub(crate) wall_ns: u64,
    /// Why this backend.
    pub(crate) why: String,
    pub(crate) out: String,
    pub(crate) svg: Option<String>,
}

/// What the lives say, in all.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) events: u64,
    pub(crate) lost: u64,
    pub(crate) dropped: u64,
    pub(crate) failed: u64,
    pub(crate) errno: u32,
    pub(crate) detours: u64,
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
    pub(crate) untraced: u64,
    pub(crate) processes: usize,
    pub(crate) threads: usize,
    /// How many lives had which route at their end.
    pub(crate) routes: BTreeMap<&'static str, u64>,
}

impl Totals {
    pub(crate) fn of(story: &Story) -> Totals {
        let mut totals = Totals { threads: story.thread_count(), ..Totals::default() };
        totals.processes = story.processes().len();
        totals.untraced = story.untraced();
        for (life, found) in story.lives.iter().zip(&story.found) {
            let header = &life.header;
            let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
            add(&mut totals.events, *found);
            add(&mut totals.lost, header.lost(*found));
            add(&mut totals.dropped, header.dropped);
            add(&mut totals.failed, header.failed);
            add(&mut totals.detours, header.detours.into());
            add(&mut totals.writes, header.writes);
            add(&mut totals.bytes, header.bytes);
            add(totals.routes.entry(header.route_name()).or_default(), 1);
            totals.errno = if header.errno == 0 { totals.errno } else { header.errno };
        }
        totals
    }

    /// The route, in one word where all lives had the same.
    pub(crate) fn route(&self) -> String {
        let names: Vec<&str> = self.routes.keys().copied().collect();
        if names.is_empty() { "none".to_owned() } else { names.join("+") }
    }
}

/// One JSON object, on one line.
pub(crate) fn write_json(
    sink: &mut impl Write,
    run: &Run,
    totals: &Totals,
    stats: &mut Stats,
    names: &Names,
) -> io::Result<()> {
    let calls: serde_json::Map<String, Value> =
        stats.calls.iter_mut().map(|(name, row)| ((*name).to_owned(), row_json(row))).collect();
    let slowest: Vec<Value> = stats.slowest.iter().map(slow_json).collect();
    let all = stats.files.len();
    let files: Vec<Value> = stats
        .files()
        .into_iter()
        .take(ALL_FILES)
        .map(|(file, row)| {
            let mut value = row_json(row);
            value["file"] = names.text(file).into();
            value
        })
        .collect();
    let (code, signal) = match run.ended {
        Ended::Code(code) => (Some(code), None),
        Ended::Signal(signal) => (None, Some(signal)),
    };
    let object = json!({
        "command": run.command, "exit_code": code, "signal": signal, "wall_ns": run.wall_ns,
        "calls": calls, "files": files, "files_seen": all, "slowest": slowest,
        "events": totals.events, "events_lost": totals.lost,
        "events_dropped": totals.dropped, "events_failed": totals.failed, "errno": totals.errno,
        "processes": totals.processes, "threads": totals.threads, "untraced": totals.untraced,
        "route": totals.route(), "routes": totals.routes, "why": run.why,
        "writes": totals.writes, "bytes": totals.bytes, "detours": totals.detours,
        "trace": run.out, "svg": run.svg,
    });
    serde_json::to_writer(&mut *sink, &object)?;
    writeln!(sink)
}

fn row_json(row: &mut Row) -> Value {
    let [p50, p99] = row.durations.percentiles([50, 99]);
    json!({
        "count": row.count, "errors": row.errors, "bytes": row.bytes, "total_ns": row.total_ns,
        "p50_ns": p50, "p99_ns": p99, "exact": row.durations.is_exact(),
    })
}

fn slow_json(slow: &Slow) -> Value {
    json!({
        "call": slow.name, "file": slow.file, "ns": slow.nanos, "at_ns": slow.begin,
        "pid": slow.pid, "tid": slow.tid,
    })
}

/// The tables.
pub(crate) fn write_text(
    sink: &mut impl Write,
    run: &Run,
    totals: &Totals,
    stats: &mut Stats,
    names: &Names,
) -> io::Result<()> {
    let how = match run.ended {
        Ended::Code(code) => format!("ended with {code}"),
        Ended::Signal(signal) => format!("was ended by signal {signal}"),
    };
    writeln!(
        sink,
        "{} {how} after {}: {}, {}, {} events, {} lost",
        run.command,
        time(run.wall_ns),
        counted(totals.processes, "process", "es"),
        counted(totals.threads, "thread", "s"),
        totals.events,
        totals.lost,
    )?;
    writeln!(
        sink,
        "written by {} ({}): {}, {} bytes",
        totals.route(),
        run.why,
        counted(totals.writes, "write", "s"),
        totals.bytes
    )?;
    write_troubles(sink, totals)?;
    heading(sink, "call")?;
    let mut calls: Vec<_> = stats.calls.iter_mut().collect();
    calls.sort_by_key(|(name, row)| (core::cmp::Reverse(row.total_ns), **name));
    for (name, row) in calls {
        write_row(sink, row, name)?;
    }
    let all = stats.files.len();
    if all > 0 {
        heading(sink, "file")?;
        for (file, row) in stats.files().into_iter().take(FILES) {
            write_row(sink, row, &printable(names.text(file)))?;
        }
        if all > FILES {
            writeln!(sink, "… and {} more files", all - FILES)?;
        }
    }
    if !stats.slowest.is_empty() {
        writeln!(sink, "\n{:>10} {:>10}  slowest calls", "time", "at")?;
    }
    for slow in &stats.slowest {
        let (time, at) = (time(slow.nanos), time(slow.begin));
        let (name, file) = (slow.name, printable(&slow.file));
        writeln!(
            sink,
            "{time:>10} {at:>10}  {name} {file} (process {}, thread {})",
            slow.pid, slow.tid
        )?;
    }
    let svg =
        run.svg.as_ref().map(|svg| format!(" A picture of it is in {svg}.")).unwrap_or_default();
    writeln!(
        sink,
        "\nThe trace is in {}, for chrome://tracing or https://ui.perfetto.dev.{svg}",
        run.out
    )
}

/// What should not have happened, where it did.
fn write_troubles(sink: &mut impl Write, totals: &Totals) -> io::Result<()> {
    if totals.dropped > 0 {
        writeln!(sink, "{} events were dropped: the buffer was full", totals.dropped)?;
    }
    if totals.failed > 0 {
        let why = io::Error::from_raw_os_error(totals.errno.cast_signed());
        writeln!(sink, "{} events could not be written: {why}", totals.failed)?;
    }
    if totals.detours > 0 {
        writeln!(sink, "the backend had to be changed {}", counted(totals.detours, "time", "s"))?;
    }
    if totals.untraced > 0 {
        writeln!(sink, "{} ran without the tracer", counted(totals.untraced, "program", "s"))?;
    }
    Ok(())
}

fn heading(sink: &mut impl Write, what: &str) -> io::Result<()> {
    let columns = ["count", "errors", "bytes", "total", "median", "99 %"];
    writeln!(sink)?;
    columns.iter().try_for_each(|column| write!(sink, "{column:>10} "))?;
    writeln!(sink, " {what}")
}

fn write_row(sink: &mut impl Write, row: &mut Row, name: &str) -> io::Result<()> {
    let [p50, p99] = row.durations.percentiles([50, 99]).map(time);
    let (count, errors, bytes, total) =
        (row.count, row.errors, size(row.bytes), time(row.total_ns));
    let errors = if errors == 0 { String::new() } else { errors.to_string() };
    writeln!(sink, "{count:>10} {errors:>10} {bytes:>10} {total:>10} {p50:>10} {p99:>10}  {name}")
}

/// A name on one line, whatever is in it.
fn printable(name: &str) -> String {
    let mut printable = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

fn counted<N: PartialEq + From<u8> + core::fmt::Display>(
    count: N,
    what: &str,
    more: &str,
) -> String {
    let more = if count == N::from(1) { "" } else { more };
    format!("{count} {what}{more}")
}

/// Nanoseconds with three or more digits and a unit.
pub(crate) fn time(nanos: u64) -> String {
    scaled(nanos, &[("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)])
}

/// Bytes, the same.
fn size(bytes: u64) -> String {
    let units = [
        ("B", 1),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    if bytes == 0 { String::new() } else { scaled(bytes, &units) }
}

fn scaled(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| unit.1 == 1 || value >= unit.1;
    let (unit, one) = units.iter().rev().find(fits).copied().unwrap_or(("", 1));
    let whole = value / one;
    let digits = match whole {
        _ if one == 1 => 0,
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let rest = value % one * 100 / one;
    match digits {
        0 => format!("{whole} {unit}"),
        1 => format!("{whole}.{} {unit}", rest / 10),
        _ => format!("{whole}.{rest:02} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, Totals, printable, size, time, write_json, write_text};
    use crate::format::Call;
    use crate::samples::{Sample, io};
    use crate::stats::Stats;
    use crate::story::tests::story;
    use crate::wait::Ended;
    use serde_json::Value;

    fn run(ended: Ended) -> Run {
        let (command, why, out) = ("ls -l".into(), "asked for".into(), "trace.json".into());
        Run { command, ended, wall_ns: 1_500_000, why, out, svg: None }
    }

    fn sample() -> Vec<Sample> {
        let open = Sample::at(1).call(Call::Open).fd(-1).result(3).text("/a\nb").took(700);
        let missing = Sample::at(2).call(Call::Open).fd(-1).result(-2).text("/none").took(300);
        vec![open, missing, Sample::at(1_000).fd(3).result(4096).took(2_000).tid(8)]
    }

    fn both(samples: &[Sample], ended: Ended) -> (Value, String) {
        let mut story = story(&[(7, samples)]);
        let mut stats = Stats::default();
        story.each(&io(), |told, names| stats.add(told, names));
        let (run, totals, names) = (run(ended), Totals::of(&story), &story.names);
        let (mut object, mut text) = (Vec::new(), Vec::new());
        write_json(&mut object, &run, &totals, &mut stats, names).expect("written");
        write_text(&mut text, &run, &totals, &mut stats, names).expect("written");
        let object = serde_json::from_slice(&object).expect("JSON");
        (object, String::from_utf8(text).expect("UTF-8"))
    }

    #[test]
    fn the_object_has_what_was_promised() {
        let (object, _) = both(&sample(), Ended::Code(3));
        let read = &object["calls"]["read"];
        for (name, value) in
            [("count", 1), ("bytes", 4096), ("total_ns", 2000), ("p50_ns", 2000), ("p99_ns", 2000)]
        {
            assert_eq!(read[name], value, "{name}");
        }
        assert_eq!(
            (&object["calls"]["open"]["count"], &object["calls"]["open"]["errors"]),
            (&2.into(), &1.into())
        );
        assert_eq!(
            (&object["events_lost"], &object["processes"], &object["threads"]),
            (&0.into(), &1.into(), &2.into())
        );
        assert_eq!((&object["route"], &object["writes"]), (&"epoll".into(), &2.into()));
        assert_eq!((&object["exit_code"], &object["signal"]), (&3.into(), &Value::Null));
        assert_eq!(object["files"][0]["file"], "/a\nb");
        assert_eq!(object["slowest"][0]["call"], "read");
    }

    #[test]
    fn the_tables_can_be_read() {
        let (_, text) = both(&sample(), Ended::Signal(9));
        assert!(text.starts_with("ls -l was ended by signal 9 after 1.50 ms: 1 process, 2 threads, 3 events, 0 lost\n"), "{text}");
        assert!(text.contains("written by epoll (asked for): 2 writes, "), "{text}");
        assert!(text.contains("/a\\nb\n"), "{text}");
        let row = text.lines().find(|line| line.ends_with("  read")).expect("a row");
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words, ["1", "4.09", "kB", "2.00", "µs", "2.00", "µs", "2.00", "µs", "read"]);
    }

    #[test]
    fn nothing_recorded_is_said_as_well() {
        let (object, text) = both(&[], Ended::Code(0));
        assert_eq!(object["calls"], serde_json::json!({}));
        assert!(text.contains("0 events, 0 lost"), "{text}");
    }

    #[test]
    fn numbers_have_units() {
        let times = [0, 999, 1_000, 12_345, 999_999, 1_000_000, 61_000_000_000].map(time);
        assert_eq!(times, ["0 ns", "999 ns", "1.00 µs", "12.3 µs", "999 µs", "1.00 ms", "61.0 s"]);
        assert_eq!([0, 512, 1_500, u64::MAX].map(size), ["", "512 B", "1.50 kB", "18446744 TB"]);
        assert_eq!(printable("a\tb\u{1b}ü"), "a\\tb\\u{1b}ü");
    }
}
