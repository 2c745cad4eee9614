//! Operations where a thread's locals are being destroyed, and where the process ends: they work, end or are dropped as
//! anywhere else, and nothing hangs. Each in a process of its own, which is this program again.
#![allow(unsafe_code, reason = "asks to be called at exit, and ends the process there")]
//! # Safety
//! The handlers are functions of this program, and use what lives for ever.

use core::cell::RefCell;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use io_conformance::Desc;
use io_conformance::fault::{Cell, chosen};
use io_core::IoBackend;
use io_core::ops::Ops;
use io_epoll_backend::{EpollBackend, LocalEpoll};
use io_pool_backend::{LocalPool, PoolBackend, Worker};
use io_std::{Backend, Io};
use io_uring_backend::{Config, Local, Shared, UringBackend};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread;

const CELLS: &[Cell] = &[
    Cell { name: "locals_use_a_backend::pool", body: || locals_use(pool()) },
    Cell { name: "locals_use_a_backend::pool_no_workers", body: || locals_use(idle_pool()) },
    Cell { name: "locals_use_a_backend::epoll", body: || locals_use(epoll()) },
    Cell { name: "locals_use_a_backend::uring", body: || locals_use(uring()) },
    Cell { name: "locals_use_a_backend::io_std", body: locals_use_io_std },
    Cell { name: "locals_hold_a_backend::local_pool", body: || locals_hold(LocalPool::new) },
    Cell { name: "locals_hold_a_backend::local_epoll", body: || locals_hold(LocalEpoll::new) },
    Cell {
        name: "locals_hold_a_backend::local_uring",
        body: || locals_hold(|| UringBackend::<Local>::new(&Config::new())),
    },
    Cell { name: "locals_hold_a_backend::io_std", body: locals_hold_io_std },
    Cell { name: "exit_with_work_in_flight::pool", body: || at_exit(pool()) },
    Cell { name: "exit_with_work_in_flight::pool_no_workers", body: || at_exit(idle_pool()) },
    Cell { name: "exit_with_work_in_flight::epoll", body: || at_exit(epoll()) },
    Cell { name: "exit_with_work_in_flight::uring", body: || at_exit(uring()) },
    Cell { name: "exit_with_work_in_flight::io_std_pool", body: || io_std_at_exit(Backend::Pool) },
    Cell {
        name: "exit_with_work_in_flight::io_std_epoll",
        body: || io_std_at_exit(Backend::Epoll),
    },
    Cell {
        name: "exit_with_work_in_flight::io_std_uring",
        body: || io_std_at_exit(Backend::Uring),
    },
];

/// How long a process may take, in seconds: one that hangs, also after `main`, dies of `SIGALRM`.
const LIMIT: u32 = 60;
/// What `main` says in a process whose handler has the last word.
const NOT_YET: u8 = 9;

fn main() -> ExitCode {
    if let Some(name) = chosen() {
        // SAFETY: takes a number.
        unsafe { libc::alarm(LIMIT) };
        let cell = CELLS.iter().find(|cell| cell.name == name).expect("a cell of this name");
        let ended = cell.be();
        return if AT_EXIT.get().is_some() { ExitCode::from(NOT_YET) } else { ended };
    }
    let trial = |cell: &'static Cell| Trial::ignorable_test(cell.name, move || cell.run(cell.name));
    libtest_mimic::run(&Arguments::from_args(), CELLS.iter().map(trial).collect()).exit_code()
}

fn leaked<B>(backend: B) -> Pin<&'static B> {
    Pin::static_ref(Box::leak(Box::new(backend)))
}

fn idle_pool() -> Pin<&'static PoolBackend> {
    leaked(PoolBackend::new().expect("a pool"))
}

fn pool() -> Pin<&'static PoolBackend> {
    let pool = idle_pool();
    pool.start().expect("start");
    for _ in 0..2 {
        let worker = Worker::new(pool.get_ref());
        thread::spawn(move || worker.run());
    }
    pool
}

fn epoll() -> Pin<&'static EpollBackend> {
    leaked(EpollBackend::new().expect("a backend"))
}

fn uring() -> Pin<&'static UringBackend<Shared>> {
    match UringBackend::<Shared>::new(&Config::new()) {
        Ok(ring) => leaked(ring),
        Err(error) => io_conformance::fault::not_here(error.to_string()),
    }
}

/// What the operations work on: made before, because making them may use a thread's locals.
struct Props {
    file: Desc,
    pipe: (Desc, Desc),
}

impl Props {
    fn new() -> Props {
        Props { file: Desc::file(b"0123456789"), pipe: Desc::pipe() }
    }
}

