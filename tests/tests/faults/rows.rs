//! The table: each fault, how it is made, what is expected, and what tries it in each column.

use crate::after::borne;
use crate::matrix::{Cell, Row};
use crate::support::{epoll, pool, uring};
use crate::{
    calls, cancels, denied, descriptors, forks, of_the_suite, own, peers, ring, signals, storage,
};
use io_conformance::fault::Answer;
use io_core::Errno;

/// Tries tests, which are generic functions with further arguments, on the column's variants; see [`borne`].
macro_rules! on {
    (uring, $($test:path $(, $argument:expr)*);+) => {
        Cell::Here(|| {
            let [shared, _, old, ..] = uring::shared();
            $(borne(shared.clone(), |fx| $test(fx $(, $argument)*));
            borne(old.clone(), |fx| $test(fx $(, $argument)*));)+
        })
    };
    (epoll, $($test:path $(, $argument:expr)*);+) => {
        Cell::Here(|| {
            let [offloaded, _] = epoll::offloaded();
            $(borne(epoll::alone(), |fx| $test(fx $(, $argument)*));
            borne(offloaded.clone(), |fx| $test(fx $(, $argument)*));)+
        })
    };
    (pool, $($test:path $(, $argument:expr)*);+) => {
        Cell::Here(|| {
            $(borne(four_workers(), |fx| $test(fx $(, $argument)*));
            borne(no_workers(), |fx| $test(fx $(, $argument)*));)+
        })
    };
}

/// Tries it on each backend; io-std does nothing of its own with it.
macro_rules! on_each {
    ($test:path, $argument:expr) => {
        [
            on!(uring, $test, $argument),
            on!(epoll, $test, $argument),
            on!(pool, $test, $argument),
            THROUGH,
        ]
    };
    ($($test:path);+) => {
        [on!(uring, $($test);+), on!(epoll, $($test);+), on!(pool, $($test);+), THROUGH]
    };
}

/// As [`on_each`], for system calls that the kernel's ring makes itself: its variant without opcodes.
macro_rules! on_each_that_calls {
    ($test:path) => {
        [
            Cell::Here(|| {
                let [.., masked] = uring::shared();
                borne(masked, $test);
            }),
            on!(epoll, $test),
            on!(pool, $test),
            THROUGH,
        ]
    };
}

