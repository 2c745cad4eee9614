//! One epoch: a backend built anew, threads that load it, a thread that disturbs them, and what must hold when
//! all of them are gone.

use crate::faults::{self, Targets};
use crate::lane::{End, Lane};
use crate::random::Random;
use crate::watch::Watch;
use crate::world::{Counts, World, count};
use crate::{heap, process, sessions};
use core::cell::Cell;
use core::sync::atomic::Ordering;
use core::time::Duration;
use io_core::ops::Ops;
use io_core::{Deadline, Handle};
use io_std::{Backend, Io};
use smol::LocalExecutor;
use std::sync::{Arc, Barrier};
use std::thread;

/// What an epoch leaves behind.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) counts: Counts,
    pub(crate) submitted: u64,
    pub(crate) delivered: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) resident_kib: usize,
    pub(crate) heap_bytes: usize,
}

/// What an epoch is like.
#[derive(Debug)]
struct Plan {
    driver: bool,
    workers: usize,
    ring_entries: u32,
    threads: usize,
    lanes: usize,
    /// Sessions of each thread.
    quota: u32,
    harsh: bool,
    squeezed: bool,
}

impl Plan {
    fn choose(random: &mut Random) -> Plan {
        Plan {
            driver: !random.once_in(3),
            workers: random.below(4),
            ring_entries: 1 << random.below(9),
            threads: 1 + random.below(3),
            lanes: random.size(24),
            quota: 50 + u32::try_from(random.below(150)).unwrap_or(0),
            harsh: random.once_in(2),
            squeezed: random.once_in(3),
        }
    }
}

/// Runs one.
///
/// # Errors
/// What is wrong.
pub(crate) fn run(backend: Backend, random: &mut Random, watch: &Watch) -> Result<Epoch, String> {
    let (descriptors, threads) = (process::descriptors(), process::threads());
    let plan = Plan::choose(random);
    let built = Io::builder()
        .backend(backend)
        .driver(plan.driver)
        .workers(plan.workers)
        .ring_entries(plan.ring_entries)
        .build();
    let io = built.map_err(|error| format!("cannot be built: {error}"))?;
    let world = Arc::new(World::new(io, plan.threads, plan.harsh, plan.squeezed));
    watch.look_at(Some(Arc::clone(&world)));
    load(&world, &plan, random, watch);
    watch.look_at(None);
    if let Some(error) = world.failure() {
        return Err(format!("{error}\n  in {plan:?}"));
    }
    let world = Arc::try_unwrap(world).map_err(|_| "somebody kept the world".to_owned())?;
    let (submitted, delivered) = settled(&world.io)?;
    let World { io, counts, .. } = world;
    drop(io);
    watch.step();
    // First the threads: a worker that has just woken somebody may be the one that drops the last `Io`.
    let threads_left = process::threads_settled(threads);
    let epoch = Epoch {
        counts,
        submitted,
        delivered,
        descriptors: process::descriptors(),
        threads: threads_left,
        resident_kib: process::resident_kib(),
        heap_bytes: heap::bytes(),
    };
    if (epoch.descriptors, epoch.threads) != (descriptors, threads) {
        return Err(format!(
            "{descriptors} descriptors and {threads} threads before it, {} and {} after it: {}\n  in {plan:?}",
            epoch.descriptors,
            epoch.threads,
            process::descriptor_names()
        ));
    }
    Ok(epoch)
}

/// Nothing may be in flight any more, and what was submitted must have been delivered, once.
fn settled(io: &Io) -> Result<(u64, u64), String> {
    let (counters, left) = (io.backend().counters(), io.backend().in_flight());
    let (submitted, delivered) = (counters.submitted, counters.delivered);
    if left != 0 || submitted != delivered {
        return Err(format!("{submitted} submitted, {delivered} delivered, {left} in flight"));
    }
    Ok((submitted, delivered))
}

fn load(world: &Arc<World>, plan: &Plan, random: &mut Random, watch: &Watch) {
    let (targets, first) = (Targets::default(), Barrier::new(plan.threads));
    thread::scope(|scope| {
        for index in 0..plan.threads {
            let (random, targets, first) = (random.child(), &targets, &first);
            scope.spawn(move || {
                targets.add_this_thread();
                // The first one leads where nobody else drives, and for as long as the others need it.
                if index == 0 {
                    let led = world.io.block_on(world.io.nop());
                    if let Err(errno) = led {
                        world.fail(format!("the first nop: {errno}"));
                    }
                }
                first.wait();
                world.io.block_on(sessions_of(world, plan, index == 0, random, watch));
                // Whoever owns a ring stops it before it ends.
                if index == 0
                    && let Err(error) = world.io.stop(Deadline::NEVER)
                {
                    world.fail(format!("the last stop: {error}"));
                }
                targets.remove_this_thread();
            });
        }
        let (random, targets) = (random.child(), &targets);
        scope.spawn(move || faults::disturb(world, targets, random));
    });
}

/// One thread's sessions: so many, in lanes.
async fn sessions_of(
    world: &Arc<World>,
    plan: &Plan,
    leads: bool,
    mut random: Random,
    watch: &Watch,
) {
    let left = Cell::new(plan.quota);
    let executor = LocalExecutor::new();
    let lane = |mut lane: Lane| {
        let left = &left;
        async move {
            while left.get() > 0 && !lane.world.failed() {
                left.set(left.get() - 1);
                match sessions::run(&mut lane, leads).await {
                    Ok(()) => count(&lane.world.counts.sessions),
                    Err(End::Excused) => count(&lane.world.counts.excused),
                    Err(End::Broken(error)) => lane.world.fail(error),
                }
                lane.at("between sessions");
                watch.step();
            }
            lane.at("over");
        }
    };
    let lanes: Vec<_> =
        (0..plan.lanes).map(|_| executor.spawn(lane(Lane::new(world, random.child())))).collect();
    executor
        .run(async {
            for lane in lanes {
                lane.await;
            }
        })
        .await;
    world.busy.fetch_sub(1, Ordering::SeqCst);
    while leads && world.busy.load(Ordering::SeqCst) > 0 {
        // Cancelled by a session of another thread, it is over early: fine.
        let _ = world.io.sleep(Duration::from_micros(500)).await;
    }
}
