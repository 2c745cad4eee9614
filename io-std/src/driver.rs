//! Who runs a backend: worker threads, a driver thread, or the threads that block on it
//! ([`Runtime`]); and what there is to run ([`Engine`]).
//!
//! Threads do not survive a fork. In a forked child the runtime refuses everything, and its drop joins
//! nobody, until [`Runtime::reinit`] has made backend and threads anew.
#![allow(unsafe_code, reason = "keeps the offload pool in place, and counts for vanished threads")]
//! # Safety
//! The pool is behind an `Arc` that the handle holds. An `Arc` of a thread that did not survive a fork is
//! given up in the child, once, by whoever gives the threads up.

use crate::block_on::Lead;
use crate::choose::{Backend, Builder, Refusal};
use crate::process::PerProcess;
use crate::threads::{join, outlive_panics, spawn};
use core::pin::Pin;
use core::time::Duration;
use io_core::{Deadline, Errno, IoBackend, Offload, OffloadHandle, OpSet, StopError, WakeHandle};
use io_epoll_backend::{EpollBackend, SpinLock};
use io_pool_backend::{PoolBackend, Worker};
use io_uring_backend::{Config, Shared, UringBackend};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

const DEFAULT_POOL_WORKERS: usize = 4;
const DEFAULT_OFFLOAD_WORKERS: usize = 2;

/// The pool that performs what the ring has no opcode for, and epoll no readiness.
#[derive(Clone)]
pub(crate) struct Helpers(Option<Arc<PoolBackend>>);

impl Helpers {
    /// None with no workers: then whoever polls the backend does it.
    fn new(backend: Backend, builder: &Builder) -> Result<Helpers, Refusal> {
        match builder.workers {
            Some(0) => Ok(Helpers(None)),
            _ => Ok(Helpers(Some(Arc::new(new_pool(backend)?)))),
        }
    }
}

// SAFETY: the object is in an `Arc` that this value holds; it is never replaced.
unsafe impl OffloadHandle for Helpers {
    fn offload(&self) -> Option<&dyn Offload> {
        self.0.as_deref().map(|pool| pool as &dyn Offload)
    }
}

type Epoll = EpollBackend<SpinLock, Helpers>;
type Ring = UringBackend<Shared, Helpers>;

/// A backend at an address of its own.
#[derive(Clone)]
pub(crate) enum Engine {
    Epoll(Arc<Epoll>, Helpers),
    Pool(Arc<PoolBackend>),
    Uring(Arc<Ring>, Helpers),
}

impl Engine {
    /// Builds exactly this backend. `backend` is not `Auto`.
    pub(crate) fn build(backend: Backend, builder: &Builder) -> Result<Engine, Refusal> {
        match backend {
            Backend::Uring => Engine::uring(builder),
            Backend::Epoll => Engine::epoll(builder),
            Backend::Pool | Backend::Auto => Ok(Engine::Pool(Arc::new(new_pool(backend)?))),
        }
    }

    fn uring(builder: &Builder) -> Result<Engine, Refusal> {
        if !builder.probe_uring {
            let why = "not tried: `probe_uring(false)`".to_owned();
            return Err(Refusal { backend: Backend::Uring, errno: None, why });
        }
        let helpers = Helpers::new(Backend::Uring, builder)?;
        let mut config = Config::new().entries(builder.ring_entries).lacking(builder.ring_lacks);
        if builder.ring_ops != OpSet::all() {
            config = config.mask(builder.ring_ops);
        }
        let ring = Ring::with_offload(&config, helpers.clone()).map_err(|error| Refusal {
            backend: Backend::Uring,
            errno: Some(error.errno),
            why: error.to_string(),
        })?;
        Ok(Engine::Uring(Arc::new(ring), helpers))
    }

    fn epoll(builder: &Builder) -> Result<Engine, Refusal> {
        let helpers = Helpers::new(Backend::Epoll, builder)?;
        let epoll = Epoll::with_offload(helpers.clone()).map_err(|errno| Refusal {
            backend: Backend::Epoll,
            errno: Some(errno),
            why: format!("cannot be made: {errno}"),
        })?;
        Ok(Engine::Epoll(Arc::new(epoll), helpers))
    }

    pub(crate) fn backend(&self) -> &(dyn IoBackend + Send + Sync + 'static) {
        match self {
            Engine::Epoll(epoll, _) => &**epoll,
            Engine::Pool(pool) => &**pool,
            Engine::Uring(ring, _) => &**ring,
        }
    }

