//! The picture: one lane for each thread, one colour for each call, time from left to right. It is readable
//! in any browser, without a script.
//!
//! While there are few calls, each is a bar of its own with a text. Where they are denser than the picture's
//! columns, a column shows the call that took most of its time, as high as the share of its time that was
//! spent in calls; so the file stays small whatever was recorded.

mod colour;
mod lane;

use crate::calls;
use crate::format::Call;
use crate::names::Names;
use crate::story::{Story, ThreadId, Told};
use crate::summary::time;
use colour::colour;
use lane::{Lane, Run};
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::{self, Write};

/// As many calls have a bar of their own.
const FEW: u64 = 4_000;
/// Columns of a lane, and cells of all lanes.
const COLUMNS: usize = 1_200;
const CELLS: usize = 3_000_000;
/// Threads that have a lane.
const LANES: usize = 2_500;
/// Runs of equal columns; each takes some 25 bytes.
const RUNS: usize = 40_000;

/// Where the lanes begin, and how wide the picture is.
const LEFT: usize = 240;
const WIDTH: usize = LEFT + COLUMNS + 30;
/// Calls in a row of the legend, how wide one is, and how many rows there may be.
const LEGEND: usize = 8;
const ENTRY: usize = 180;

/// A call with a bar of its own.
struct Bar {
    lane: usize,
    call: Call,
    begin: u64,
    nanos: u64,
    title: String,
}

/// The picture under way.
pub(crate) struct Picture {
    duration: u64,
    labels: Vec<String>,
    places: HashMap<ThreadId, usize>,
    /// From the first to the last moment of each lane.
    spans: Vec<(u64, u64)>,
    lanes: Vec<Lane>,
    /// Instead of the lanes, where there are few calls.
    bars: Option<Vec<Bar>>,
    /// Time in each call, and how it is called.
    used: BTreeMap<u16, (u64, Call)>,
    undrawn: usize,
}

impl Picture {
    /// With the threads of a story as lanes.
    pub(crate) fn of(story: &Story) -> Picture {
        let processes = story.processes();
        let mut threads: Vec<_> = story.threads.iter().collect();
        // A process's threads stay together; processes come as they began.
        let mut began: HashMap<u32, u64> = HashMap::new();
        for ((pid, _), thread) in &threads {
            let first = began.entry(*pid).or_insert(u64::MAX);
            *first = thread.first.min(*first);
        }
        threads.sort_by_key(|((pid, tid), thread)| {
            (began.get(pid).copied(), *pid, pid != tid, thread.first)
        });
        let undrawn = threads.len().saturating_sub(LANES);
        threads.truncate(LANES);
        let columns = (CELLS / threads.len().max(1)).clamp(100, COLUMNS);
        let from = |moment: u64| moment.saturating_sub(story.begin);
        Picture {
            duration: story.duration().max(1),
            places: threads.iter().enumerate().map(|(lane, (id, _))| (**id, lane)).collect(),
            labels: threads
                .iter()
                .map(|((pid, tid), thread)| {
                    let program = processes.get(pid).map_or("", |program| program.as_str());
                    let name = if thread.name.is_empty() { program } else { &thread.name };
                    if pid == tid {
                        format!("{program} {pid}")
                    } else {
                        format!("{name} {pid}/{tid}")
                    }
                })
                .collect(),
            spans: threads
                .iter()
                .map(|(_, thread)| (from(thread.first), from(thread.last)))
                .collect(),
            lanes: threads.iter().map(|_| Lane::new(columns)).collect(),
            bars: (story.calls <= FEW).then(Vec::new),
            used: BTreeMap::new(),
            undrawn,
        }
    }

    /// Takes in a call.
    pub(crate) fn add(&mut self, told: &Told<'_>, names: &Names) {
        let (call, nanos) = (told.call, told.event.took);
        let used = self.used.entry(call as u16).or_insert((0, call));
        used.0 = used.0.saturating_add(nanos);
        let Some(lane) = self.places.get(&(told.pid, told.event.tid)).copied() else { return };
        if let Some(bars) = &mut self.bars {
            let file = told.file.map(|file| names.text(file)).unwrap_or_default();
            let result = match told.event.result {
                error @ ..0 => calls::errno_name(error.saturating_neg()),
                result => result.to_string(),
            };
            let title = format!("{} {file} = {result}, {}", told.name, time(nanos));
            bars.push(Bar { lane, call, begin: told.begin, nanos, title });
        } else if let Some(lane) = self.lanes.get_mut(lane) {
            lane.add(told.call as u16, told.begin, nanos, self.duration);
        }
    }

