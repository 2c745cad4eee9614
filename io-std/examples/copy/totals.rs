//! What was copied, what went wrong, the progress bar and the last line.

use crate::stage::{Failure, Stage};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use io_core::{Handle, Way};
use io_std::Io;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;
use std::time::Instant;

/// How often the progress bar changes.
const REFRESH: Duration = Duration::from_millis(100);

/// Counts of one run. Single-threaded.
pub(crate) struct Totals {
    stage: Rc<Stage>,
    json: bool,
    begun: Instant,
    files: Cell<u64>,
    dirs: Cell<u64>,
    symlinks: Cell<u64>,
    bytes: Cell<u64>,
    failures: Cell<u64>,
    bar: Option<ProgressBar>,
    shown: RefCell<Instant>,
}

fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}

impl Totals {
    pub(crate) fn new(stage: Rc<Stage>, json: bool) -> Totals {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is ours and right; without it the default style would do.
            if let Ok(style) = ProgressStyle::with_template("{spinner} [{elapsed_precise}] {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let begun = Instant::now();
        let zero = || Cell::new(0);
        Totals {
            stage,
            json,
            begun,
            files: zero(),
            dirs: zero(),
            symlinks: zero(),
            bytes: zero(),
            failures: zero(),
            bar,
            shown: RefCell::new(begun),
        }
    }

    pub(crate) fn file(&self) {
        add(&self.files, 1);
    }

    pub(crate) fn dir(&self) {
        add(&self.dirs, 1);
    }

    pub(crate) fn symlink(&self) {
        add(&self.symlinks, 1);
    }

    /// Bytes of a file under way.
    pub(crate) fn bytes(&self, count: u64) {
        add(&self.bytes, count);
        if let Some(bar) = &self.bar {
            self.show(bar);
        }
    }

    fn show(&self, bar: &ProgressBar) {
        if self.shown.borrow().elapsed() < REFRESH {
            return;
        }
        self.shown.replace(Instant::now());
        let (mb, seconds) = (self.mb(), self.begun.elapsed().as_secs_f64());
        bar.set_message(format!(
            "{} files, {mb:.1} MB, {:.1} MB/s",
            self.files.get(),
            mb / seconds
        ));
        bar.tick();
    }

    /// One thing that was not copied; the others go on.
    pub(crate) fn fail(&self, failure: Failure) {
        add(&self.failures, 1);
        let failure = self.stage.shown(failure);
        let print = || eprintln!("copy: {failure}");
        self.bar.as_ref().map_or_else(print, |bar| bar.suspend(print));
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// In units of 10^6 bytes.
    fn mb(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let bytes = self.bytes.get() as f64;
        bytes / 1e6
    }

    /// The last line. An error is that of the standard output.
    pub(crate) fn finish(&self, io: &Io) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = self.mb() / seconds.max(1e-9);
        let counters = io.backend().counters();
        let route = |way: Way| counters.way(way);
        let chosen = io.chosen();
        let (files, dirs, symlinks) = (self.files.get(), self.dirs.get(), self.symlinks.get());
        if self.json {
            let line = serde_json::json!({
                "files": files, "dirs": dirs, "symlinks": symlinks,
                "bytes": self.bytes.get(), "seconds": seconds, "mb_per_s": rate,
                "backend": chosen.name, "why": chosen.why,
                "routes": {
                    "ring": route(Way::Ring), "readiness": route(Way::Readiness),
                    "offload": route(Way::Offload), "inline": route(Way::Inline),
                },
                "failures": self.failures.get(),
            });
            return writeln!(io::stdout(), "{line}");
        }
        let failures = match self.failures.get() {
            0 => String::new(),
            failures => format!(", {failures} FAILED"),
        };
        writeln!(
            io::stdout(),
            "{files} files, {dirs} directories, {symlinks} symlinks{failures}, {bytes} bytes in {seconds:.3} s, \
             {rate:.1} MB/s; {chosen}; ring {ring}, readiness {readiness}, offload {offload}, \
             inline {inline}",
            bytes = self.bytes.get(),
            ring = route(Way::Ring),
            readiness = route(Way::Readiness),
            offload = route(Way::Offload),
            inline = route(Way::Inline),
        )
    }
}
