//! Lost wake-ups and stuck threads: each test puts threads in the places where one was once forgotten, and
//! looks for the one that nobody serves.
//!
//! No test sleeps to win a race: a thread's place is asked for (it has joined, it is asleep in the kernel),
//! and what must happen is polled for with a deadline. What hangs all the same is aborted by name.
#![cfg(not(miri))]
#![allow(
    unsafe_code,
    reason = "descriptors change owners, and a callback gets its context by address"
)]
//! # Safety
//! Descriptors come from `into_raw_fd`, which gives them up; what a callback's context points to is leaked.

use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::{AcceptFlags, MsgFlags};
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Errno, Fd, IoBackend, IoFd, OpenFlags, OwnedFd, Phase, RawOps};
use io_pool_backend::{PoolBackend, Worker};
use leaked::leaked;
use std::ffi::CString;
use std::io::{Write, stderr};
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Barrier};
use std::task::Wake;
use std::thread::{self, JoinHandle};
use std::time::Instant;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

/// A pool that is never freed, so that a test that fails leaves no thread without it.
type Pool = Pin<&'static PoolBackend>;

/// What a test has: a pool, lent threads that go home when it ends, and an end to its patience.
struct Rig {
    pool: Pool,
    workers: Vec<Sleeper>,
    _watchdog: Sender<()>,
}

impl Rig {
    /// A pool with this many lent threads, all of them asleep.
    fn new(name: &'static str, workers: usize) -> Rig {
        let pool = Pin::static_ref(leaked(Box::new(PoolBackend::new().expect("a pool"))));
        let lend = |_| {
            let worker = Worker::new(pool);
            Sleeper::spawn(move || worker.run())
        };
        let rig = Rig { pool, workers: (0..workers).map(lend).collect(), _watchdog: watch(name) };
        eventually("the lent threads join", || pool.workers() == workers);
        rig.until_idle();
        rig
    }

    fn until_idle(&self) {
        eventually("the workers rest", || self.workers.iter().all(Sleeper::is_asleep));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.pool.release_workers();
    }
}

/// Aborts with the test's name after 20 s, unless the sender is dropped.
fn watch(name: &'static str) -> Sender<()> {
    let (alive, over) = mpsc::channel::<()>();
    thread::spawn(move || {
        if over.recv_timeout(Duration::from_secs(20)) == Err(RecvTimeoutError::Timeout) {
            say(&format!("{name} hangs, aborting"));
            std::process::abort();
        }
    });
    alive
}

/// To the terminal also when the test's output is captured: an abort would lose that.
fn say(message: &str) {
    // With no terminal there is nobody to tell.
    let _ = writeln!(stderr(), "{message}");
}

/// Waits until `done`; fails, by this description, if that takes seconds.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > Duration::from_secs(5) {
            say(&format!("never happened: {what}"));
            panic!("never happened: {what}");
        }
        thread::yield_now();
    }
}

/// A thread that can be asked whether it sleeps in the kernel.
struct Sleeper {
    thread: JoinHandle<()>,
    stat: String,
}

impl Sleeper {
    fn spawn(body: impl FnOnce() + Send + 'static) -> Sleeper {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let number = rustix::thread::gettid().as_raw_nonzero();
            sender.send(number).expect("who spawned it waits");
            body();
        });
        let number = receiver.recv().expect("the thread's number");
        Sleeper { thread, stat: format!("/proc/self/task/{number}/stat") }
    }

    /// Whether it sleeps. What the tests run sleeps nowhere but in a park.
    fn is_asleep(&self) -> bool {
        std::fs::read_to_string(&self.stat).is_ok_and(|stat| stat.contains(") S "))
    }

    /// Waits until it sleeps or is over.
    fn settle(&self) {
        eventually("a thread settles", || self.is_asleep() || self.thread.is_finished());
    }
}

