//! The trace as `chrome://tracing` and Perfetto read it: JSON, one line for each call.

use crate::calls;
use crate::format::{Layer, NESTED};
use crate::names::{Names, path};
use crate::sink::Sink;
use crate::story::{Story, Told};
use std::io::{self, Write};

/// The trace under way.
pub(crate) struct Chrome {
    sink: Sink,
    /// What stands before the next event.
    between: &'static str,
}

impl Chrome {
    /// Begins with the names of processes and threads.
    pub(crate) fn begin(mut sink: Sink, story: &Story) -> io::Result<Chrome> {
        write!(sink, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let mut chrome = Chrome { sink, between: "\n" };
        for (pid, programs) in story.processes() {
            chrome.name("process_name", pid, pid, "name", &programs)?;
        }
        for life in &story.lives {
            let (pid, parent) = (life.header.pid, format!("child of {}", life.header.parent));
            chrome.name("process_labels", pid, pid, "labels", &parent)?;
        }
        for ((pid, tid), thread) in &story.threads {
            let main = if pid == tid { "main" } else { "thread" };
            let name = if thread.name.is_empty() { main } else { &thread.name };
            chrome.name("thread_name", *pid, *tid, "name", name)?;
        }
        Ok(chrome)
    }

    /// What a process or thread is called.
    fn name(&mut self, what: &str, pid: u32, tid: u32, key: &str, name: &str) -> io::Result<()> {
        let between = core::mem::replace(&mut self.between, ",\n");
        write!(
            self.sink,
            "{between}{{\"ph\":\"M\",\"name\":\"{what}\",\"pid\":{pid},\"tid\":{tid},"
        )?;
        write!(self.sink, "\"args\":{{\"{key}\":")?;
        serde_json::to_writer(&mut self.sink, name)?;
        write!(self.sink, "}}}}")
    }

    /// One call. Times are in microseconds, from the beginning.
    pub(crate) fn add(&mut self, told: &Told<'_>, names: &Names) -> io::Result<()> {
        let between = core::mem::replace(&mut self.between, ",\n");
        let (event, sink) = (told.event, &mut self.sink);
        let category = if told.layer == Layer::Stdio { "stdio" } else { "system" };
        write!(
            sink,
            "{between}{{\"ph\":\"X\",\"name\":\"{}\",\"cat\":\"{category}\",\"ts\":{}.{:03},\"dur\":{}.{:03},\
             \"pid\":{},\"tid\":{},\"args\":{{\"result\":{}",
            told.name,
            told.begin / 1000,
            told.begin % 1000,
            event.took / 1000,
            event.took % 1000,
            told.pid,
            event.tid,
            event.result,
        )?;
        if event.fd >= 0 {
            write!(sink, ",\"fd\":{}", event.fd)?;
        }
        if event.other >= 0 {
            write!(sink, ",\"other\":{}", event.other)?;
        }
        if event.argument != 0 {
            write!(sink, ",\"argument\":{}", event.argument)?;
        }
        let bytes = calls::bytes(told.call, event);
        if bytes > 0 {
            write!(sink, ",\"bytes\":{bytes}")?;
        }
        if event.result < 0 {
            write!(sink, ",\"error\":\"{}\"", calls::errno_name(event.result.saturating_neg()))?;
        }
        if event.flags & NESTED != 0 {
            write!(sink, ",\"nested\":true")?;
        }
        if let Some(file) = told.file {
            write!(sink, ",\"file\":")?;
            serde_json::to_writer(&mut *sink, names.text(file))?;
        }
        if let Some(to) = second_path(told) {
            write!(sink, ",\"to\":")?;
            serde_json::to_writer(&mut *sink, &to)?;
        }
        write!(sink, "}}}}")
    }

    /// Ends and closes it.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        write!(self.sink, "\n]}}\n")?;
        self.sink.finish()
    }
}

/// The second path of a rename.
fn second_path(told: &Told<'_>) -> Option<String> {
    let renames = told.name.starts_with("rename");
    let second = told.text.split(|byte| *byte == 0).nth(1).filter(|to| renames && !to.is_empty());
    second.map(path)
}