    /// Draws it.
    pub(crate) fn write(mut self, out: &mut impl Write, command: &str) -> io::Result<()> {
        let mut legend: Vec<(u64, Call)> = self.used.values().copied().collect();
        legend.sort_by_key(|(nanos, call)| (core::cmp::Reverse(*nanos), *call as u16));
        let top = 70 + 18 * legend.len().div_ceil(LEGEND);
        let step = step(self.labels.len());
        let height = top + step * self.labels.len() + 40;
        write_head(out, height, &legend)?;
        write!(out, "<text x=\"10\" y=\"22\" class=\"t\">{}</text>", escaped(command))?;
        writeln!(
            out,
            "<text x=\"10\" y=\"40\">{} in all, {} threads{}. {}</text>",
            time(self.duration),
            self.labels.len() + self.undrawn,
            if self.undrawn > 0 {
                format!(", {} of them not drawn", self.undrawn)
            } else {
                String::new()
            },
            if self.bars.is_some() {
                "Each bar is a call; rest on it to read which."
            } else {
                "A column has the colour of the call that took most of its time, and the height of the time in calls."
            }
        )?;
        write_legend(out, &legend)?;
        self.write_axis(out, top, height)?;
        for (lane, label) in self.labels.iter().enumerate() {
            let y = top + step * lane;
            // What is too small to be read is not written.
            if step >= 10 || (lane * step) % 12 < step {
                writeln!(
                    out,
                    "<text x=\"{}\" y=\"{}\" class=\"l\">{}</text>",
                    LEFT - 8,
                    y + step.min(12),
                    escaped(&shortened(label))
                )?;
            }
            let (first, last) = self.spans.get(lane).copied().unwrap_or_default();
            let (first, last) = (self.x(first), self.x(last));
            writeln!(
                out,
                "<path class=\"s\" d=\"M{first:.1} {}H{:.1}\"/>",
                y + step - 1,
                last.max(first + 1.0)
            )?;
        }
        match self.bars.take() {
            Some(bars) => self.write_bars(out, &bars, top, step)?,
            None => self.write_columns(out, top, step)?,
        }
        writeln!(out, "</svg>")
    }

    /// Where a moment is, from the left.
    fn x(&self, moment: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let part = moment.min(self.duration) as f64 / self.duration as f64;
        #[expect(clippy::cast_precision_loss, reason = "small constants")]
        let (left, width) = (LEFT as f64, COLUMNS as f64);
        left + part * width
    }

    fn write_axis(&self, out: &mut impl Write, top: usize, height: usize) -> io::Result<()> {
        let step = tick(self.duration);
        let mut moment = 0_u64;
        while moment <= self.duration {
            let x = self.x(moment);
            writeln!(out, "<path class=\"g\" d=\"M{x:.1} {}V{}\"/>", top - 4, height - 30)?;
            for y in [top - 8, height - 16] {
                writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" class=\"m\">{}</text>", time(moment))?;
            }
            moment = moment.saturating_add(step);
        }
        Ok(())
    }

    fn write_bars(
        &self,
        out: &mut impl Write,
        bars: &[Bar],
        top: usize,
        step: usize,
    ) -> io::Result<()> {
        for bar in bars {
            let x = self.x(bar.begin);
            let width = (self.x(bar.begin.saturating_add(bar.nanos)) - x).max(0.5);
            let (y, height) = (top + step * bar.lane, step.saturating_sub(2).max(1));
            writeln!(
                out,
                "<rect class=\"c{}\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{height}\"><title>{}</title></rect>",
                bar.call as u16,
                escaped(&bar.title),
            )?;
        }
        Ok(())
    }

    fn write_columns(&mut self, out: &mut impl Write, top: usize, step: usize) -> io::Result<()> {
        // Coarser, until it is few enough.
        while self.lanes.iter().map(|lane| lane.runs(self.duration).count()).sum::<usize>() > RUNS {
            self.lanes.iter_mut().for_each(Lane::halve);
        }
        let height = step.saturating_sub(2).max(1);
        for (index, lane) in self.lanes.iter().enumerate() {
            let bottom = top + step * index + height;
            let mut by_call: BTreeMap<u16, Vec<Run>> = BTreeMap::new();
            lane.runs(self.duration).for_each(|run| by_call.entry(run.call).or_default().push(run));
            let columns = lane.columns();
            for (call, runs) in by_call {
                write!(out, "<path class=\"c{call}\" d=\"")?;
                for run in runs {
                    let (x, width) = (place(run.first, columns), place(run.count, columns));
                    let high = (height * run.level).div_ceil(lane::LEVELS);
                    write!(
                        out,
                        "M{} {bottom}v-{high}h{}v{high}z",
                        tenths(LEFT * 10 + x),
                        tenths(width)
                    )?;
                }
                writeln!(out, "\"/>")?;
            }
        }
        Ok(())
    }
}