/// A FIFO, removed when the test ends. Opening one end blocks until the other is opened too.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Fifo {
        let path = std::env::temp_dir().join(format!("io-pool-{name}-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        Fifo(path)
    }

    fn path(&self) -> CString {
        CString::new(self.0.as_os_str().as_bytes()).expect("no NUL")
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        // Left over in the temporary directory at worst.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A counted owner of a descriptor.
#[derive(Clone)]
struct Counted(Arc<OwnedFd>);

// SAFETY: the number is that of one owner, which stays for as long as a clone does, or is forgotten.
unsafe impl IoFd for Counted {
    fn fd(&self) -> Fd {
        self.0.fd()
    }
}

fn owned(fd: impl IntoRawFd) -> Counted {
    // SAFETY: `into_raw_fd` gives the ownership up.
    Counted(Arc::new(unsafe { OwnedFd::from_raw(Fd::new(fd.into_raw_fd()), close_fd) }))
}

/// Two jobs that need each other, given one after the other to two workers that sleep: the second job's
/// wake must not go to the worker that was just woken for the first.
#[test]
fn two_blocking_jobs_get_two_sleeping_workers() {
    let rig = Rig::new("two_blocking_jobs_get_two_sleeping_workers", 2);
    let fifo = Fifo::new("two-jobs");
    for _ in 0..20 {
        rig.until_idle();
        let mut reader = Box::pin(rig.pool.open(fifo.path(), OpenFlags::RDONLY, 0));
        let mut writer = Box::pin(rig.pool.open(fifo.path(), OpenFlags::WRONLY, 0));
        reader.as_mut().submit().expect("submit");
        writer.as_mut().submit().expect("submit");
        eventually("both ends are open", || {
            reader.phase() == Phase::Done && writer.phase() == Phase::Done
        });
        assert!(reader.as_mut().wait().expect("a result").is_ok());
        assert!(writer.as_mut().wait().expect("a result").is_ok());
    }
}

/// Three threads are the first to wait on one new socket, at once: each of them is in epoll's eyes, however
/// the registration was shared out.
#[test]
fn first_receives_on_one_socket_at_once_are_all_served() {
    let rig = Rig::new("first_receives_on_one_socket_at_once_are_all_served", 1);
    for _ in 0..300 {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let near = owned(near);
        let together = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let near = near.clone();
                    let mut recv = pin!(rig.pool.recv(near, [0_u8; 1], MsgFlags::empty()));
                    together.wait();
                    recv.as_mut().submit().expect("submit");
                    together.wait();
                    eventually("a receive gets its byte", || recv.phase() == Phase::Done);
                });
            }
            together.wait();
            together.wait();
            far.write_all(b"xyz").expect("three bytes");
        });
    }
}

/// A waker that ends its thread's poll by way of the pool's wake handle.
struct Nudge {
    pool: Pool,
    woken: AtomicBool,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.pool.wake_handle().wake();
    }
}

fn block_on<T: Future>(pool: Pool, future: T) -> T::Output {
    let nudge = Arc::new(Nudge { pool, woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&nudge));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !nudge.woken.swap(false, Ordering::SeqCst) {
            pool.poll(None).expect("poll");
        }
    }
}

/// Four threads block, each in its own poll; their futures become ready together. A wake that one of them
/// eats is missed by the one it was for.
#[test]
fn every_thread_in_poll_sees_every_wake() {
    const THREADS: usize = 4;
    let rig = Rig::new("every_thread_in_poll_sees_every_wake", 1);
    for _ in 0..300 {
        let back = AtomicUsize::new(0);
        thread::scope(|scope| {
            let mut writers = Vec::new();
            for _ in 0..THREADS {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                writers.push(writer);
                let (back, pool) = (&back, rig.pool);
                scope.spawn(move || {
                    assert_eq!(block_on(pool, pool.read(owned(reader), [0_u8; 1])), (Ok(1), *b"x"));
                    back.fetch_add(1, Ordering::SeqCst);
                });
            }
            eventually("all wait", || rig.pool.counters().queued_now == THREADS as u64);
            for writer in &mut writers {
                writer.write_all(b"x").expect("a byte");
            }
            eventually("all are back", || back.load(Ordering::SeqCst) == THREADS);
        });
    }
}

/// What is ready to deliver goes to a thread in poll when no worker comes for it.
#[test]
fn a_poller_delivers_while_every_worker_is_stuck() {
    static CALLED: AtomicBool = AtomicBool::new(false);
    let rig = Rig::new("a_poller_delivers_while_every_worker_is_stuck", 1);
    let pool = rig.pool;
    let fifo = Fifo::new("stuck");
    let mut open = Box::pin(pool.open(fifo.path(), OpenFlags::RDONLY, 0));
    open.as_mut().submit().expect("submit");
    eventually("the worker is stuck", || pool.counters().in_kernel_now == 1);
    let poller = Sleeper::spawn(move || {
        while !CALLED.load(Ordering::SeqCst) {
            pool.poll(None).expect("poll");
        }
    });
    poller.settle();
    let mut nop = Box::pin(pool.nop());
    let called = |_: *mut (), _: i64| CALLED.store(true, Ordering::SeqCst);
    nop.as_mut().submit_with_callback(called, core::ptr::null_mut()).expect("submit");
    eventually("the callback runs", || CALLED.load(Ordering::SeqCst));
    eventually("poll returns", || poller.thread.is_finished());
    assert_ne!(open.phase(), Phase::Done, "the worker was not stuck");
    let peer = std::fs::File::options().write(true).open(&fifo.0).expect("the other end");
    assert!(open.as_mut().wait().expect("a result").is_ok());
    drop(peer);
}

