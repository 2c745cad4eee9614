//! What one call costs, and how much memory the tracer takes: this program itself, reading one byte again and again.

use crate::measure::Way;
use crate::options::Options;
use crate::table::median;
use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The first argument of this program where it reads.
pub(crate) const INNER: &str = "--inner-read";

/// Reads of one loop.
const READS: u32 = 1_000_000;
/// Threads of the other.
const THREADS: usize = 4;

/// Measures both, and tells them.
pub(crate) fn tell(options: &Options, launcher: &Path, dir: &Path) -> io::Result<()> {
    let traced = Way::Traced { launcher, backend: &options.backend };
    let mut differences = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (threads, all) in [1, THREADS].into_iter().zip(&mut differences) {
            let alone = read(&Way::Alone, threads, dir)?;
            let with = read(&traced, threads, dir)?;
            all.push((with.0 - alone.0, with.1 - alone.1));
        }
    }
    let [one, many] = differences;
    println!(
        "\nA `pread` of one byte: {:+.0} ns of CPU when traced ({:+.0} ns with {THREADS} threads that read at once).",
        median(one.iter().map(|(nanos, _)| *nanos)),
        median(many.iter().map(|(nanos, _)| *nanos)),
    );
    println!(
        "Resident memory with {THREADS} threads: {:+.1} MiB at the most.",
        median(many.iter().map(|(_, kib)| *kib)) / 1024.0
    );
    Ok(())
}

/// Nanoseconds of CPU for one read, and the most memory that was resident, in KiB.
fn read(way: &Way<'_>, threads: usize, dir: &Path) -> io::Result<(f64, f64)> {
    let (this, told) = (env::current_exe()?, dir.join("told"));
    let mut run = match way {
        Way::Traced { launcher, backend } => {
            let mut run = Command::new(launcher);
            run.args(["--out", "/dev/null", "--summary", "/dev/null", "--backend", backend])
                .arg(&this);
            run
        }
        _ => Command::new(&this),
    };
    let status =
        run.arg(INNER).arg(&told).arg(threads.to_string()).stdin(Stdio::null()).status()?;
    let told = fs::read_to_string(&told)?;
    let mut numbers = told.split_whitespace().filter_map(|number| number.parse().ok());
    match (status.success(), numbers.next(), numbers.next()) {
        (true, Some(nanos), Some(kib)) => Ok((nanos, kib)),
        _ => Err(io::Error::other(format!("reading: {status}"))),
    }
}

/// What `read` runs.
pub(crate) fn inner(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let told = arguments.next().ok_or_else(|| io::Error::other("a file"))?;
    let threads = arguments.next().and_then(|threads| threads.to_str()?.parse().ok()).unwrap_or(1);
    let file = File::open(env::current_exe()?)?;
    let each = READS / threads;
    let begin = cpu();
    if threads == 1 {
        // Without another thread, which the tracer would take notice of.
        read_all(&file, each)?;
    } else {
        thread::scope(|scope| {
            let readers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| read_all(&file, each))).collect();
            readers.into_iter().try_for_each(|reader| {
                reader.join().unwrap_or_else(|_| Err(io::Error::other("a reader panicked")))
            })
        })?;
    }
    let nanos = (cpu() - begin) / f64::from(each * threads);
    let status = fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = most.and_then(|most| most.split_whitespace().next()).unwrap_or("0");
    fs::write(told, format!("{nanos} {kib}"))
}

fn read_all(file: &File, times: u32) -> io::Result<()> {
    let mut byte = [0];
    for _ in 0..times {
        file.read_exact_at(&mut byte, 0)?;
    }
    Ok(())
}

/// CPU time of this process, in nanoseconds.
fn cpu() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "less than a month")]
    let (seconds, nanos) = (now.tv_sec as f64, now.tv_nsec as f64);
    seconds * 1e9 + nanos
}