/// So many of these columns, in tenths of a unit.
fn place(count: usize, columns: usize) -> usize {
    count * COLUMNS * 10 / columns.max(1)
}

fn tenths(value: usize) -> String {
    if value.is_multiple_of(10) {
        (value / 10).to_string()
    } else {
        format!("{}.{}", value / 10, value % 10)
    }
}

/// How high a lane is, with the gap to the next.
fn step(lanes: usize) -> usize {
    match lanes {
        0..=60 => 22,
        61..=200 => 14,
        201..=600 => 6,
        _ => 3,
    }
}

/// The distance of the marks on the axis: 1, 2 or 5 of a unit, and some ten of them.
fn tick(duration: u64) -> u64 {
    let mut step = 1_u64;
    for factor in [2, 5, 10].into_iter().cycle() {
        if duration / step <= 12 {
            break;
        }
        let decade = 10_u64.pow(step.ilog10());
        step = match decade.checked_mul(factor) {
            Some(next) => next,
            None => return step,
        };
    }
    step
}

fn write_head(out: &mut impl Write, height: usize, legend: &[(u64, Call)]) -> io::Result<()> {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">"
    )?;
    write!(
        out,
        "<style>text{{font:11px sans-serif;fill:#222}}.t{{font-size:14px;font-weight:bold}}"
    )?;
    write!(out, ".l{{text-anchor:end}}.m{{text-anchor:middle;fill:#666}}")?;
    write!(out, ".g{{stroke:#ddd}}.s{{stroke:#bbb}}")?;
    for (_, call) in legend {
        write!(out, ".c{}{{fill:{}}}", *call as u16, colour(*call))?;
    }
    writeln!(out, "</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>")
}

fn write_legend(out: &mut impl Write, legend: &[(u64, Call)]) -> io::Result<()> {
    for (index, (nanos, call)) in legend.iter().enumerate() {
        let (x, y) = (10 + index % LEGEND * ENTRY, 52 + index / LEGEND * 18);
        let name = Call::ALL.get(*call as usize).map_or("", |(_, _, name)| name);
        write!(
            out,
            "<rect class=\"c{}\" x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\"/>",
            *call as u16
        )?;
        writeln!(out, "<text x=\"{}\" y=\"{}\">{name} {}</text>", x + 17, y + 10, time(*nanos))?;
    }
    Ok(())
}

/// A label that fits.
fn shortened(label: &str) -> String {
    let count = label.chars().count();
    if count <= 38 {
        return label.to_owned();
    }
    // The end has the numbers.
    let end: String = label.chars().skip(count - 37).collect();
    format!("…{end}")
}

