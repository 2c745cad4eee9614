//! [`SimBackend`]: the contract's entries over the simulated kernel.
#![allow(unsafe_code, reason = "implements the unsafe backend trait")]
//! # Safety
//! The kernel's cell is borrowed for a step of the simulation and never while user code runs: wakers,
//! callbacks and hooks run between steps.

use super::coverage::Coverage;
use super::kernel::{Kernel, Mode, TICK_NS};
use super::log::{Event, What};
use super::plan::Plan;
use crate::choices::Choices;
use crate::world::{Shared, close_fd};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::marker::PhantomPinned;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, InFlight, IoBackend, Node, NodePtr, Op, OpKind, Phase,
    Route, StopError, WakeHandle, Way,
};

/// What runs at an instant of the simulated clock, as if on another thread.
struct Hook {
    at_ns: u64,
    order: u64,
    run: Box<dyn FnOnce()>,
}

/// A backend with a simulated kernel behind it, and an adversary between the two.
///
/// It is for one thread, like a ring; its wake handle is for any.
pub struct SimBackend {
    kernel: RefCell<Kernel>,
    hooks: RefCell<Vec<Hook>>,
    woken: AtomicBool,
    /// Callbacks and wakers that run now, one inside the other.
    delivering: Cell<usize>,
    /// A step of the simulation has unwound.
    broken: Cell<bool>,
    /// 0 in a forked child.
    generation: Cell<u32>,
    /// The one it was made, or made new, in.
    born: Cell<u32>,
    forks: Cell<u32>,
    _pinned: PhantomPinned,
}

impl fmt::Debug for SimBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBackend").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// Notes that what it guards has unwound.
struct Guard<'b>(&'b Cell<bool>, bool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.1 {
            self.0.set(true);
        }
    }
}

/// Counts a waker or callback that runs, also when it unwinds.
struct Inside<'b>(&'b Cell<usize>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl SimBackend {
    /// A backend over this world, whose adversary takes these choices.
    #[must_use]
    pub fn new(choices: Choices, plan: Plan, world: Shared) -> SimBackend {
        // Operations keep the lower half.
        let generations = if plan.variants { &[1, 0xffff, 0x7fff_ffff][..] } else { &[1] };
        let generation = *choices.pick(generations);
        SimBackend {
            kernel: RefCell::new(Kernel::new(choices, plan, world)),
            hooks: RefCell::new(Vec::new()),
            woken: AtomicBool::new(false),
            delivering: Cell::new(0),
            broken: Cell::new(false),
            generation: Cell::new(generation),
            born: Cell::new(generation),
            forks: Cell::new(0),
            _pinned: PhantomPinned,
        }
    }