#[cfg(test)]
mod tests {
    use super::Chrome;
    use crate::format::{Call, NESTED};
    use crate::samples::{Random, Sample, io};
    use crate::sink::Sink;
    use crate::story::tests::story;
    use serde_json::Value;
    use std::fs;
    use std::process::Command;

    /// The trace of one process, as text.
    fn trace(samples: &[Sample]) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let out = dir.path().join("trace.json");
        let mut story = story(&[(7, samples)]);
        let sink = Sink::create(&io(), &out).expect("created");
        let mut chrome = Chrome::begin(sink, &story).expect("begun");
        story.each(&io(), |told, names| chrome.add(told, names).expect("taken"));
        chrome.finish().expect("written");
        if let Ok(python) = Command::new("python3").args(["-m", "json.tool"]).arg(&out).output() {
            let said = String::from_utf8_lossy(&python.stderr);
            assert!(python.status.success(), "python3 cannot read it: {said}");
        } else {
            println!("SKIPPED: no python3 to read the trace");
        }
        fs::read_to_string(&out).expect("UTF-8")
    }

    fn events(text: &str) -> Vec<Value> {
        let trace: Value = serde_json::from_str(text).expect("JSON");
        trace["traceEvents"].as_array().expect("an array").clone()
    }

    #[test]
    fn a_call_has_its_times_in_microseconds() {
        let text = trace(&[
            Sample::at(1_000)
                .call(Call::Open)
                .fd(-1)
                .result(3)
                .text("/tmp/\"quoted\"\u{1}")
                .took(2_345),
            Sample::at(5_007).fd(3).result(-11).took(1).flags(NESTED),
            Sample::at(6_000).call(Call::Rename).fd(-1).result(0).text("a\0b"),
        ]);
        let events = events(&text);
        assert_eq!(events[0]["args"]["name"], "sample");
        assert_eq!(events[1]["args"]["labels"], "child of 1");
        assert_eq!((&events[2]["ph"], &events[2]["args"]["name"]), (&"M".into(), &"main".into()));
        let open = &events[3];
        assert_eq!((open["ts"].as_f64(), open["dur"].as_f64()), (Some(0.0), Some(2.345)));
        assert_eq!((&open["ph"], &open["pid"], &open["tid"]), (&"X".into(), &7.into(), &7.into()));
        assert_eq!((&open["name"], &open["cat"]), (&"open".into(), &"system".into()));
        assert_eq!(open["args"]["file"], "/tmp/\"quoted\"\u{1}");
        let read = &events[4];
        assert_eq!((read["ts"].as_f64(), read["dur"].as_f64()), (Some(4.007), Some(0.001)));
        assert_eq!(
            (&read["args"]["error"], &read["args"]["nested"]),
            (&"EAGAIN".into(), &true.into())
        );
        assert_eq!(
            (&events[5]["args"]["file"], &events[5]["args"]["to"]),
            (&"a".into(), &"b".into())
        );
    }

    #[test]
    fn no_calls_are_an_empty_array() {
        assert_eq!(events(&trace(&[])).len(), 2, "the process alone");
    }

    #[test]
    fn any_event_makes_json() {
        let mut random = Random::new(3);
        for _ in 0..20 {
            let samples: Vec<_> = (0..60)
                .map(|_| {
                    let text: Vec<u8> = (0..random.below(60)).map(|_| random.byte()).collect();
                    let mut sample = Sample::at(random.next()).text(text);
                    sample.event.call = u16::try_from(random.below(100)).expect("small");
                    sample.event.took = random.next();
                    sample.event.result = random.next().cast_signed();
                    sample.event.argument = random.next().cast_signed();
                    sample.event.fd = i32::try_from(random.below(9)).expect("small") - 3;
                    sample.event.flags = u16::from(random.byte());
                    sample
                })
                .collect();
            events(&trace(&samples));
        }
    }
}