/// Text as XML may have it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{FEW, Picture, escaped, tick};
    use crate::format::Call;
    use crate::samples::{Random, Sample, io};
    use crate::story::tests::story;
    use crate::story::{Story, Told};
    use std::fs;
    use std::process::Command;

    fn picture(story: &mut Story) -> String {
        let mut picture = Picture::of(story);
        story.each(&io(), |told, names| picture.add(told, names));
        drawn(picture)
    }

    /// The text, which an XML reader has read.
    fn drawn(picture: Picture) -> String {
        let mut out = Vec::new();
        picture.write(&mut out, "a <command> & more\u{1}").expect("written");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("picture.svg");
        fs::write(&path, &out).expect("written");
        let program = "import sys, xml.etree.ElementTree as e; e.parse(sys.argv[1])";
        if let Ok(python) = Command::new("python3").args(["-c", program]).arg(&path).output() {
            let said = String::from_utf8_lossy(&python.stderr);
            assert!(python.status.success(), "python3 cannot read it: {said}");
        } else {
            println!("SKIPPED: no python3 to read the picture");
        }
        String::from_utf8(out).expect("UTF-8")
    }

    fn count(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    #[test]
    fn few_calls_have_a_bar_each() {
        let open = Sample::at(1_000).call(Call::Open).fd(-1).result(3).text("/<a>").took(500);
        let read = |at| Sample::at(at).fd(3).took(2_000).tid(8);
        let mut story =
            story(&[(7, &[open, read(2_000), read(9_000)]), (9, &[Sample::at(1).tid(9)])]);
        let text = picture(&mut story);
        assert_eq!(count(&text, "<title>"), 4);
        assert!(text.contains("<title>open /&lt;a&gt; = 3, 500 ns</title>"), "{text}");
        for label in ["sample 7", "sample 7/8", "sample 9"] {
            assert!(text.contains(&format!(">{label}<")), "{label}");
        }
        // Both calls in the legend.
        assert!(text.contains(">read 4.00 µs<") && text.contains(">open 500 ns<"), "{text}");
        assert!(text.contains("a &lt;command&gt; &amp; more"));
    }

    /// A picture of so many calls of so many threads.
    fn dense(threads: u32, calls: u64) -> String {
        let samples: Vec<_> = (0..400).map(|n| Sample::at(n).tid(7)).collect();
        let mut story = story(&[(7, &samples)]);
        story.calls = FEW + 1;
        story.end = story.begin + calls * 1_000;
        for tid in 8..7 + threads {
            story.threads.entry((7, tid)).or_default();
        }
        let mut picture = Picture::of(&story);
        let mut random = Random::new(4);
        let mut sample = Sample::at(0).event;
        for n in 0..calls {
            sample.tid = 7 + u32::try_from(n % u64::from(threads)).expect("small");
            sample.took = random.next() % 100_000;
            let (call, layer, name) = Call::ALL[random.below(40)];
            let (event, text) = (&sample, &[][..]);
            let begin = n * 1_000;
            let told = Told { pid: 7, call, layer, name, event, text, file: None, begin };
            picture.add(&told, &story.names);
        }
        drawn(picture)
    }

    #[test]
    fn many_calls_make_no_large_file() {
        for (threads, calls) in [(1, 300_000), (64, 300_000), (1_000, 1_000_000), (5_000, 600_000)]
        {
            let text = dense(threads, calls);
            assert!(text.len() < 2_000_000, "{threads} threads: {} bytes", text.len());
            assert!(count(&text, "<path class=\"c") > 0);
            assert_eq!(text.contains("of them not drawn"), threads == 5_000);
        }
    }

    #[test]
    fn nothing_recorded_is_an_empty_picture() {
        let text = picture(&mut story(&[]));
        assert!(text.contains("0 threads"), "{text}");
    }

    #[test]
    fn hostile_times_are_no_panic() {
        let mut random = Random::new(5);
        let samples: Vec<_> = (0..300)
            .map(|_| {
                let mut sample = Sample::at(random.next());
                sample.event.took = random.next();
                sample.event.tid = u32::from(random.byte());
                sample
            })
            .collect();
        let mut story = story(&[(7, &samples)]);
        picture(&mut story);
        story.calls = FEW + 1;
        picture(&mut story);
    }

    #[test]
    fn marks_are_round_and_few() {
        for duration in [1, 7, 99, 1_000, 123_456_789, u64::MAX / 2, u64::MAX] {
            let step = tick(duration);
            assert!(duration / step <= 24, "{duration}: {step}");
            let digits = step.to_string();
            assert!(digits.trim_end_matches('0').len() == 1, "{step}");
        }
        assert_eq!([20, 100, 130, 600].map(tick), [2, 10, 20, 50]);
        assert_eq!(escaped("a\u{0}\u{ffff}\"'"), "a\u{fffd}\u{fffd}&quot;'");
    }
}
