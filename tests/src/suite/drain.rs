//! Dropping a backend with operations in flight: it drains, and nobody writes afterwards.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Flavour};
use crate::leaked::leaked;
use crate::mem::Mem;
use crate::watchdog::{rounds, tell};
use core::time::Duration;
use io_core::op::{Accept, AcceptFlags, MsgFlags, Nop, Readv, Recv, Send, Sendfile};
use io_core::ops::Ops;
use io_core::{IoBackend, Op};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(forgotten_operations_do_not_outlive_the_backend::<F>),
        Case::of(forgotten_typed_operations_do_not_outlive_the_backend::<F>),
        Case::of(a_thousand_forgotten_operations::<F>),
        Case::of(forgotten_work_that_need_not_wait::<F>),
        Case::of(a_backend_nobody_used_is_dropped::<F>),
        Case::of(a_backend_is_dropped_with_deliveries_left::<F>),
        Case::of(backends_in_turn_leave_nothing_behind::<F>),
    ]
}

/// Forgets an operation on the heap, and says so to LeakSanitizer.
pub(super) fn forget<T>(operation: core::pin::Pin<Box<T>>) {
    leaked(Box::new(operation));
}

struct Ends {
    pipe: (Desc, Desc),
    pair: (Desc, Desc),
    full_pipe: (Desc, Desc, usize),
    listener: Desc,
    address: core::net::SocketAddr,
    file: Desc,
}

fn ends() -> Ends {
    let (listener, address) = Desc::listener();
    let (far, near) = Desc::pipe();
    near.set_nonblocking();
    let full = near.fill_up();
    let (pipe, pair) = (Desc::pipe(), Desc::pair());
    Ends { pipe, pair, full_pipe: (far, near, full), listener, address, file: Desc::file(b"file") }
}

/// One operation of each kind that waits for ever.
fn pending(ends: &Ends, mem: &Mem, table: &Mem) -> [Op; 6] {
    let (buf, len, flags) = (mem.ptr(), mem.len(), MsgFlags::empty());
    let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    let (reader, near, full) = (&ends.pipe.0, &ends.pair.0, &ends.full_pipe.1);
    let offset = Some(0);
    let (fd, listen) = (near.raw(), AcceptFlags::empty());
    [
        reader.read_op(mem),
        Op::Readv(Readv { fd: reader.raw(), iov: table.ptr().cast(), count: 1 }),
        Op::Recv(Recv { fd, flags, buf, len }),
        full.write_op(mem),
        Op::Sendfile(Sendfile { out_fd: full.raw(), in_fd: ends.file.raw(), offset, len: 4 }),
        Op::Accept(Accept { fd: ends.listener.raw(), flags: listen, addr, addr_len }),
    ]
}

/// Gives every waiting operation what it waited for, and checks that nobody takes it.
fn give(ends: &Ends, mem: &Mem) {
    ends.pipe.1.put(&[0x55; 16]);
    ends.pair.1.put(&[0x55; 16]);
    let client = Desc::connect(ends.address);
    let (far, near, full) = &ends.full_pipe;
    drop(far.get(*full));
    assert_eq!(ends.pipe.0.get(16), [0x55; 16], "somebody took the data");
    assert_eq!(ends.pair.0.get(16), [0x55; 16], "somebody took the data");
    near.put(b"end");
    assert_eq!(far.get(3), b"end", "somebody wrote");
    assert!(mem.all(0xaa), "somebody wrote to the memory");
    drop(client);
}

/// 1 to 100 of each kind are in flight and forgotten; the backend's drop ends them. Then everything they
/// waited for comes, and nobody is there.
pub fn forgotten_operations_do_not_outlive_the_backend<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        for (count, polled) in [(1, false), (1, true), (10, true), (100, false), (100, true)] {
            let ends = ends();
            let mem = Mem::filled(8, 0xaa);
            let table = Mem::table(mem.only());
            fx.with(flavour, |rig| {
                for _ in 0..count {
                    for op in pending(&ends, &mem, &table) {
                        let mut raw = rig.raw(op, &[mem.clone(), table.clone()]);
                        assert!(rig.poll_once(raw.as_mut()).is_pending(), "{op:?}");
                        forget(raw);
                    }
                }
                if polled {
                    rig.poll(Some(Duration::ZERO));
                }
                assert_eq!(rig.backend().in_flight(), count * 6);
            });
            give(&ends, &mem);
        }
    }
}