    /// One step of the simulation. Nothing in it calls user code.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Kernel) -> R) -> R {
        let _guard = Guard(&self.broken, std::thread::panicking());
        act(&mut self.kernel.borrow_mut())
    }

    /// What the adversary may do from here on.
    pub fn set_plan(&self, plan: Plan) {
        self.with(|kernel| kernel.plan = plan);
    }

    /// What the adversary may do.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.with(|kernel| kernel.plan)
    }

    /// The world that its operations act on.
    #[must_use]
    pub fn world(&self) -> Shared {
        self.with(|kernel| kernel.world.clone())
    }

    /// What has happened, the newest 20 000 events.
    #[must_use]
    pub fn log(&self) -> Vec<Event> {
        self.with(|kernel| kernel.log.events().copied().collect())
    }

    /// The log as text, with the program's own lines.
    pub(super) fn log_text(&self) -> String {
        self.with(|kernel| kernel.log.to_string())
    }

    /// What is in flight, a line each.
    pub(super) fn waiting(&self) -> String {
        self.with(|kernel| kernel.waiting())
    }

    /// A descriptor by its number and name, and who used it last.
    pub(super) fn describe(&self, fd: Fd) -> String {
        self.with(|kernel| {
            let user = kernel.log.last_user(fd);
            let user = user.map_or(String::new(), |user| format!(", last used by {user}"));
            kernel.describe(fd) + &user
        })
    }

    /// Adds a line of the program's own to the log.
    pub(super) fn note(&self, text: String) {
        self.with(|kernel| {
            let now = kernel.now_ns();
            kernel.log.note(now, text);
        });
    }

    /// What was reached of what the adversary claims.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.with(|kernel| kernel.coverage.clone())
    }

    /// Whether the log and the lists are not to be trusted: a step has unwound.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Runs `run` when the clock reaches `at_ns`, as another thread would: with no operation's lock or
    /// borrow held, before anything else that happens then.
    pub fn at(&self, at_ns: u64, run: impl FnOnce() + 'static) {
        let order = self.with(|kernel| kernel.submitted);
        self.hooks.borrow_mut().push(Hook { at_ns, order, run: Box::new(run) });
    }

    /// How often this was a fork's child.
    pub(super) fn forks(&self) -> u32 {
        self.forks.get()
    }

    pub(super) fn become_child(&self) {
        // What they hold may run code when it goes.
        let hooks = self.hooks.take();
        drop(hooks);
        self.woken.store(false, Ordering::SeqCst);
        self.generation.set(0);
        self.forks.set(self.forks.get() + 1);
    }

    pub(super) fn become_new(&self) {
        // Operations keep the lower half, which is never 0.
        let next = self.born.get().wrapping_add(1);
        let next = if next & 0xffff == 0 { next + 1 } else { next };
        self.born.set(next);
        self.generation.set(next);
    }

    /// Whether it is the parent's.
    fn is_forked(&self) -> bool {
        self.generation.get() == 0
    }

    fn now_ns(&self) -> u64 {
        self.with(|kernel| kernel.now_ns())
    }

    /// Runs the hooks whose time has come.
    fn run_hooks(&self) -> bool {
        let now = self.now_ns();
        let mut any = false;
        loop {
            let hook = {
                let mut hooks = self.hooks.borrow_mut();
                let due = hooks.iter().enumerate().filter(|(_, hook)| hook.at_ns <= now);
                let first = due.min_by_key(|(_, hook)| (hook.at_ns, hook.order));
                let Some((at, _)) = first else { return any };
                hooks.remove(at)
            };
            any = true;
            (hook.run)();
        }
    }

    /// Moves the clock to what happens next, not beyond `until_ns`. `false` if nothing ever does.
    fn park(&self, until_ns: u64) -> bool {
        let hook = self.hooks.borrow().iter().map(|hook| hook.at_ns).min();
        let moved = self.with(|kernel| {
            let now = kernel.now_ns();
            let next = if kernel.held_back { Some(now + TICK_NS) } else { kernel.next_event() };
            let next = next.into_iter().chain(hook).min().unwrap_or(u64::MAX).min(until_ns);
            if next == u64::MAX {
                return false;
            }
            kernel.note(What::Parked { until_ns: next });
            kernel.world.with(|world| world.advance_to(next));
            true
        });
        if moved {
            self.run_hooks();
        }
        moved
    }

    /// Takes the clock on by the time that a call takes.
    fn tick(&self) {
        self.with(|kernel| kernel.world.with(|world| world.advance_to(world.now_ns() + TICK_NS)));
        self.run_hooks();
    }

    /// Delivers what is ready now; what that adds is for the next turn.
    fn deliver(&self) -> usize {
        let mut left = self.with(|kernel| {
            let ready = kernel.ready();
            let few = kernel.plan.few && ready > 1 && kernel.choices.chance(3);
            if few { 1 + kernel.choices.index(ready) } else { ready }
        });
        let mut delivered = self.with(|kernel| core::mem::take(&mut kernel.quiet));
        while left > 0
            && let Some(delivery) = self.with(Kernel::deliver_next)
        {
            left -= 1;
            delivered += 1;
            self.delivering.set(self.delivering.get() + 1);
            let _inside = Inside(&self.delivering);
            delivery.run();
        }
        delivered
    }

    /// The contract's `poll`.
    fn turn(&self, timeout: Option<Duration>) -> usize {
        self.tick();
        let until =
            timeout.map_or(Deadline::NEVER, |timeout| Deadline::after(self.now_ns(), timeout));
        let timeout_ns =
            timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.with(|kernel| kernel.note(What::Polled { timeout_ns }));
        loop {
            let changed = self.with(Kernel::turn);
            let delivered = self.deliver();
            if self.is_forked() {
                // In a waker or callback, the last that runs here.
                return delivered;
            }
            if let Some(delivered) = self.is_over(delivered, until) {
                self.with(|kernel| kernel.note(What::Returned { delivered }));
                return delivered;
            }
            if !changed && !self.park(until.as_nanos()) {
                self.hang("poll");
            }
        }
    }

    /// As much of a poll as happens by itself: one turn, and then one park if that came to nothing.
    pub(super) fn step(&self) {
        self.tick();
        let changed = self.with(Kernel::turn);
        if self.deliver() == 0 && !changed && !self.park(u64::MAX) {
            self.hang("a run until something is so");
        }
    }

    /// Whether a poll returns.
    fn is_over(&self, delivered: usize, until: Deadline) -> Option<usize> {
        if delivered > 0 {
            // A wake is for the poll that would block: this one did not. Some backends take it all the same.
            let takes = self.with(|kernel| !kernel.plan.spurious || !kernel.choices.chance(2));
            if takes {
                self.woken.store(false, Ordering::SeqCst);
            }
            return Some(delivered);
        }
        if self.woken.swap(false, Ordering::SeqCst) {
            self.with(|kernel| kernel.note(What::Woken));
            return Some(0);
        }
        if until.is_over(|| self.now_ns()) {
            return Some(0);
        }
        let spurious = self.with(|kernel| kernel.plan.spurious && kernel.choices.chance(24));
        if spurious {
            self.with(|kernel| kernel.note(What::Spurious));
        }
        spurious.then_some(0)
    }

    /// Nothing will ever happen any more.
    fn hang(&self, place: &str) -> ! {
        let text = self.with(|kernel| kernel.waiting());
        panic!("{place} would never return: nothing can happen any more\n{text}");
    }

    /// The contract's `wait`.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    unsafe fn wait_for(&self, node: NodePtr) {
        loop {
            // SAFETY: promised by the caller.
            if unsafe { node.phase() } == Phase::Done {
                return;
            }
            if self.broken.get() {
                return self.with(|kernel| kernel.force(node));
            }
            self.tick();
            let changed = self.with(Kernel::turn);
            if let Some(delivery) = self.with(|kernel| kernel.deliver_this(node)) {
                // Its sink was taken out before: nobody's code runs.
                return delivery.run();
            }
            // SAFETY: promised by the caller.
            let done = unsafe { node.phase() } == Phase::Done;
            if !done && !changed && !self.park(u64::MAX) {
                self.hang("wait");
            }
        }
    }

    /// Refuses, cancels and drains. How many are still owned when the deadline passes.
    fn shut(&self, deadline: Deadline) -> usize {
        self.with(|kernel| {
            kernel.note(What::Stopping { deadline_ns: deadline.as_nanos() });
            if kernel.mode != Mode::Stopped {
                kernel.mode = Mode::Stopping;
            }
            kernel.ask_all();
        });
        loop {
            let changed = self.with(Kernel::turn);
            let owned = self.with(|kernel| {
                let owned = kernel.owned();
                if owned == 0 {
                    kernel.mode = Mode::Stopped;
                }
                owned
            });
            if owned == 0 || deadline.is_over(|| self.now_ns()) {
                self.with(|kernel| kernel.note(What::Stopped { owned }));
                return owned;
            }
            if !changed && !self.park(deadline.as_nanos()) {
                self.hang("stop");
            }
        }
    }
}