    pub(crate) fn wake_handle(&self) -> WakeHandle<'_> {
        self.backend().wake_handle()
    }

    /// Makes the backends anew in a forked child.
    fn reinit(&self) -> Result<(), Refusal> {
        if let Some((pool, _)) = self.pool() {
            renewed(Backend::Pool, pinned(pool).reinit())?;
        }
        match self {
            Engine::Pool(_) => Ok(()),
            Engine::Epoll(epoll, _) => renewed(Backend::Epoll, pinned(epoll).reinit()),
            Engine::Uring(ring, _) => renewed(Backend::Uring, pinned(ring).reinit()),
        }
    }

    /// Gives up so many clones that nobody will drop.
    ///
    /// # Safety
    /// * There are so many.
    unsafe fn forget_clones(&self, pools: usize, driven: usize) {
        if let Some((pool, _)) = self.pool() {
            for _ in 0..pools {
                // SAFETY: promised by the caller; `pool` itself is one more.
                unsafe { Arc::decrement_strong_count(Arc::as_ptr(pool)) };
            }
        }
        for _ in 0..driven {
            match self {
                Engine::Pool(_) => {}
                // SAFETY: as above.
                Engine::Epoll(epoll, _) => unsafe {
                    Arc::decrement_strong_count(Arc::as_ptr(epoll));
                },
                // SAFETY: as above.
                Engine::Uring(ring, _) => unsafe {
                    Arc::decrement_strong_count(Arc::as_ptr(ring));
                },
            }
        }
    }

    /// The operations whose opcode this kernel's ring does not have.
    pub(crate) fn missing(&self) -> OpSet {
        match self {
            Engine::Epoll(..) | Engine::Pool(_) => OpSet::empty(),
            Engine::Uring(ring, _) => ring.missing(),
        }
    }

    /// What needs a thread that polls it.
    fn driven(&self) -> Option<(Backend, Arc<Driven>)> {
        match self {
            Engine::Pool(_) => None,
            Engine::Epoll(epoll, _) => Some((Backend::Epoll, epoll.clone())),
            Engine::Uring(ring, _) => Some((Backend::Uring, ring.clone())),
        }
    }

    /// The pool that needs worker threads, and how many by default.
    fn pool(&self) -> Option<(&Arc<PoolBackend>, usize)> {
        match self {
            Engine::Pool(pool) => Some((pool, DEFAULT_POOL_WORKERS)),
            Engine::Epoll(_, Helpers(pool)) | Engine::Uring(_, Helpers(pool)) => {
                Some((pool.as_ref()?, DEFAULT_OFFLOAD_WORKERS))
            }
        }
    }
}

/// What an `Arc` holds does not move.
fn pinned<B>(backend: &Arc<B>) -> Pin<&B> {
    // SAFETY: nobody takes it out of its `Arc`.
    unsafe { Pin::new_unchecked(&**backend) }
}

/// A backend that this process has already is fine: an attempt before may have ended half-way.
fn renewed(backend: Backend, outcome: Result<(), Errno>) -> Result<(), Refusal> {
    match outcome {
        Ok(()) | Err(Errno::ALREADY) => Ok(()),
        Err(errno) => {
            let why = format!("cannot be made anew in this process: {errno}");
            Err(Refusal { backend, errno: Some(errno), why })
        }
    }
}

fn new_pool(backend: Backend) -> Result<PoolBackend, Refusal> {
    PoolBackend::new().map_err(|errno| Refusal {
        backend,
        errno: Some(errno),
        why: format!("cannot make a worker pool: {errno}"),
    })
}

fn no_thread(backend: Backend, error: &std::io::Error) -> Refusal {
    let errno = error.raw_os_error().map(Errno::from_raw);
    Refusal { backend, errno, why: format!("cannot start a thread: {error}") }
}

/// Who makes operations advance.
pub(crate) enum Drive {
    /// Threads of ours: nobody else needs to do anything.
    Threads,
    /// The threads that block, one at a time.
    Caller(Lead),
}

/// An engine and its threads.
pub(crate) struct Runtime {
    // Dropped first: the threads end before the engine does.
    threads: PerProcess<Threads>,
    engine: Engine,
    plan: Plan,
}

/// What threads to make.
#[derive(Clone, Copy)]
struct Plan {
    workers: Option<usize>,
    driver: bool,
}

/// The threads of one process. Their drop ends and joins them.
struct Threads {
    drive: Drive,
    driver: Option<Driver>,
    workers: Vec<JoinHandle<()>>,
    engine: Engine,
}

