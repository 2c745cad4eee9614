//! Somebody closes the backend's own descriptors: a program that closes all it does not know.
#![allow(unsafe_code, reason = "closes and replaces descriptors by number")]
//! # Safety
//! The numbers are those of a backend that is to bear it; it owns no value of the standard library that would be
//! closed again.

use crate::load::{Noted, works};
use crate::support::{epoll as epolls, pool as pools, uring};
use core::time::Duration;
use io_conformance::Desc;
use io_conformance::fault::{FaultyFile, flat};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::rig::Rig;
use io_conformance::watchdog::rounds;
use io_core::syscall::deadline_in;
use io_core::{Errno, Fd, IoBackend, StopError};
use std::collections::BTreeSet;

/// What is done to which of its descriptors, by what `/proc` calls them.
#[derive(Clone, Copy, Debug)]
struct Loss {
    of: &'static [&'static str],
    replaced: bool,
}

const WAITED: &[&str] = &["anon_inode:[eventpoll]", "anon_inode:[io_uring]"];
const ALL: &[&str] = &["anon_inode:[eventpoll]", "anon_inode:[io_uring]", "anon_inode:[eventfd]"];
const WOKEN: &[&str] = &["anon_inode:[eventfd]"];

fn open(of: &[&str]) -> BTreeSet<i32> {
    let listed = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let is = std::fs::read_link(entry.path()).ok()?;
        let is = is.to_str()?;
        of.contains(&is).then(|| entry.file_name().to_str()?.parse().ok())?
    };
    listed.filter_map(number).collect()
}

/// Loses what was opened since `before`.
fn lose(loss: Loss, before: &BTreeSet<i32>, other: &Desc) -> Vec<i32> {
    let lost: Vec<_> = open(loss.of).difference(before).copied().collect();
    assert!(!lost.is_empty(), "a backend has descriptors");
    for &number in &lost {
        if loss.replaced {
            other.dup_at(Fd::new(number));
        } else {
            // SAFETY: see the top: the backend is to bear it.
            unsafe { io_core::syscall::close_fd(Fd::new(number)) };
        }
    }
    lost
}

/// What waits ends with `EBADF`, and poll says so; what comes later too.
fn polled<B: IoBackend>(rig: &Rig<'_, B>, reader: &Desc, mem: &Mem, lose: impl FnOnce()) {
    let mut ops: Vec<_> =
        (0..5).map(|_| Noted::submit(rig, reader.read_op(mem), mem.only())).collect();
    rig.poll(Some(Duration::ZERO));
    lose();
    let mut said = None;
    while !ops.iter().all(Noted::is_done) {
        said = rig.backend().poll(None).err().or(said);
    }
    for op in &mut ops {
        assert_eq!(op.result(), Errno::BADF.to_result());
    }
    let last = rig.backend().poll(None);
    assert_eq!(last.err().or(said), Some(Errno::BADF), "poll says why");
    let mut late = rig.raw(reader.read_op(mem), mem.only());
    assert_eq!(late.wait(), Errno::BADF.to_result(), "what comes later");
    assert_eq!(rig.backend().in_flight(), 0);
}

fn lost<F: Fixture>(fx: &F, loss: Loss) {
    if let Err(why) = fx.available() {
        io_conformance::fault::not_here(why);
    }
    let other = Desc::file(b"another file");
    flat(rounds(1), "a backend that lost its descriptors", || {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(4);
        for waits in [false, true] {
            let before = open(loss.of);
            let mut taken = Vec::new();
            fx.started(|rig| {
                // A ring that has slept reads its eventfd, and keeps the file.
                if loss.of != WOKEN {
                    works(rig);
                }
                if waits {
                    // A wait, and then drops, with nobody in poll.
                    let mut first = rig.raw(reader.read_op(&mem), mem.only());
                    let mut rest = rig.raw(reader.read_op(&mem), mem.only());
                    first.submit().expect("submit");
                    rest.submit().expect("submit");
                    rig.poll(Some(Duration::ZERO));
                    taken = lose(loss, &before, &other);
                    assert_eq!(first.wait(), Errno::BADF.to_result(), "{loss:?}");
                } else {
                    polled(rig, &reader, &mem, || taken = lose(loss, &before, &other));
                }
                assert_eq!(rig.backend().stop(io_core::Deadline::NEVER), Ok(()));
            });
            close_others(loss, &taken, &other);
        }
        writer.put(b"late");
        assert_eq!(reader.get(4), b"late", "nobody has read it");
    });
    // It was that backend, and not this process.
    fx.started(works);
}