// SAFETY: a node is completed by who takes it off its list, once; `wait` returns at done; `binding` is of
// `self`; drop drains; it is `!Unpin`, and not `Sync`.
unsafe impl IoBackend for SimBackend {
    fn name(&self) -> &'static str {
        "simulation"
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    fn submit(&self, node: Node) {
        if self.broken.get() {
            // Nobody is told of anything any more.
            let _untold = node.complete(Errno::CANCELED.to_result());
            return;
        }
        self.with(|kernel| kernel.submit(node));
    }

    unsafe fn cancel(&self, node: NodePtr) {
        if self.broken.get() {
            return;
        }
        self.with(|kernel| {
            if let Some(seq) = kernel.of(node) {
                kernel.ask(seq, false);
            }
        });
    }

    unsafe fn wait(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        unsafe { self.wait_for(node) };
    }

    fn closer(&self) -> unsafe fn(Fd) {
        close_fd
    }

    fn start(&self) -> Result<(), Errno> {
        if self.is_forked() {
            return Err(Errno::OWNERDEAD);
        }
        self.with(|kernel| match kernel.mode {
            Mode::Open { started: true } => Err(Errno::ALREADY),
            Mode::Stopping if kernel.owned() > 0 => Err(Errno::BUSY),
            Mode::Open { started: false } | Mode::Stopping | Mode::Stopped => {
                kernel.mode = Mode::Open { started: true };
                kernel.note(What::Started);
                Ok(())
            }
        })
    }

