//! The table: each fault, how it is made, what is expected, and what proves it in each column.

use crate::support::{epoll, pool, uring};
use crate::{calls, cancels, denied, descriptors, forks, peers, ring, signals, storage};
use io_conformance::fault::{Answer, Cell as Process};
use io_core::Errno;
use libtest_mimic::{Completion, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;

/// What a fault meets.
pub(crate) const COLUMNS: [&str; 4] = ["uring", "epoll", "pool", "auto"];

/// What there is to say about a fault in a column.
#[derive(Clone, Copy)]
pub(crate) enum Cell {
    /// Tried by this.
    Here(fn()),
    /// Tried by a test of this name in this file.
    There(&'static str, &'static str),
    /// Makes no sense there, and why.
    Senseless(&'static str),
    /// Could not be made, and why.
    NotTried(&'static str),
}

/// A fault.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// What goes wrong, and how it is made.
    pub(crate) fault: &'static str,
    /// What is expected, beyond what is expected of all: one completion each, nothing left behind, and a backend
    /// that works afterwards.
    pub(crate) expected: &'static str,
    /// In the order of [`COLUMNS`].
    pub(crate) cells: [Cell; 4],
}

/// Runs a test, which is a generic function, on the column's variants, and then more functions.
macro_rules! on {
    (uring, $($test:path $(, $argument:expr)*);+) => {
        Cell::Here(|| {
            let [shared, _, old, ..] = uring::shared();
            $($test(&shared $(, $argument)*); $test(&old $(, $argument)*);)+
        })
    };
    (epoll, $($test:path $(, $argument:expr)*);+) => {
        Cell::Here(|| {
            let [offloaded, _] = epoll::offloaded();
            $($test(&epoll::alone() $(, $argument)*); $test(&offloaded $(, $argument)*);)+
        })
    };
    (pool, $($test:path $(, $argument:expr)*);+) => {
        Cell::Here(|| {
            $($test(&four_workers() $(, $argument)*); $test(&no_workers() $(, $argument)*);)+
        })
    };
}

/// Tries it on each backend; io-std does nothing of its own with it.
macro_rules! on_each {
    ($($test:path),+) => {
        [on!(uring, $($test);+), on!(epoll, $($test);+), on!(pool, $($test);+), THROUGH]
    };
}

const THROUGH: Cell = Cell::Senseless("io-std hands results through");
const NO_RING: Cell = Cell::Senseless("enters no ring");
const DENIED: &str = "io-std/tests/denied.rs";
const UNPRIVILEGED: &str = "io-std/tests/unprivileged.rs";
const CLOSE: &str = "tests/src/suite/close.rs";
const THREADS: &str = "tests/src/suite/threads.rs";
const FORK: &str = "tests/src/suite/fork.rs";

const fn there(file: &'static str, test: &'static str) -> [Cell; 4] {
    [Cell::There(file, test), Cell::There(file, test), Cell::There(file, test), THROUGH]
}

/// The choice of a backend meets it; epoll and the pool do not ask for a ring, which is shown once.
const fn chosen_by(file: &'static str, test: &'static str) -> [Cell; 4] {
    let elsewhere = Cell::Senseless("as in denied_enosys: makes no such call");
    [Cell::There(file, test), elsewhere, elsewhere, Cell::There(file, test)]
}

const fn not_tried(why: &'static str) -> [Cell; 4] {
    [Cell::NotTried(why), Cell::NotTried(why), Cell::NotTried(why), Cell::NotTried(why)]
}

const fn ring_only(cell: Cell) -> [Cell; 4] {
    [cell, NO_RING, NO_RING, THROUGH]
}

fn four_workers() -> pool::Pool {
    pool::Pool { name: "pool_4_workers", workers: 4 }
}

fn no_workers() -> pool::Pool {
    pool::Pool { name: "pool_no_workers", workers: 0 }
}

/// Every fault.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "denied_enosys",
        fault: "`io_uring_setup` gives `ENOSYS` (seccomp)",
        expected: "a typed error with its cause; `Auto` takes epoll and says why; epoll and pool make no call of io_uring",
        cells: [
            Cell::There(DENIED, "a_kernel_without_the_system_call"),
            on!(epoll, denied::never_asked),
            on!(pool, denied::never_asked),
            Cell::There(DENIED, "a_kernel_without_the_system_call"),
        ],
    },
    Row {
        name: "denied_eperm",
        fault: "`io_uring_setup` gives `EPERM` (seccomp)",
        expected: "a typed error with its cause; `Auto` takes epoll and says why",
        cells: chosen_by(DENIED, "a_filter_that_forbids_it"),
    },
    Row {
        name: "denied_enter",
        fault: "`io_uring_enter` gives `EPERM`, setting up does not (seccomp)",
        expected: "noticed at construction",
        cells: chosen_by(DENIED, "entering_is_denied_and_setting_up_is_not"),
    },
    Row {
        name: "denied_register",
        fault: "`io_uring_register` gives `EPERM`, setting up does not (seccomp)",
        expected: "noticed at construction",
        cells: chosen_by(DENIED, "registering_is_denied_and_setting_up_is_not"),
    },
    Row {
        name: "denied_later_eperm",
        fault: "`io_uring_enter` gives `EPERM` after the start, with operations in flight (supervisor)",
        expected: "`EPERM` for each, closes are performed, poll says `EPERM`; a new ring is another matter",
        cells: ring_only(on!(uring, ring::denied_after_the_start, Errno::PERM)),
    },
    Row {
        name: "denied_later_enosys",
        fault: "`io_uring_enter` gives `ENOSYS` after the start, with operations in flight (supervisor)",
        expected: "as for `EPERM`",
        cells: ring_only(on!(uring, ring::denied_after_the_start, Errno::NOSYS)),
    },
    Row {
        name: "sysctl_1",
        fault: "`kernel.io_uring_disabled` is 1, unprivileged",
        expected: "the sysctl is named; `Auto` takes another",
        cells: chosen_by(UNPRIVILEGED, "the_sysctl_is_named"),
    },
    Row {
        name: "sysctl_2",
        fault: "`kernel.io_uring_disabled` is 2, as root",
        expected: "the sysctl is named; `Auto` takes another",
        cells: [
            Cell::Here(denied::by_sysctl_2),
            Cell::Senseless("as in denied_enosys: makes no such call"),
            Cell::Senseless("as in denied_enosys: makes no such call"),
            Cell::Here(denied::auto_by_sysctl_2),
        ],
    },
    Row {
        name: "memlock",
        fault: "`RLIMIT_MEMLOCK` of 0 and 64 KiB, unprivileged",
        expected: "a ring, or its cause and another backend",
        cells: chosen_by(UNPRIVILEGED, "little_lockable_memory_is_no_failure"),
    },
    Row {
        name: "memlock_enomem",
        fault: "`io_uring_setup` gives `ENOMEM` (seccomp)",
        expected: "a typed error with its cause; `Auto` takes epoll and says why",
        cells: chosen_by(DENIED, "too_little_lockable_memory"),
    },
    Row {
        name: "opcode_missing",
        fault: "each opcode in turn is missing, then all (configuration)",
        expected: "the operation goes another way, with the same result; the report names it",
        cells: [
            Cell::Here(ring::one_opcode_missing),
            NO_RING,
            NO_RING,
            Cell::There(DENIED, "missing_opcodes_are_named"),
        ],
    },
    Row {
        name: "enter_eintr",
        fault: "`EINTR` from the 1st, 2nd, 3rd, every 2nd, every 7th `io_uring_enter`, and 20 times in a row (supervisor)",
        expected: "the results of a quiet run; what was dropped before the kernel had it is never done",
        cells: ring_only(on!(uring, ring::enter_answers, Answer::Fail(Errno::INTR))),
    },
    Row {
        name: "enter_eagain",
        fault: "the same with `EAGAIN`",
        expected: "as for `EINTR`",
        cells: ring_only(on!(uring, ring::enter_answers, Answer::Fail(Errno::AGAIN))),
    },
    Row {
        name: "enter_enomem",
        fault: "the same with `ENOMEM`",
        expected: "as for `EINTR`",
        cells: ring_only(on!(uring, ring::enter_answers, Answer::Fail(Errno::NOMEM))),
    },
    Row {
        name: "enter_ebusy",
        fault: "the same with `EBUSY`",
        expected: "as for `EINTR`",
        cells: ring_only(on!(uring, ring::enter_answers, Answer::Fail(Errno::BUSY))),
    },
    Row {
        name: "enter_takes_none",
        fault: "the same with 0: nothing is submitted and nothing said (supervisor)",
        expected: "as for `EINTR`",
        cells: ring_only(on!(uring, ring::enter_answers, Answer::Return(0))),
    },
    Row {
        name: "enter_takes_half",
        fault: "`io_uring_enter` takes half of each batch (the supervisor enters with half the count)",
        expected: "the rest goes with the next",
        cells: ring_only(Cell::Here(|| ring::half_is_taken(&uring::old()))),
    },
    Row {
        name: "enter_stops_at_bad",
        fault: "the kernel takes a batch up to an entry it refuses (old set of flags, no path)",
        expected: "its error for that one; the rest goes without another call",
        cells: ring_only(Cell::Here(|| ring::a_bad_entry_in_mid_batch(&uring::old()))),
    },
    Row {
        name: "cancel_answers",
        fault: "a cancel is answered with 0, `ENOENT` and `EALREADY`, of a read that is done, was given up by the kernel, and still waits (the supervisor puts a no-op with that answer in the cancel's place)",
        expected: "the read ends when the kernel ends it, with the kernel's result, whatever the cancel was told; no byte is lost",
        cells: ring_only(on!(uring, cancels::answered)),
    },
    Row {
        name: "cq_overflow",
        fault: "500 completions at one moment and 5000 more for a queue of 2",
        expected: "all arrive",
        cells: ring_only(Cell::Here(|| uring::narrow().iter().for_each(ring::overflow))),
    },
    Row {
        name: "no_worker",
        fault: "the kernel cannot start a worker for the ring (`RLIMIT_NPROC` of 0, unprivileged)",
        expected: "the results of a kernel that can; nothing that nobody cancelled is `ECANCELED`",
        cells: ring_only(on!(uring, ring::no_worker)),
    },
    Row {
        name: "eintr_each_call",
        fault: "`EINTR` from each system call of a load in turn, from every 2nd and every 3rd (supervisor)",
        expected: "the results of a quiet run",
        cells: on_each!(calls::interrupted),
    },
    Row {
        name: "eintr_storm",
        fault: "a timer at 2 kHz without `SA_RESTART` while the suite runs",
        expected: "the suite passes",
        cells: [
            Cell::Here(|| signals::suite_in_a_storm(&uring::shared()[0])),
            Cell::Here(|| signals::suite_in_a_storm(&epoll::offloaded()[0])),
            Cell::Here(|| signals::suite_in_a_storm(&four_workers())),
            THROUGH,
        ],
    },
    Row {
        name: "emfile",
        fault: "open, socket and accept at the limit of descriptors (`RLIMIT_NOFILE`)",
        expected: "`EMFILE`; the connection is not lost",
        cells: on_each!(descriptors::none_left_for_an_operation),
    },
    Row {
        name: "emfile_construction",
        fault: "room for 0, 1, 2… descriptors at construction (`RLIMIT_NOFILE`)",
        expected: "`EMFILE` until there is room",
        cells: [
            Cell::Here(|| descriptors::none_left_at_construction(descriptors::uring)),
            Cell::Here(|| descriptors::none_left_at_construction(descriptors::epoll)),
            Cell::Here(|| descriptors::none_left_at_construction(descriptors::pool)),
            Cell::There(DENIED, "no_descriptor_left"),
        ],
    },
    Row {
        name: "emfile_renewal",
        fault: "the same for a forked child that makes its backend new",
        expected: "`EMFILE` until there is room",
        cells: on_each!(descriptors::none_left_at_renewal),
    },
    Row {
        name: "enomem_construction",
        fault: "each system call of a construction in turn gives `ENOMEM` (supervisor)",
        expected: "`ENOMEM`, or the call was not needed",
        cells: [
            Cell::Here(|| descriptors::no_memory_at_construction(descriptors::uring)),
            Cell::Here(|| descriptors::no_memory_at_construction(descriptors::epoll)),
            Cell::Here(|| descriptors::no_memory_at_construction(descriptors::pool)),
            Cell::There(DENIED, "too_little_lockable_memory"),
        ],
    },
    Row {
        name: "no_thread",
        fault: "the 1st, 2nd… thread of io-std cannot be started (`EAGAIN` from `clone`, supervisor)",
        expected: "the next backend, or an error with every reason",
        cells: [
            Cell::Senseless("starts no thread"),
            Cell::Senseless("starts no thread"),
            Cell::Senseless("starts no thread"),
            Cell::Here(denied::no_thread_to_be_had),
        ],
    },
    Row {
        name: "no_room_to_wait",
        fault: "`epoll_ctl` gives `ENOSPC`, then `ENOMEM` (supervisor)",
        expected: "that error for what would have to wait, and no thread held up",
        cells: [
            Cell::Senseless("waits in the ring"),
            on!(epoll, calls::no_room_to_wait, Errno::NOSPC; calls::no_room_to_wait, Errno::NOMEM),
            on!(pool, calls::no_room_to_wait, Errno::NOSPC; calls::no_room_to_wait, Errno::NOMEM),
            THROUGH,
        ],
    },
    Row {
        name: "enospc",
        fault: "a vectored write for which there is room up to its third piece (tmpfs of 64 KiB)",
        expected: "the plain call's count, then `ENOSPC`",
        cells: on_each!(storage::no_space),
    },
    Row {
        name: "efbig",
        fault: "a write across the limit on the size of files, and behind it (`RLIMIT_FSIZE`)",
        expected: "the plain call's count, then `EFBIG`",
        cells: on_each!(storage::file_too_large),
    },
    Row {
        name: "eio",
        fault: "a read of `/proc/self/mem` where nothing is mapped",
        expected: "`EIO`",
        cells: on_each!(storage::no_such_memory),
    },
    Row {
        name: "eio_file",
        fault: "a file whose second half cannot be read, written or synced (FUSE)",
        expected: "`EIO` there, and the count up to there",
        cells: on_each!(storage::a_broken_file),
    },
    Row {
        name: "short_writes",
        fault: "a file that takes at most 1000 bytes at a time (FUSE)",
        expected: "the plain call's count",
        cells: on_each!(storage::short_writes),
    },
    Row {
        name: "short_reads",
        fault: "a file that gives and takes at most 1000 bytes at a time at its position (FUSE, unbuffered)",
        expected: "the plain call's count; the position follows",
        cells: [
            Cell::NotTried(
                "the kernel's ring goes on by itself there, and reads the same place again: \
                 wrong data and a position that stays, also without this library (6.18)",
            ),
            on!(epoll, storage::short_reads),
            on!(pool, storage::short_reads),
            THROUGH,
        ],
    },
    Row {
        name: "peer_reset",
        fault: "a peer resets the connection (`SO_LINGER` of 0): receives, sends and polls before and after",
        expected: "`ECONNRESET` once, then 0; `EPIPE`; `POLLHUP`",
        cells: on_each!(peers::peer_resets, peers::peer_resets_a_full_connection),
    },
    Row {
        name: "closed_under",
        fault: "a descriptor closed behind the backend's back, with operations waiting",
        expected: "a documented end for each",
        cells: there(CLOSE, "closed_behind_our_back"),
    },
    Row {
        name: "replaced_under",
        fault: "the same, with the number reused",
        expected: "never the new file's data",
        cells: there(CLOSE, "replaced_behind_our_back"),
    },
    Row {
        name: "fork_each_call",
        fault: "a fork in the middle of each system call (the supervisor forks)",
        expected: "a child finds the backend dead and makes it new; the parent's results are those of a run without forks",
        cells: on_each!(forks::in_each_call),
    },
    Row {
        name: "fork_storm",
        fault: "forks at random points from another thread",
        expected: "the same",
        cells: there(FORK, "a_storm_of_forks_loses_nothing"),
    },
    Row {
        name: "stop_continue",
        fault: "`SIGSTOP` and `SIGCONT` from another process, with waits and deadlines in flight",
        expected: "the results of a quiet run; no deadline early",
        cells: on_each!(signals::stopped),
    },
    Row {
        name: "thread_exit",
        fault: "the thread that submitted exits with operations in flight",
        expected: "the results of a thread that stays",
        cells: there(THREADS, "a_submitter_may_exit_at_once"),
    },
    Row {
        name: "block_device_eio",
        fault: "a disk that fails below the page cache (dm-flakey, null_blk)",
        expected: "",
        cells: not_tried("the kernels that this was run on have neither"),
    },
    Row {
        name: "allocation_failure",
        fault: "the kernel's own allocations fail (`failslab`, `fail_page_alloc`)",
        expected: "",
        cells: not_tried(
            "needs a kernel with fault injection; the supervisor gives the errors without the failures",
        ),
    },
    Row {
        name: "enfile",
        fault: "the system's table of files is full (`fs.file-max`)",
        expected: "",
        cells: not_tried("it would be full for the whole machine; root is exempt"),
    },
    Row {
        name: "unkillable_sleep",
        fault: "a network file system that does not answer (state D)",
        expected: "",
        cells: not_tried("nothing here gives a sleep that no signal ends"),
    },
];