/// Submitted and waited for, awaited by polls, cancelled, and dropped in flight.
fn work<B: IoBackend>(backend: Pin<&'static B>, props: &Props) {
    let (reader, writer) = &props.pipe;
    assert_eq!(pin!(backend.nop()).wait(), Some(Ok(())));
    let read = pin!(backend.pread(props.file.clone(), [0_u8; 4], 3)).wait();
    assert_eq!(read, Some((Ok(4), *b"3456")));
    let mut dropped = Box::pin(backend.read(reader.clone(), [0_u8; 4]));
    dropped.as_mut().submit().expect("submit");
    drop(dropped);
    let mut cancelled = pin!(backend.read(reader.clone(), [0_u8; 4]));
    cancelled.as_mut().submit().expect("submit");
    cancelled.as_mut().cancel();
    let cancelled = cancelled.as_mut().wait().expect("a result").0;
    assert_eq!(cancelled, Err(io_core::Errno::CANCELED));
    let mut read = pin!(backend.read(reader.clone(), [0_u8; 4]));
    read.as_mut().submit().expect("submit");
    writer.put(b"data");
    assert_eq!(read.as_mut().wait(), Some((Ok(4), *b"data")));
}

/// Runs something when its thread's locals are destroyed.
struct Late(Option<Box<dyn FnOnce()>>);

impl Drop for Late {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
            DESTROYED.store(true, Ordering::SeqCst);
        }
    }
}

static DESTROYED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
}

/// Runs `early` on a thread, and `late` in the destructor of one of its locals; this one drives meanwhile: a ring's other
/// threads wait for its owner. Both are over when this returns.
fn on_a_thread_that_ends(
    drive: impl Fn(),
    early: impl FnOnce() + Send,
    late: impl FnOnce() + Send + 'static,
) {
    DESTROYED.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        let body = || {
            LATE.with(|local| local.borrow_mut().0 = Some(Box::new(late)));
            early();
        };
        // Joined by hand: a scope does not wait for the destructors.
        let ends = scope.spawn(body);
        while !DESTROYED.load(Ordering::SeqCst) {
            drive();
        }
        ends.join().expect("the thread, and its destructors");
    });
}

/// What a thread does that has nothing to drive.
fn nothing() {
    thread::yield_now();
}

/// A destructor is the first to use the backend, and the last after others; another thread goes on with it.
fn locals_use<B: IoBackend + Sync>(backend: Pin<&'static B>) {
    let drive = || {
        backend.poll(Some(Duration::from_millis(1))).expect("poll");
    };
    drive();
    for used_before in [false, true] {
        let (early, late) = (Props::new(), Props::new());
        let first = || {
            if used_before {
                work(backend, &early)
            }
        };
        on_a_thread_that_ends(drive, first, move || work(backend, &late));
    }
    // What a thread left in flight in its locals ends there.
    let (reader, writer) = Desc::pipe();
    let inside = reader.clone();
    let first = || {
        let mut read = Box::pin(backend.read(inside, [0_u8; 4]));
        read.as_mut().submit().expect("submit");
        thread_local! {
            static HELD: RefCell<Option<Box<dyn core::any::Any>>> = const { RefCell::new(None) };
        }
        HELD.with(|held| *held.borrow_mut() = Some(Box::new(read)));
    };
    on_a_thread_that_ends(drive, first, || {});
    assert_eq!(backend.in_flight(), 0, "dropped with the thread's locals");
    writer.put(b"left");
    assert_eq!(reader.get(4), b"left");
    work(backend, &Props::new());
}

/// A backend in a thread's local is dropped with it, with work in flight that was forgotten.
fn locals_hold<B: IoBackend + 'static, E: core::fmt::Debug>(make: fn() -> Result<B, E>) {
    thread_local! {
        static HELD: RefCell<Option<Box<dyn core::any::Any>>> = const { RefCell::new(None) };
    }
    for used in [false, true] {
        let (reader, writer) = Desc::pipe();
        let (inside, props) = (reader.clone(), Props::new());
        let first = move || {
            let backend = Box::pin(make().expect("a backend"));
            if used {
                assert_eq!(pin!(backend.as_ref().nop()).wait(), Some(Ok(())));
                let read = pin!(backend.as_ref().pread(props.file.clone(), [0_u8; 4], 3)).wait();
                assert_eq!(read, Some((Ok(4), *b"3456")));
            }
            let mut read = Box::pin(backend.as_ref().read(inside, [0_u8; 4]));
            read.as_mut().submit().expect("submit");
            backend.poll(Some(Duration::ZERO)).expect("poll");
            core::mem::forget(read);
            HELD.with(|held| *held.borrow_mut() = Some(Box::new(backend)));
        };
        on_a_thread_that_ends(nothing, first, || {});
        writer.put(b"late");
        assert_eq!(reader.get(4), b"late", "nobody has read it");
    }
}

/// Every configuration of io-std that works here.
fn each_io(test: impl Fn(Io)) {
    for backend in [Backend::Pool, Backend::Epoll, Backend::Uring] {
        for driver in [false, true] {
            match Io::builder().backend(backend).driver(driver).build() {
                Ok(io) => test(io),
                Err(error) => println!("SKIPPED {}: {error}", backend.name()),
            }
        }
    }
}