/// The file that has taken the numbers still has them.
fn close_others(loss: Loss, numbers: &[i32], other: &Desc) {
    use std::os::unix::fs::MetadataExt;
    let inode = other.std().metadata().expect("stat").ino();
    for number in numbers.iter().filter(|_| loss.replaced) {
        let there = std::fs::metadata(format!("/proc/self/fd/{number}")).map(|there| there.ino());
        assert_eq!(there.ok(), Some(inode), "the number {number} is the other file's");
        // SAFETY: the duplicate that was put there.
        unsafe { io_core::syscall::close_fd(Fd::new(*number)) };
    }
}

/// Whether the thread sleeps in epoll.
fn watches(thread: i32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
    let call = call.unwrap_or_default();
    let call = call.split(' ').next().and_then(|number| number.parse().ok());
    call.is_some_and(|call: i64| [libc::SYS_epoll_wait, libc::SYS_epoll_pwait].contains(&call))
}

/// A backend that has lost nothing but its eventfd goes on, also for who sleeps meanwhile: another one takes its
/// place.
fn unbelled<F: Fixture<Backend: Sync>>(fx: &F) {
    flat(rounds(2), "a backend that lost its eventfd", || {
        let before = open(WOKEN);
        let other = Desc::file(b"");
        fx.started(|rig| {
            works(rig);
            let backend = rig.backend();
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let poller = scope.spawn(move || {
                    // SAFETY: asks for a number.
                    tell.send(unsafe { libc::gettid() }).expect("somebody listens");
                    backend.poll(None)
                });
                let thread = told.recv().expect("a thread");
                while !watches(thread) {
                    std::thread::yield_now();
                }
                lose(Loss { of: WOKEN, replaced: false }, &before, &other);
                backend.wake_handle().wake();
                assert_eq!(poller.join().expect("no panic"), Ok(0), "it was woken");
            });
            works(rig);
        });
    });
}

const LOSSES: [Loss; 3] = [
    Loss { of: ALL, replaced: false },
    Loss { of: WAITED, replaced: false },
    Loss { of: WAITED, replaced: true },
];

/// What the kernel may be in the middle of is not handed back, here reads of a file that does not answer, because
/// nothing says when it is done; what only waits is.
fn unproven<F: Fixture + Send>(fx: F) {
    if let Err(why) = fx.available() {
        io_conformance::fault::not_here(why);
    }
    let silent = FaultyFile::holding(true);
    let file = Desc::from(silent.open());
    let (tell, told) = std::sync::mpsc::channel();
    // It keeps what it owns for ever, and its drop would wait: so does the thread, until this process ends.
    std::thread::spawn(move || {
        let ((reader, _writer), mem, other) = (Desc::pipe(), Mem::zeroed(64), Mem::zeroed(4));
        let before = open(ALL);
        fx.started(|rig| {
            let reads = [file.read_op(&mem), file.pread_op(&mem, 0)];
            let reads = reads.map(|op| Noted::submit(rig, op, mem.only()));
            let mut waiting = Noted::submit(rig, reader.read_op(&other), other.only());
            rig.poll(Some(Duration::ZERO));
            lose(Loss { of: ALL, replaced: false }, &before, &file);
            while !waiting.is_done() {
                // EBADF, until there is something to deliver.
                let _: Result<usize, Errno> = rig.backend().poll(None);
            }
            let kept = !reads.iter().any(Noted::is_done);
            let stopped = rig.backend().stop(deadline_in(Duration::from_millis(5)));
            // Or nobody could unmount it.
            drop(file);
            tell.send((kept, waiting.result(), stopped)).expect("somebody listens");
            loop {
                std::thread::park();
            }
        });
    });
    let (kept, waited, stopped) = told.recv().expect("the thread has not panicked");
    silent.wait_for_one();
    silent.release();
    assert!(kept, "handed back while the file has not answered");
    assert_eq!(waited, Errno::BADF.to_result());
    assert_eq!(stopped, Err(StopError::StillOwned(2)));
}

/// Ring and eventfd, and the eventfd alone.
pub(crate) fn ring() {
    let [shared, _, old, ..] = uring::shared();
    LOSSES.into_iter().for_each(|loss| lost(&shared, loss));
    lost(&old, LOSSES[0]);
    lost(&shared, Loss { of: WOKEN, replaced: false });
    unproven(shared);
    unproven(old);
}

pub(crate) fn epoll() {
    LOSSES.into_iter().for_each(|loss| lost(&epolls::alone(), loss));
    unbelled(&epolls::alone());
}

/// A thread that sleeps in an epoll instance is reached by its eventfd or not at all, so there are no workers where
/// both are lost.
pub(crate) fn pool() {
    let no_workers = pools::Pool { name: "pool_no_workers", workers: 0 };
    LOSSES.into_iter().for_each(|loss| lost(&no_workers, loss));
    unbelled(&no_workers);
}