/// The name of a cell.
pub(crate) fn name(row: &Row, column: usize) -> String {
    format!("{}::{}", row.name, COLUMNS[column])
}

fn cells() -> impl Iterator<Item = (String, &'static Row, Cell)> {
    let row = |row: &'static Row| {
        row.cells.iter().enumerate().map(move |(column, cell)| (name(row, column), row, *cell))
    };
    ROWS.iter().flat_map(row)
}

/// Is the cell of this name.
pub(crate) fn be(wanted: &str) -> ExitCode {
    let found = cells().find_map(|(name, row, cell)| match cell {
        Cell::Here(body) if name == wanted => Some(Process { name: row.name, body }),
        _ => None,
    });
    found.map_or(ExitCode::FAILURE, Process::be)
}

/// A trial for each cell that says anything.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, row, cell): (String, &'static Row, Cell)| match cell {
        Cell::Here(body) => {
            let inside = name.clone();
            let process = Process { name: row.name, body };
            Some(Trial::ignorable_test(name, move || process.run(&inside)))
        }
        Cell::There(file, test) => Some(Trial::test(name, move || is_there(file, test))),
        Cell::NotTried(why) => {
            Some(Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why))))
        }
        Cell::Senseless(_) => None,
    };
    cells().filter_map(trial).collect()
}

/// That a test which is said to be somewhere is there.
fn is_there(file: &str, test: &str) -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    let begins = format!("fn {test}");
    let found =
        text.lines().any(|line| line.trim_start().trim_start_matches("pub ").starts_with(&begins));
    if found { Ok(()) } else { Err(Failed::from(format!("{file} has no {test}"))) }
}
