//! The kernel in memory, held against the real one.

#[path = "world/both.rs"]
mod both;
#[path = "world/programs.rs"]
mod programs;

use io_conformance::choices::Choices;
use io_conformance::watchdog::{Watchdog, rounds};
use io_core::OpKind;
use programs::Program;

/// Runs programs of these operations, from one seed each.
fn programs(name: &str, count: u32, kinds: &[OpKind]) {
    let _watchdog = Watchdog::arm(name);
    let mut compared = 0;
    let only = std::env::var("IO_SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..u64::from(rounds(count)), |seed: u64| seed..seed + 1);
    for seed in seeds {
        let tree = tempfile::tempdir().expect("a directory");
        let shown = Shown(seed);
        let choices = Choices::seed(seed);
        compared += Program::new(&choices, tree.path()).run(60, kinds);
        core::mem::forget(shown);
    }
    println!("{name}: {compared} results compared");
    assert!(compared > 0, "nothing was compared");
}

/// Says which seed it was if its program fails.
struct Shown(u64);

impl Drop for Shown {
    fn drop(&mut self) {
        eprintln!("IO_SIM_SEED={}", self.0);
    }
}

#[test]
fn files_are_the_kernels() {
    programs(
        "files_are_the_kernels",
        150,
        &[
            OpKind::Open,
            OpKind::Close,
            OpKind::Read,
            OpKind::Write,
            OpKind::Readv,
            OpKind::Writev,
            OpKind::Pread,
            OpKind::Pwrite,
            OpKind::Preadv,
            OpKind::Pwritev,
            OpKind::Lseek,
            OpKind::Ftruncate,
            OpKind::Fsync,
            OpKind::Fdatasync,
            OpKind::Fstat,
            OpKind::Sendfile,
            OpKind::Nop,
            OpKind::Poll,
        ],
    );
}

#[test]
fn streams_are_the_kernels() {
    programs(
        "streams_are_the_kernels",
        300,
        &[
            OpKind::Read,
            OpKind::Write,
            OpKind::Write,
            OpKind::Readv,
            OpKind::Writev,
            OpKind::Recv,
            OpKind::Send,
            OpKind::Sendfile,
            OpKind::Poll,
            OpKind::Shutdown,
            OpKind::Close,
            OpKind::Pread,
            OpKind::Lseek,
            OpKind::Accept,
            OpKind::Listen,
            OpKind::Fstat,
            OpKind::Fsync,
        ],
    );
}
