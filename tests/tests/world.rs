//! The kernel in memory, held against the real one.

#[path = "world/both.rs"]
mod both;
#[path = "world/programs.rs"]
mod programs;

use both::Compared;
use io_conformance::choices::Choices;
use io_conformance::explore;
use io_conformance::watchdog::Watchdog;
use io_core::OpKind;
use io_core::op::Family;
use programs::Program;

/// Runs programs of these operations, from one seed each.
fn programs(name: &str, count: u32, family: Family, kinds: &[OpKind]) {
    let _watchdog = Watchdog::arm(name);
    let mut compared: Compared = Default::default();
    let seeds = explore::seed_range(count);
    let alone = seeds.end - seeds.start == 1;
    for seed in seeds {
        let tree = tempfile::tempdir().expect("a directory");
        let shown = Shown(seed);
        let choices = Choices::seed(seed);
        let one = Program::new(&choices, tree.path(), family).run(60, kinds);
        for (sum, one) in compared.iter_mut().flatten().zip(one.iter().flatten()) {
            *sum += one;
        }
        core::mem::forget(shown);
    }
    println!("{name}: compared (successes, failures):");
    for (kind, [good, bad]) in OpKind::ALL.iter().zip(compared) {
        if good + bad > 0 {
            println!("  {:9} {good:6} {bad:6}", kind.name());
        }
        // One seed alone need not reach all.
        let reached = good > 0 || !kinds.contains(kind) || alone;
        assert!(reached, "no {} that succeeds was compared", kind.name());
    }
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
        Family::UNIX,
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
        Family::UNIX,
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

const CONNECTIONS: [OpKind; 18] = [
    OpKind::Socket,
    OpKind::Socket,
    OpKind::Bind,
    OpKind::Listen,
    OpKind::Listen,
    OpKind::Connect,
    OpKind::Connect,
    OpKind::Accept,
    OpKind::Accept,
    OpKind::Send,
    OpKind::Recv,
    OpKind::Read,
    OpKind::Write,
    OpKind::Poll,
    OpKind::Shutdown,
    OpKind::Close,
    OpKind::Fstat,
    OpKind::Fsync,
];

#[test]
fn local_connections_are_the_kernels() {
    programs("local_connections_are_the_kernels", 300, Family::UNIX, &CONNECTIONS);
}

#[test]
fn network_connections_are_the_kernels() {
    programs("network_connections_are_the_kernels", 100, Family::INET, &CONNECTIONS);
}