impl Threads {
    /// Starts the threads that `plan` asks for.
    fn start(engine: Engine, plan: Plan) -> Result<Threads, Refusal> {
        let drive = match &engine {
            Engine::Pool(_) if plan.workers == Some(0) => Drive::Caller(Lead::in_turn()),
            Engine::Epoll(..) if !plan.driver => Drive::Caller(Lead::in_turn()),
            Engine::Uring(..) if !plan.driver => Drive::Caller(Lead::for_life()),
            Engine::Epoll(..) | Engine::Pool(_) | Engine::Uring(..) => Drive::Threads,
        };
        // From here on its drop ends the threads, also after an error half-way.
        let mut threads = Threads { drive, driver: None, workers: Vec::new(), engine };
        if let Some((pool, default_count)) = threads.engine.pool() {
            // The ring gives its pool work at any time; a pool that nobody lends threads is driven
            // by those that block on it, and starts with them just the same.
            match pool.start() {
                // It runs already if making it anew was tried before and ended half-way.
                Ok(()) | Err(Errno::ALREADY) => {}
                Err(errno) => {
                    let why = format!("cannot start the worker pool: {errno}");
                    return Err(Refusal { backend: Backend::Pool, errno: Some(errno), why });
                }
            }
            let pool = pool.clone();
            for _ in 0..plan.workers.unwrap_or(default_count) {
                threads.workers.push(spawn_worker(pool.clone())?);
            }
        }
        if matches!(threads.drive, Drive::Threads)
            && let Some((kind, backend)) = threads.engine.driven()
        {
            threads.driver = Some(Driver::spawn(kind, backend)?);
        }
        Ok(threads)
    }

    /// In a forked child: gives up what the parent's threads and this value hold of the engine, so that
    /// the engine can be dropped here. A thread of ours may itself be the one that forked: it lives on.
    ///
    /// # Safety
    /// * The value is of the parent's process, is leaked, and this is called once.
    unsafe fn give_up(&self) {
        let this = thread::current().id();
        let gone = |thread: &JoinHandle<()>| usize::from(thread.thread().id() != this);
        let workers: usize = self.workers.iter().map(gone).sum();
        let driver = self.driver.as_ref().map_or(0, |driver| gone(&driver.thread));
        // SAFETY: each of those threads held one, as `spawn_worker` and `Driver::spawn` gave it to them, and
        // will not drop it; and so does the engine here, which is leaked.
        unsafe { self.engine.forget_clones(workers + 1, driver + 1) };
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Every operation holds an `Io`, so none is in flight now, and the driver has nothing to
        // wait for. A thread of ours may be the one that drops the last `Io`: it is not joined.
        if let Some(driver) = self.driver.take() {
            driver.quit(self.engine.wake_handle());
        }
        if let Some((pool, _)) = self.engine.pool() {
            pool.release_workers();
            join(self.workers.drain(..));
        }
    }
}

