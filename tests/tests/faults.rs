//! Faults of the real world: a table of what goes wrong against what it goes wrong with.
//!
//! `rows.rs` is the table; each of its cells runs in a process of its own, which is this program again.
//! `FAULTS.md` is the table for readers, written from the same data.

mod support;

#[path = "faults/after.rs"]
mod after;
#[path = "faults/calls.rs"]
mod calls;
#[path = "faults/cancels.rs"]
mod cancels;
#[path = "faults/denied.rs"]
mod denied;
#[path = "faults/descriptors.rs"]
mod descriptors;
#[path = "faults/forks.rs"]
mod forks;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/matrix.rs"]
mod matrix;
#[path = "faults/of_the_suite.rs"]
mod of_the_suite;
#[path = "faults/own.rs"]
mod own;
#[path = "faults/peers.rs"]
mod peers;
#[path = "faults/ring.rs"]
mod ring;
#[path = "faults/rows.rs"]
mod rows;
#[path = "faults/signals.rs"]
mod signals;
#[path = "faults/storage.rs"]
mod storage;
#[path = "faults/table.rs"]
mod table;

use io_conformance::fault::{self, Heap};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

// So that what a fault leaves behind is counted to the byte.
#[global_allocator]
static HEAP: Heap = Heap;

fn main() -> ExitCode {
    if let Some(name) = fault::chosen() {
        return matrix::be(&name);
    }
    let mut args = Arguments::from_args();
    // Some cells change what is the whole system's, and all of them count and time.
    args.test_threads = Some(1);
    let mut trials = matrix::trials();
    trials.push(Trial::test("table_is_up_to_date", table::is_up_to_date));
    // Last, so that it stands above the summary.
    trials.push(Trial::test("counts", || {
        let fault::Made { run, not_here } = fault::made();
        println!("{}; {run} of them run now, {not_here} cannot be made here", table::counts());
        Ok(())
    }));
    libtest_mimic::run(&args, trials).exit_code()
}