/// The same for typed futures on the heap. (What they own stays for ever, so their ends of the pipes do.)
pub fn forgotten_typed_operations_do_not_outlive_the_backend<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        let (reader, writer) = Desc::pipe();
        fx.with(flavour, |rig| {
            for _ in 0..20 {
                let mut read = Box::pin(rig.backend().read(reader.clone(), [0_u8; 64]));
                assert!(rig.poll_once(read.as_mut()).is_pending());
                forget(read);
                let mut read = Box::pin(rig.backend().read(reader.clone(), vec![0_u8; 64]));
                assert!(rig.poll_once(read.as_mut()).is_pending());
                forget(read);
            }
            rig.poll(Some(Duration::ZERO));
        });
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
    }
}

/// A thousand reads of one pipe.
pub fn a_thousand_forgotten_operations<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        fx.with(flavour, |rig| {
            for _ in 0..1000 {
                let mut read = rig.raw(reader.read_op(&mem), mem.only());
                read.submit().expect("submit");
                forget(read);
            }
            assert_eq!(rig.backend().in_flight(), 1000);
        });
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    }
}

/// File reads and nops that nobody polled for: done or cancelled, but over.
pub fn forgotten_work_that_need_not_wait<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        let file = Desc::file(&[b'f'; 64]);
        let mem = Mem::zeroed(64);
        fx.with(flavour, |rig| {
            for _ in 0..500 {
                let mut read = rig.raw(file.pread_op(&mem, 0), mem.only());
                read.submit().expect("submit");
                forget(read);
                let mut nop = rig.raw(Op::Nop(Nop), &[]);
                nop.submit().expect("submit");
                forget(nop);
            }
            let (fd, flags) = (file.raw(), MsgFlags::empty());
            let op = Op::Send(Send { fd, flags, buf: mem.ptr(), len: 1 });
            let mut wrong = rig.raw(op, mem.only());
            wrong.submit().expect("submit");
            forget(wrong);
        });
        mem.fill(0xaa);
        // Whoever reads now would show.
        for _ in 0..100 {
            std::thread::yield_now();
        }
        assert!(mem.all(0xaa));
    }
}

/// Made, perhaps started, and dropped.
pub fn a_backend_nobody_used_is_dropped<F: Fixture>(fx: &F) {
    fx.both(|rig| assert_eq!(rig.backend().in_flight(), 0));
}

/// Callbacks that no poll has run when the backend goes: run once then, or not at all.
pub fn a_backend_is_dropped_with_deliveries_left<F: Fixture>(fx: &F) {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    let calls: Arc<Vec<AtomicUsize>> = Arc::new((0..100).map(|_| AtomicUsize::new(0)).collect());
    let mut hooks = Vec::new();
    fx.unstarted(|rig| {
        for i in 0..100 {
            let inside = Arc::clone(&calls);
            let hook = crate::raw::Hook::new(move |_| {
                inside[i].fetch_add(1, Ordering::SeqCst);
            });
            let mut nop = rig.raw(Op::Nop(Nop), &[]);
            nop.submit_callback(&hook).expect("submit");
            forget(nop);
            hooks.push(hook);
        }
    });
    assert!(calls.iter().all(|calls| calls.load(Ordering::SeqCst) <= 1));
}

/// Descriptors, threads, mappings and memory of a backend are gone when it is. (10 000 backends with
/// `IO_TEST_ROUNDS=500`.)
pub fn backends_in_turn_leave_nothing_behind<F: Fixture>(fx: &F) {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let maps = || std::fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0)
    };
    let run = || {
        fx.both(|rig| {
            let (reader, writer) = Desc::pipe();
            assert_eq!(rig.block_on(rig.backend().write(writer, *b"x")).0, Ok(1));
            assert_eq!(rig.block_on(rig.backend().read(reader, [0_u8; 1])), (Ok(1), *b"x"));
        });
    };
    for _ in 0..3 {
        run();
    }
    let before = (crate::count_fds(), maps(), resident());
    let rounds = rounds(10);
    for _ in 0..rounds {
        run();
    }
    assert_eq!(crate::count_fds(), before.0, "descriptors");
    assert!(maps() <= before.1 + 8, "mappings: {} and now {}", before.1, maps());
    // A page for every ten backends is one leaked block of some hundred bytes in each.
    let grown = resident().saturating_sub(before.2);
    assert!(grown <= 256 + rounds as usize / 5, "{grown} pages after {rounds} rounds");
    tell(rounds * 2, "backends");
    // The kernel's own workers may stay for a while; ours may not.
    assert!(threads() < 64, "{} threads", threads());
}
