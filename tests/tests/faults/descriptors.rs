//! No descriptor left: in an operation, at construction, and in a child that makes its backend new.

use crate::load::works;
use core::cell::Cell;
use io_conformance::fault::{AddressSpace, Answer, Call, Files, Supervisor, flat, nth};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::rig::{Form, Rig};
use io_conformance::watchdog::rounds;
use io_conformance::{Desc, child};
use io_core::op::{Accept, AcceptFlags, Family, Open, OpenFlags, Socket, SocketFlags, SocketKind};
use io_core::{Errno, Fd, IoBackend, Op};
use io_epoll_backend::EpollBackend;
use io_pool_backend::PoolBackend;
use io_uring_backend::{Config, Shared, UringBackend};

/// Makes a backend, calls the function, which ends the fault, and if there is a backend, sees that it works.
pub(crate) type Build = fn(&dyn Fn()) -> Result<(), Errno>;

fn seen_to_work<B: IoBackend>(built: Result<B, Errno>, end: &dyn Fn()) -> Result<(), Errno> {
    let started = built.and_then(|built| {
        let built = Box::pin(built);
        built.as_ref().start().map(|()| built)
    });
    end();
    works(&Rig::new(started?.as_ref()));
    Ok(())
}

pub(crate) fn uring(end: &dyn Fn()) -> Result<(), Errno> {
    let built = UringBackend::<Shared>::new(&Config::new()).map_err(|error| error.errno);
    seen_to_work(built, end)
}

pub(crate) fn epoll(end: &dyn Fn()) -> Result<(), Errno> {
    seen_to_work::<EpollBackend>(EpollBackend::new(), end)
}

pub(crate) fn pool(end: &dyn Fn()) -> Result<(), Errno> {
    seen_to_work::<PoolBackend>(PoolBackend::new(), end)
}

/// Open, socket and accept say so; the connection that could not be accepted is not lost.
pub(crate) fn none_left_for_an_operation<F: Fixture>(fx: &F) {
    let too_many = Errno::MFILE.to_result();
    flat(rounds(3), "operations without a descriptor", || {
        fx.started(|rig| {
            works(rig);
            let (listener, address) = Desc::listener();
            let client = Desc::connect(address);
            let path = Mem::path(b"/proc/self/status");
            let dir = Fd::new(libc::AT_FDCWD);
            let open = Open { dir, path: path.ptr().cast(), flags: OpenFlags::RDONLY, mode: 0 };
            let (family, kind, flags) = (Family::INET, SocketKind::STREAM, SocketFlags::empty());
            let socket = Socket { family, kind, flags, protocol: 0 };
            let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
            let accept = Accept { fd: listener.raw(), flags: AcceptFlags::empty(), addr, addr_len };
            for form in Form::ALL {
                let limit = Files::spare(0);
                assert_eq!(rig.run_as(form, Op::Open(open), path.only()), too_many, "{form:?}");
                assert_eq!(rig.run_as(form, Op::Socket(socket), &[]), too_many, "{form:?}");
                assert_eq!(rig.run_as(form, Op::Accept(accept), &[]), too_many, "{form:?}");
                drop(limit);
                drop(Desc::adopt(rig.run_as(form, Op::Open(open), path.only())));
                drop(Desc::adopt(rig.run_as(form, Op::Socket(socket), &[])));
            }
            let accepted = Desc::adopt(rig.run(Op::Accept(accept), &[]));
            client.put(b"word");
            assert_eq!(accepted.get(4), b"word");
            works(rig);
        });
    });
}

/// Every shortage of descriptors at construction is that error, and what was open by then is closed.
pub(crate) fn none_left_at_construction(build: Build) {
    flat(rounds(3), "construction without descriptors", || {
        let mut failed = 0;
        for spare in 0.. {
            let limit = Cell::new(Some(Files::spare(spare)));
            let built = build(&|| drop(limit.take()));
            if built.is_ok() {
                break;
            }
            assert_eq!(built, Err(Errno::MFILE), "with room for {spare}");
            failed += 1;
        }
        assert!(failed > 0, "a backend has descriptors");
    });
}

/// So is every shortage of address space, whatever part of the construction it meets.
pub(crate) fn no_address_space_at_construction(build: Build, least: u32) {
    flat(rounds(3), "construction without address space", || {
        let mut failed = 0;
        for spare in 0.. {
            let limit = Cell::new(Some(AddressSpace::spare_kib(4 * spare)));
            let built = build(&|| drop(limit.take()));
            if built.is_ok() {
                break;
            }
            assert_eq!(built, Err(Errno::NOMEM), "with room for {spare} pages");
            failed += 1;
        }
        assert!(failed >= least, "it maps memory");
    });
}

/// The calls that a construction makes.
static CONSTRUCTION: &[i64] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_madvise,
    libc::SYS_mmap,
];

/// Each system call of a construction in turn fails with `ENOMEM`: that is the error, or the call is not
/// needed.
pub(crate) fn no_memory_at_construction(build: Build) {
    // The memory of a ring is mapped by its descriptor. Other mappings are the allocator's.
    let ours = |call: &Call| call.number != libc::SYS_mmap || call.int(4) >= 0;
    let calls = Supervisor::over(CONSTRUCTION);
    let mut failed = 0;
    flat(rounds(5), "construction without memory", || {
        for k in 1.. {
            let before = calls.changed();
            calls.script(nth(k, ours, Answer::Fail(Errno::NOMEM)));
            // A backend that did not need the call works without it.
            let built = build(&|| calls.calm());
            if calls.changed() == before {
                break;
            }
            assert!(matches!(built, Ok(()) | Err(Errno::NOMEM)), "call {k}: {built:?}");
            failed += u32::from(built.is_err());
        }
        assert_eq!(build(&|| ()), Ok(()));
    });
    assert!(failed > 0, "no call of a construction matters");
}

/// A forked child that has no descriptor to make its backend new with is told so, and can try again.
pub(crate) fn none_left_at_renewal<F: Fixture>(fx: &F) {
    flat(rounds(1), "a renewal without descriptors", || {
        fx.started(|rig| renewed_by_a_child(fx, rig));
    });
}

fn renewed_by_a_child<F: Fixture>(fx: &F, rig: &Rig<'_, F::Backend>) {
    works(rig);
    let backend = rig.backend();
    child::fork(|| {
        for spare in 0.. {
            let limit = Files::spare(spare);
            let renewed = fx.reinit(backend).expect("these can be made new");
            drop(limit);
            if renewed.is_ok() {
                assert!(spare > 0, "a backend has descriptors");
                break;
            }
            assert_eq!(renewed, Err(Errno::MFILE), "with room for {spare}");
            assert_eq!(backend.poll(None), Err(Errno::OWNERDEAD));
        }
        works(&Rig::new(backend));
    })
    .join("making a backend new without descriptors");
    works(rig);
}