const THROUGH: Cell = Cell::Senseless("io-std hands results through");
const NO_RING: Cell = Cell::Senseless("enters no ring");
/// The choice of a backend meets it; epoll and the pool do not ask for a ring, which is shown once.
const fn of_the_choice(uring: fn(), auto: fn()) -> [Cell; 4] {
    let elsewhere = Cell::Senseless("as in denied_enosys: makes no such call");
    [Cell::Here(uring), elsewhere, elsewhere, Cell::Here(auto)]
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
            Cell::Here(|| denied::ring(&denied::SETUP_ENOSYS)),
            on!(epoll, denied::never_asked),
            on!(pool, denied::never_asked),
            Cell::Here(|| denied::auto(&denied::SETUP_ENOSYS)),
        ],
    },
    Row {
        name: "denied_eperm",
        fault: "`io_uring_setup` gives `EPERM` (seccomp)",
        expected: "a typed error with its cause; `Auto` takes epoll and says why",
        cells: of_the_choice(
            || denied::ring(&denied::SETUP_EPERM),
            || denied::auto(&denied::SETUP_EPERM),
        ),
    },
    Row {
        name: "denied_enter",
        fault: "`io_uring_enter` gives `EPERM`, setting up does not (seccomp)",
        expected: "noticed at construction",
        cells: of_the_choice(
            || denied::ring(&denied::ENTER_EPERM),
            || denied::auto(&denied::ENTER_EPERM),
        ),
    },
    Row {
        name: "denied_register",
        fault: "`io_uring_register` gives `EPERM`, setting up does not (seccomp)",
        expected: "noticed at construction",
        cells: of_the_choice(
            || denied::ring(&denied::REGISTER_EPERM),
            || denied::auto(&denied::REGISTER_EPERM),
        ),
    },
    Row {
        name: "denied_later_eperm",
        fault: "`io_uring_enter` gives `EPERM` after the start, with operations in flight (supervisor)",
        expected: "`EPERM` for each, closes are performed, poll says `EPERM`; a new ring is another matter",
        cells: ring_only(Cell::Here(|| ring::denied_later(Errno::PERM))),
    },
    Row {
        name: "denied_later_enosys",
        fault: "`io_uring_enter` gives `ENOSYS` after the start, with operations in flight (supervisor)",
        expected: "as for `EPERM`",
        cells: ring_only(Cell::Here(|| ring::denied_later(Errno::NOSYS))),
    },
    Row {
        name: "sysctl_1",
        fault: "`kernel.io_uring_disabled` is 1, unprivileged",
        expected: "the sysctl is named; `Auto` takes another",
        cells: of_the_choice(denied::by_sysctl_1, denied::auto_by_sysctl_1),
    },
    Row {
        name: "sysctl_2",
        fault: "`kernel.io_uring_disabled` is 2, as root",
        expected: "the sysctl is named; `Auto` takes another",
        cells: of_the_choice(denied::by_sysctl_2, denied::auto_by_sysctl_2),
    },
    Row {
        name: "memlock",
        fault: "`RLIMIT_MEMLOCK` of 0 and 64 KiB, unprivileged",
        expected: "a ring, or its cause and another backend",
        cells: of_the_choice(denied::little_to_lock, denied::auto_with_little_to_lock),
    },
    Row {
        name: "memlock_enomem",
        fault: "`io_uring_setup` gives `ENOMEM` (seccomp)",
        expected: "a typed error with its cause; `Auto` takes epoll and says why",
        cells: of_the_choice(
            || denied::ring(&denied::SETUP_ENOMEM),
            || denied::auto(&denied::SETUP_ENOMEM),
        ),
    },
    Row {
        name: "opcode_missing",
        fault: "each opcode in turn is missing, then all (configuration)",
        expected: "the operation goes another way, with the same result; the report names it",
        cells: [
            Cell::Here(ring::one_opcode_missing),
            NO_RING,
            NO_RING,
            Cell::Here(denied::missing_opcodes_are_named),
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
        cells: ring_only(Cell::Here(|| borne(uring::old(), ring::half_is_taken))),
    },
    Row {
        name: "enter_stops_at_bad",
        fault: "the kernel takes a batch up to an entry it refuses (old set of flags, no path)",
        expected: "its error for that one; the rest goes without another call",
        cells: ring_only(Cell::Here(|| borne(uring::old(), ring::a_bad_entry_in_mid_batch))),
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
        cells: ring_only(Cell::Here(|| {
            uring::narrow().into_iter().for_each(|fx| borne(fx, ring::overflow))
        })),
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
        name: "eintr_partial",
        fault: "signals every 100 µs while writes of 300 kB fill a pipe that is read page by page",
        expected: "what the results say is what arrives, in order",
        cells: on_each!(signals::cut_short),
    },
    Row {
        name: "spurious_wake",
        fault: "each `epoll_wait`, `ppoll`, `futex` wait of a load in turn is over at once, with 0; every 2nd, every 3rd",
        expected: "the results of a quiet run",
        cells: [
            Cell::Senseless("waits by `io_uring_enter`: enter_takes_none"),
            on!(epoll, calls::spurious),
            on!(pool, calls::spurious),
            THROUGH,
        ],
    },
    Row {
        name: "ready_and_eagain",
        fault: "each read and write of a pipe or socket in turn finds that somebody was faster (`EAGAIN`, supervisor)",
        expected: "the results of a quiet run",
        cells: on_each_that_calls!(calls::ready_and_yet_not),
    },
    Row {
        name: "enomem_each_op",
        fault: "`ENOMEM` from the system call of each operation in turn (supervisor)",
        expected: "`ENOMEM` for that operation and no other",
        cells: on_each_that_calls!(calls::no_memory_for_one),
    },
    Row {
        name: "close_fails",
        fault: "`close` gives `EINTR`, then `EIO`, has closed, and the number is another file's by then (supervisor)",
        expected: "0, then `EIO`; nothing is closed twice",
        cells: on_each_that_calls!(calls::close_fails),
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
            Cell::Here(|| denied::auto(&denied::SETUP_EMFILE)),
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
            Cell::Here(|| denied::auto(&denied::SETUP_ENOMEM)),
        ],
    },
    Row {
        name: "address_space",
        fault: "room for 0, 1, 2… pages at construction (`RLIMIT_AS`)",
        expected: "`ENOMEM` until there is room",
        cells: [
            Cell::Here(|| descriptors::no_address_space_at_construction(descriptors::uring, 1)),
            Cell::Here(|| descriptors::no_address_space_at_construction(descriptors::epoll, 0)),
            Cell::Here(|| descriptors::no_address_space_at_construction(descriptors::pool, 0)),
            Cell::NotTried(
                "a new thread that finds no memory for itself ends the process, in the standard library",
            ),
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
        cells: on_each!(storage::a_broken_file, Errno::IO),
    },
    Row {
        name: "enospc_file",
        fault: "the same with `ENOSPC`, also from the sync",
        expected: "as for `EIO`",
        cells: on_each!(storage::a_broken_file, Errno::NOSPC),
    },
    Row {
        name: "edquot_file",
        fault: "the same with `EDQUOT`",
        expected: "as for `EIO`",
        cells: on_each!(storage::a_broken_file, Errno::DQUOT),
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
        name: "unkillable_sleep",
        fault: "a file that does not answer: whoever reads it sleeps so that no signal ends it (FUSE; for uring with a cache, because without one the kernel's ring itself waits in `io_uring_enter`)",
        expected: "everything else goes on; a cancel and a deadline wait for the answer",
        cells: [
            // Without a cache the kernel's ring (6.18) reads inside `io_uring_enter`, which does not return.
            on!(uring, storage::no_answer, true),
            Cell::Here(|| borne(epoll::offloaded()[0].clone(), |fx| storage::no_answer(fx, false))),
            Cell::Here(|| borne(four_workers(), |fx| storage::no_answer(fx, false))),
            THROUGH,
        ],
    },
    Row {
        name: "peer_reset",
        fault: "a peer resets the connection (`SO_LINGER` of 0): receives, sends and polls before and after",
        expected: "`ECONNRESET` once, then 0; `EPIPE`; `POLLHUP`",
        cells: on_each!(peers::peer_resets; peers::peer_resets_a_full_connection),
    },
    Row {
        name: "closed_under",
        fault: "a descriptor closed behind the backend's back, with operations waiting",
        expected: "a documented end for each",
        cells: on_each!(of_the_suite::closed_under),
    },
    Row {
        name: "replaced_under",
        fault: "the same, with the number reused",
        expected: "never the new file's data",
        cells: on_each!(of_the_suite::replaced_under),
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
        cells: on_each!(of_the_suite::fork_storm),
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
        cells: on_each!(of_the_suite::thread_exit),
    },
    Row {
        name: "own_closed",
        fault: "the backend's own descriptors closed behind its back, as by a program that closes all",
        expected: "`EBADF` from poll and for what waits; then drop and stop return, but a ring never hands back what the kernel may be in the middle of, such as a read of a file; a file that has taken the number keeps it",
        cells: [Cell::Here(own::ring), Cell::Here(own::epoll), Cell::Here(own::pool), THROUGH],
    },
    Row {
        name: "frozen",
        fault: "the process is frozen and thawed by its control group",
        expected: "",
        cells: not_tried(
            "stop_continue without the signals; a test that dies in between leaves itself frozen for ever",
        ),
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
];