/// What the callback below works with.
struct Inside {
    pool: Pool,
    reader: Counted,
    writer: Counted,
    done: AtomicBool,
}

/// Waits for a read whose data is in a queued write, too long to be tried inside submit.
fn wait_inside(context: *mut (), _: i64) {
    // SAFETY: leaked by the test; shared from then on.
    let inside = unsafe { &*context.cast::<Inside>() };
    let mut write = pin!(inside.pool.write(inside.writer.clone(), vec![b'x'; 70_000]));
    write.as_mut().submit().expect("submit");
    let mut read = pin!(inside.pool.read(inside.reader.clone(), [0_u8; 4]));
    assert_eq!(read.as_mut().wait(), Some((Ok(4), *b"xxxx")));
    inside.done.store(true, Ordering::SeqCst);
}

/// A callback on the only worker waits for what only a worker would do: it does it itself.
#[test]
fn a_wait_inside_a_callback_on_the_only_worker_returns() {
    let rig = Rig::new("a_wait_inside_a_callback_on_the_only_worker_returns", 1);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (reader, writer) = (owned(reader), owned(writer));
    let done = AtomicBool::new(false);
    let inside: &Inside = leaked(Box::new(Inside { pool: rig.pool, reader, writer, done }));
    let context = core::ptr::from_ref(inside).cast_mut().cast();
    let mut nop = Box::pin(rig.pool.nop());
    nop.as_mut().submit_with_callback(wait_inside, context).expect("submit");
    eventually("the wait returns", || inside.done.load(Ordering::SeqCst));
}

/// One thread in poll watches epoll for the others. Two of them leave at about the same time: the one that
/// leaves hands the watch to the other, which is leaving too, and must pass it on to the third.
#[test]
fn the_watch_is_handed_on_when_two_pollers_leave_together() {
    let rig = Rig::new("the_watch_is_handed_on_when_two_pollers_leave_together", 0);
    let pool = rig.pool;
    let spare = Duration::from_millis(6);
    for round in 0..60 {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let reader = owned(reader);
        let end = Instant::now() + spare;
        let poll_until = |end: Instant| {
            let poller = Sleeper::spawn(move || {
                let left = end.saturating_duration_since(Instant::now());
                pool.poll(Some(left)).expect("poll");
            });
            poller.settle();
            poller
        };
        let first = poll_until(end);
        // From 1.5 ms before the first one's end to 1.5 ms behind it.
        let second =
            poll_until(end - Duration::from_micros(1500) + Duration::from_micros(50) * round);
        let third = Sleeper::spawn(move || {
            let mut read = pin!(pool.read(reader, [0_u8; 1]));
            read.as_mut().submit().expect("submit");
            while read.phase() != Phase::Done {
                pool.poll(None).expect("poll");
            }
        });
        third.settle();
        eventually("two polls end", || first.thread.is_finished() && second.thread.is_finished());
        third.settle();
        writer.write_all(b"x").expect("a byte");
        eventually("the third is served", || third.thread.is_finished());
    }
}

/// A worker made before a release goes home at once, also if its thread comes later.
#[test]
fn a_release_before_a_worker_has_joined_is_not_missed() {
    let rig = Rig::new("a_release_before_a_worker_has_joined_is_not_missed", 0);
    for _ in 0..20 {
        let (early, pool) = (Worker::new(rig.pool), rig.pool);
        pool.release_workers();
        let late = Worker::new(pool);
        let early = Sleeper::spawn(move || early.run());
        eventually("the released worker is home", || early.thread.is_finished());
        let late = Sleeper::spawn(move || late.run());
        eventually("the other has joined", || pool.workers() == 1);
        pool.release_workers();
        eventually("the other is home", || late.thread.is_finished());
    }
}