impl Runtime {
    /// Starts the threads that `builder` asks for.
    pub(crate) fn start(engine: Engine, builder: &Builder) -> Result<Runtime, Refusal> {
        let plan = Plan { workers: builder.workers, driver: builder.driver };
        let threads = Threads::start(engine.clone(), plan)?;
        let threads = PerProcess::new(threads).map_err(|errno| Refusal {
            backend: Backend::Auto,
            errno: Some(errno),
            why: format!("cannot watch for forks: {errno}"),
        })?;
        Ok(Runtime { threads, engine, plan })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// `None` in a forked child.
    pub(crate) fn drive(&self) -> Option<&Drive> {
        self.threads.get().map(|threads| &threads.drive)
    }

    pub(crate) fn start_backend(&self) -> Result<(), Errno> {
        match &self.threads.get().ok_or(Errno::OWNERDEAD)?.driver {
            Some(driver) => driver.start(self.engine.wake_handle()),
            None => self.engine.backend().start(),
        }
    }

    pub(crate) fn stop_backend(&self, deadline: Deadline) -> Result<(), StopError> {
        let forked = StopError::WrongPlace(Errno::OWNERDEAD);
        match &self.threads.get().ok_or(forked)?.driver {
            // The driver itself is in the middle of a delivery, and the backend says so.
            Some(driver) if driver.is_this_thread() => self.engine.backend().stop(deadline),
            Some(driver) => driver.stop(deadline, self.engine.wake_handle()),
            None => self.engine.backend().stop(deadline),
        }
    }

    /// Makes backend and threads anew in a forked child.
    ///
    /// # Errors
    /// `EALREADY` if this process has them, `EBUSY` if another thread is at it; else what the kernel says.
    pub(crate) fn reinit(&self) -> Result<(), Refusal> {
        self.threads.replace(|parents| {
            self.engine.reinit()?;
            let threads = Threads::start(self.engine.clone(), self.plan)?;
            // SAFETY: the parent's, about to be replaced, and so leaked.
            unsafe { parents.give_up() };
            Ok(threads)
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.threads.get().is_none() {
            // SAFETY: the parent's; the drop of `threads` leaks it.
            unsafe { self.threads.of_any_process().give_up() };
        }
    }
}

fn spawn_worker(pool: Arc<PoolBackend>) -> Result<JoinHandle<()>, Refusal> {
    // Made here, so that a release that comes before the thread runs is not missed.
    let worker = Worker::new(pool);
    // A panic of user code unwinds out of it: go on. It returns when it is released.
    let body = move || while outlive_panics(|| worker.run()).is_none() {};
    spawn("io-worker", body).map_err(|error| no_thread(Backend::Pool, &error))
}

/// What other threads ask of the driver.
enum Request {
    Start(SyncSender<Result<(), Errno>>),
    Stop(Deadline, SyncSender<Result<(), StopError>>),
    Quit,
}

/// What a driver polls.
type Driven = dyn IoBackend + Send + Sync;

/// The thread that polls a backend, and owns it where it is a ring.
struct Driver {
    thread: JoinHandle<()>,
    requests: Mutex<Sender<Request>>,
}

impl Driver {
    fn spawn(kind: Backend, backend: Arc<Driven>) -> Result<Driver, Refusal> {
        let (requests, inbox) = channel();
        let (started, outcome) = sync_channel(1);
        let body = move || {
            let result = backend.start();
            let run = result.is_ok();
            // The builder waits for it below.
            let _ = started.send(result);
            if run {
                drive(&*backend, &inbox);
            }
        };
        let thread = spawn("io-driver", body).map_err(|error| no_thread(kind, &error))?;
        match outcome.recv().unwrap_or(Err(Errno::CANCELED)) {
            Ok(()) => Ok(Driver { thread, requests: Mutex::new(requests) }),
            Err(errno) => {
                join([thread]);
                let why = format!("cannot be started: {errno}");
                Err(Refusal { backend: kind, errno: Some(errno), why })
            }
        }
    }

    fn is_this_thread(&self) -> bool {
        thread::current().id() == self.thread.thread().id()
    }

    fn send(&self, request: Request, wake: WakeHandle<'_>) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // The driver listens until it is told to quit, which is the last request.
        let _ = requests.send(request);
        wake.wake();
    }

    fn start(&self, wake: WakeHandle<'_>) -> Result<(), Errno> {
        if self.is_this_thread() {
            return Err(Errno::DEADLK);
        }
        let (reply, answer) = sync_channel(1);
        self.send(Request::Start(reply), wake);
        answer.recv().unwrap_or(Err(Errno::CANCELED))
    }

    fn stop(&self, deadline: Deadline, wake: WakeHandle<'_>) -> Result<(), StopError> {
        let (reply, answer) = sync_channel(1);
        self.send(Request::Stop(deadline, reply), wake);
        answer.recv().unwrap_or(Err(StopError::WrongPlace(Errno::CANCELED)))
    }

    fn quit(self, wake: WakeHandle<'_>) {
        self.send(Request::Quit, wake);
        join([self.thread]);
    }
}

/// The driver thread's loop.
fn drive(backend: &Driven, inbox: &Receiver<Request>) {
    loop {
        match outlive_panics(|| backend.poll(None)) {
            // A waker forked, and this is the child: there is nothing to drive.
            Some(Err(Errno::OWNERDEAD)) => return,
            // Short of kernel memory, most likely: what waits stays in line, others go first.
            Some(Err(_)) => thread::yield_now(),
            Some(Ok(_)) | None => {}
        }
        while let Ok(request) = inbox.try_recv() {
            // Whoever asked waits for the answer; if not, it is not wanted.
            match request {
                Request::Start(reply) => drop(reply.send(backend.start())),
                Request::Stop(deadline, reply) => drop(reply.send(backend.stop(deadline))),
                Request::Quit => return finish(backend),
            }
        }
    }
}

/// Leaves nothing behind: the owner of a ring stops it before it exits.
fn finish(backend: &Driven) {
    // With no deadline, and outside of any delivery, it cannot fail.
    let _: Result<(), StopError> = backend.stop(Deadline::NEVER);
    while !matches!(outlive_panics(|| backend.poll(Some(Duration::ZERO))), Some(Ok(0) | Err(_))) {}
}