    fn stop(&self, deadline: Deadline) -> Result<(), StopError> {
        if self.is_forked() {
            return Err(StopError::WrongPlace(Errno::OWNERDEAD));
        }
        if self.delivering.get() > 0 || self.broken.get() {
            return Err(StopError::WrongPlace(Errno::DEADLK));
        }
        match self.shut(deadline) {
            0 => Ok(()),
            owned => Err(StopError::StillOwned(owned)),
        }
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        match self.broken.get() {
            _ if self.is_forked() => Err(Errno::OWNERDEAD),
            true => Err(Errno::IO),
            false => Ok(self.turn(timeout)),
        }
    }

    fn flush(&self) -> Result<usize, Errno> {
        if self.is_forked() {
            return Err(Errno::OWNERDEAD);
        }
        self.tick();
        Ok(self.with(|kernel| {
            let before = kernel.queued();
            kernel.begin();
            let handed = before - kernel.queued();
            kernel.note(What::Flushed { handed });
            handed
        }))
    }

    fn wake_handle(&self) -> WakeHandle<'_> {
        let wake = |woken: *const ()| {
            // SAFETY: made from the atomic below, and the handle's lifetime is a borrow of the backend.
            unsafe { &*woken.cast::<AtomicBool>() }.store(true, Ordering::SeqCst);
        };
        // SAFETY: one store to an atomic, on any thread and in a signal handler.
        unsafe { WakeHandle::new(ptr::from_ref(&self.woken).cast(), wake) }
    }

    fn in_flight(&self) -> usize {
        self.with(|kernel| kernel.flights.len())
    }

    fn generation(&self) -> u32 {
        self.generation.get()
    }

    fn now_ns(&self) -> u64 {
        self.with(|kernel| kernel.now_ns())
    }

    fn route(&self, op: &Op) -> Route {
        let why = match way(op.kind()) {
            Way::Readiness => "the simulated clock",
            Way::Inline => "it never waits",
            _ => "the simulated kernel, whenever it likes",
        };
        Route { way: way(op.kind()), why }
    }

    fn counters(&self) -> Counters {
        self.with(|kernel| Counters {
            submitted: kernel.submitted - kernel.lost,
            delivered: kernel.completed,
            queued_now: kernel.queued() as u64,
            in_kernel_now: (kernel.owned() - kernel.queued()) as u64,
            overflow_high_water: kernel.overflow,
            syscalls: 0,
            by_way: kernel.by_way,
            ring_ops: kernel.by_kind,
        })
    }

    fn dump(&self, out: &mut [InFlight]) -> usize {
        self.with(|kernel| {
            for (place, node) in out.iter_mut().zip(kernel.nodes()) {
                *place = InFlight::of(&node, way(node.op().kind()));
            }
            kernel.nodes().count()
        })
    }
}

/// How this kind of operation runs: what no backend gives away is not given away here.
pub(super) const fn way(kind: OpKind) -> Way {
    match kind {
        OpKind::Timeout => Way::Readiness,
        OpKind::Cancel | OpKind::Listen | OpKind::Shutdown => Way::Inline,
        _ => Way::Ring,
    }
}

impl Drop for SimBackend {
    fn drop(&mut self) {
        if self.broken.get() || self.is_forked() {
            return;
        }
        // A drop inside a test that fails reports nothing more.
        let failing = std::thread::panicking();
        let owned = self.shut(Deadline::NEVER);
        while self.with(|kernel| kernel.ready() > 0) && !failing {
            self.deliver();
        }
        self.with(|kernel| kernel.check_conservation(owned, failing));
    }
}