/// A close that is waited for takes its turn: what was queued before it on its descriptor is done before it,
/// with the file it was meant for.
#[test]
fn a_close_that_is_waited_for_keeps_its_turn() {
    let rig = Rig::new("a_close_that_is_waited_for_keeps_its_turn", 0);
    let file = std::fs::File::open("Cargo.toml").expect("open");
    let fd = Fd::new(file.into_raw_fd());
    // SAFETY: no pointers; the descriptor is open.
    let mut sync = pin!(unsafe { rig.pool.submit_fsync(fd) });
    sync.as_mut().submit().expect("submit");
    // SAFETY: the number is the test's own.
    let mut close = pin!(unsafe { rig.pool.submit_close(fd) });
    assert_eq!(close.as_mut().wait(), 0);
    assert_eq!(sync.wait(), 0);
}

/// What comes to wait on a descriptor while its close is queued is ended by the close, also by one that its
/// waiter performs.
#[test]
fn a_close_that_is_waited_for_ends_what_waits() {
    let rig = Rig::new("a_close_that_is_waited_for_ends_what_waits", 0);
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let (fd, mut buf) = (Fd::new(reader.into_raw_fd()), [0_u8; 4]);
    // SAFETY: the number is the test's own.
    let mut close = pin!(unsafe { rig.pool.submit_close(fd) });
    close.as_mut().submit().expect("submit");
    // SAFETY: the buffer outlives the read, which is pinned behind it.
    let mut read = pin!(unsafe { rig.pool.submit_read(fd, buf.as_mut_ptr(), buf.len()) });
    read.as_mut().submit().expect("submit");
    assert_eq!((close.as_mut().wait(), read.phase()), (0, Phase::Done));
    assert_eq!(read.wait(), Errno::CANCELED.to_result());
}

/// A close is held while a worker tries what an event has woken; what finds nothing waits again, and the close
/// goes on, whoever of the two comes first.
#[test]
fn a_held_close_goes_on_when_what_held_it_waits_again() {
    let rig = Rig::new("a_held_close_goes_on_when_what_held_it_waits_again", 1);
    let pool = rig.pool;
    for round in 0..300 {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let fd = Fd::new(near.into_raw_fd());
        let mut bufs = [[0_u8; 1]; 2];
        let mut recvs = bufs.each_mut().map(|buf| {
            let none = MsgFlags::empty();
            // SAFETY: the buffers outlive the receives, which are dropped before them.
            Box::pin(unsafe { pool.submit_recv(fd, buf.as_mut_ptr(), buf.len(), none) })
        });
        for recv in &mut recvs {
            recv.as_mut().submit().expect("submit");
        }
        // Enough for one; the event is for both.
        far.write_all(b"1").expect("a byte");
        if round % 2 == 0 {
            std::thread::yield_now();
        }
        // SAFETY: the number is the test's own.
        let mut close = pin!(unsafe { pool.submit_close(fd) });
        assert_eq!(close.as_mut().wait(), 0);
        let results = recvs.each_mut().map(|recv| recv.as_mut().wait());
        let ended = Errno::CANCELED.to_result();
        assert!(results.iter().all(|&result| result == 1 || result == ended), "{results:?}");
        assert!(results.contains(&ended), "one byte was received twice");
    }
}

/// Two accepts wait on a blocking listener, and one connection comes: the other accept waits on, and no
/// thread with it.
#[test]
fn an_accept_that_finds_no_connection_holds_nobody() {
    for workers in [0, 1] {
        let rig = Rig::new("an_accept_that_finds_no_connection_holds_nobody", workers);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let listener = owned(listener);
        let mut accepts = [listener.clone(), listener]
            .map(|listener| Box::pin(rig.pool.accept(listener, AcceptFlags::empty())));
        for accept in &mut accepts {
            accept.as_mut().submit().expect("submit");
        }
        let _peer = TcpStream::connect(address).expect("a connection");
        let [first, second] = &mut accepts;
        assert!(first.as_mut().wait().expect("a result").is_ok());
        eventually("the second waits again", || {
            rig.pool.poll(Some(Duration::ZERO)).expect("poll");
            let counters = rig.pool.counters();
            (counters.queued_now, counters.in_kernel_now) == (1, 0)
        });
        second.as_mut().cancel();
        assert_eq!(second.as_mut().wait().expect("a result").map(drop), Err(Errno::CANCELED));
    }
}
