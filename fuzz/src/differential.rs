//! One random program of real operations on every backend and as plain system calls. The program, its
//! objects and what is compared are `io_conformance::differential`; here are the backends, made once.

use core::cell::OnceCell;
use core::pin::Pin;
use io_conformance::choices::Choices;
use io_conformance::count_fds;
use io_conformance::differential::{self, Driven, Place, Subject};
use io_core::{IoBackend, OpSet};
use io_epoll_backend::{EpollBackend, SpinLock};
use io_pool_backend::{PoolBackend, Worker};
use io_uring_backend::{Config, Local, UringBackend};
use std::sync::OnceLock;
use std::thread;

struct Bench {
    place: Place,
    subjects: Vec<Box<dyn Subject>>,
}

thread_local! {
    /// Made by the first input, and used by all that follow. Never dropped: the backends last for ever.
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

/// A backend that lasts for ever, started by this thread.
fn lasting<B: IoBackend>(backend: B) -> Pin<&'static B> {
    let backend = Pin::static_ref(Box::leak(Box::new(backend)));
    backend.start().expect("start");
    backend
}

/// A pool with two workers, for what another backend hands on and for itself.
fn pool() -> Pin<&'static PoolBackend<SpinLock>> {
    static POOL: OnceLock<Pin<&'static PoolBackend<SpinLock>>> = OnceLock::new();
    *POOL.get_or_init(|| {
        let pool = lasting(PoolBackend::<SpinLock>::new().expect("a pool"));
        for _ in 0..2 {
            let worker = Worker::new(pool);
            thread::spawn(move || worker.run());
        }
        pool
    })
}

fn bench() -> Bench {
    let ring = |config: &Config| lasting(UringBackend::<Local>::new(config).expect("a ring"));
    let small = Config::new().entries(8);
    let masked = Config::new().mask(OpSet::empty());
    let alone = lasting(EpollBackend::<SpinLock>::new().expect("an epoll"));
    let offload = EpollBackend::<SpinLock, _>::with_offload(pool().get_ref()).expect("an epoll");
    let idle = lasting(PoolBackend::<SpinLock>::new().expect("a pool"));
    let subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(Driven::new("uring", ring(&small))),
        Box::new(Driven::new("uring without opcodes", ring(&masked))),
        Box::new(Driven::new("epoll", alone)),
        Box::new(Driven::new("epoll with a pool", lasting(offload))),
        Box::new(Driven::new("pool of two", pool())),
        Box::new(Driven::new("pool of none", idle)),
    ];
    Bench { place: Place::new(), subjects }
}

/// Runs one program.
///
/// # Panics
/// If a backend differs from the plain system calls, or a descriptor is lost.
pub fn run(data: &[u8]) {
    BENCH.with(|cell| {
        let bench = cell.get_or_init(bench);
        let subjects: Vec<&dyn Subject> = bench.subjects.iter().map(|one| &**one).collect();
        let before = count_fds();
        let script = differential::run(&Choices::bytes(data), &bench.place, &subjects);
        let after = count_fds();
        assert_eq!(after, before, "descriptors of the process\n{script}");
    });
}

/// The program, with what the plain system calls give.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    differential::write(&Choices::bytes(data), &Place::new()).to_string()
}