fn read_by(io: &Io, props: &Props) {
    let file = props.file.clone();
    let read = io.block_on(async { io.pread(file, [0_u8; 4], 3).await });
    assert_eq!(read, (Ok(4), *b"3456"));
}

/// `block_on` in a destructor, of an `Io` of everybody's; also by the free functions, for which nothing is
/// current there.
fn locals_use_io_std() {
    each_io(|io| {
        let (props, inside) = (Props::new(), io.clone());
        let file = props.file.clone();
        let early = io.clone();
        let drive = || assert_eq!(io.block_on(io.sleep(Duration::from_millis(1))), Ok(()));
        // A ring without a driver is the first thread's that drives it, for life: not the one's that ends.
        drive();
        on_a_thread_that_ends(
            drive,
            || read_by(&early, &Props::new()),
            move || {
                read_by(&inside, &props);
                let guard = inside.enter();
                let read = inside.block_on(io_std::pread(file, [0_u8; 4], 3));
                assert_eq!(read, (Ok(4), *b"3456"));
                drop(guard);
            },
        );
        read_by(&io, &Props::new());
    });
}

/// The last `Io` is dropped by a destructor, with an operation in flight that was forgotten: its threads are joined
/// there.
fn locals_hold_io_std() {
    each_io(|io| {
        let (reader, writer) = Desc::pipe();
        let inside = reader.clone();
        on_a_thread_that_ends(
            nothing,
            || {},
            move || {
                let mut read = Box::pin(io.read(inside, [0_u8; 4]));
                read.as_mut().submit().expect("submit");
                read.as_mut().cancel();
                drop(read);
                drop(io);
            },
        );
        writer.put(b"late");
        assert_eq!(reader.get(4), b"late", "nobody has read it");
    });
}

/// What is called after `main`, and what is called after that.
static AT_EXIT: OnceLock<fn()> = OnceLock::new();
static WORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn work_at_exit() {
    AT_EXIT.get().expect("what to do")();
    WORKED.store(true, Ordering::SeqCst);
}

extern "C" fn last() {
    if WORKED.load(Ordering::SeqCst) {
        // SAFETY: takes a number.
        unsafe { libc::_exit(0) };
    }
}

/// Lets `work` be called after `main`, when the locals of the main thread are gone; other threads go on.
fn call_at_exit(work: fn()) {
    AT_EXIT.set(work).expect("one for each process");
    // They are called in the reverse order. A panic in one aborts.
    for handler in [last, work_at_exit] {
        // SAFETY: a function of this program.
        assert_eq!(unsafe { libc::atexit(handler) }, 0, "atexit");
    }
}

/// Threads that wait for ever in the backend, also while the process ends.
fn left_behind<B: IoBackend + Sync>(backend: Pin<&'static B>) {
    let (reader, writer) = Desc::pipe();
    // Never written to, and never closed.
    core::mem::forget(writer);
    for _ in 0..2 {
        let reader = reader.clone();
        thread::spawn(move || pin!(backend.read(reader, [0_u8; 4])).wait());
    }
    let mut read = Box::pin(backend.read(reader, [0_u8; 4]));
    read.as_mut().submit().expect("submit");
    // In flight to the last.
    core::mem::forget(read);
}

/// The process ends with operations in flight, threads that wait for them, and a handler that uses the backend.
fn at_exit<B: IoBackend + Sync>(backend: Pin<&'static B>) {
    trait Exits: Sync {
        fn work(&self);
    }
    struct Use<B: IoBackend + Sync + 'static>(Pin<&'static B>, Props);
    impl<B: IoBackend + Sync> Exits for Use<B> {
        fn work(&self) {
            work(self.0, &self.1);
        }
    }
    static USED: OnceLock<Box<dyn Exits + Send>> = OnceLock::new();
    assert!(USED.set(Box::new(Use(backend, Props::new()))).is_ok(), "one for each process");
    work(backend, &Props::new());
    left_behind(backend);
    call_at_exit(|| USED.get().expect("a backend").work());
}

static IO: OnceLock<(Io, Props)> = OnceLock::new();

/// The same with io-std and its threads, of an `Io` that is never dropped.
fn io_std_at_exit(backend: Backend) {
    let io = match Io::builder().backend(backend).build() {
        Ok(io) => io,
        Err(error) => io_conformance::fault::not_here(error.to_string()),
    };
    let (io, _) = IO.get_or_init(|| (io, Props::new()));
    read_by(io, &Props::new());
    let (reader, writer) = Desc::pipe();
    core::mem::forget(writer);
    thread::spawn(move || io.block_on(io.read(reader, [0_u8; 4])));
    call_at_exit(|| {
        let (io, props) = IO.get().expect("a backend");
        read_by(io, props);
        assert_eq!(io.stop(io_core::Deadline::NEVER), Ok(()), "also while the process ends");
    });
}
