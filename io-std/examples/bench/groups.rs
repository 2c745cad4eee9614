//! Who is compared with whom: the rings at each depth, and pool and epoll with blocking reads.

use crate::Failure;
use crate::callbacks::CallbackForm;
use crate::data::{Data, HOT_SPAN, WIDE_SPAN};
use crate::futures::FutureForm;
use crate::limits::{PreadLoop, RawRing, ring_entries};
use crate::measure::{Contender, Entry, Figures, Plan, compare};
use crate::rows::{Backend, Form, Row, Workload};
use crate::work::{Nops, Reads, Work};
use core::pin::{Pin, pin};
use io_core::IoBackend;
use io_epoll_backend::LocalEpoll;
use io_pool_backend::{PoolBackend, Worker};
use io_uring_backend::{Config, Local, UringBackend};
use std::path::Path;
use std::thread;

const DEPTHS: [usize; 3] = [1, 32, 128];
const WORKLOADS: [Workload; 3] = [Workload::Nop, Workload::ReadHot, Workload::ReadWide];
const POOL_WORKERS: usize = 2;

type Epoll = LocalEpoll;
type Pool = PoolBackend;
type Uring = UringBackend<Local>;

/// Measures everything; calls `report` with each row's figures.
///
/// # Errors
/// The data file's or a contender's. A kernel without the ring is no error: its rows are left out, and
/// standard error says why.
pub(crate) fn compare_all(
    directory: &Path,
    plan: Plan,
    mut report: impl FnMut(Row, Figures),
) -> Result<(), Failure> {
    let data = Data::new(directory, WIDE_SPAN)?;
    match new_uring(1) {
        Ok(_) => {
            for (workload, depth) in cases() {
                match workload {
                    Workload::Nop => rings(workload, &vec![Nops; depth], &[], plan, &mut report)?,
                    _ => {
                        let reads = all_reads(&data, workload, depth)?;
                        let bare = match workload {
                            Workload::ReadHot => all_reads(&data, Workload::ReadHotBareFd, depth)?,
                            _ => Vec::new(),
                        };
                        rings(workload, &reads, &bare, plan, &mut report)?;
                    }
                }
            }
        }
        Err(error) => eprintln!("bench: no rows of the ring: {error}"),
    }
    let epoll = pin!(Epoll::new()?);
    let epoll = epoll.into_ref();
    with_pool(|pool| {
        for (workload, depth) in cases() {
            match workload {
                Workload::Nop => {
                    let work = vec![Nops; depth];
                    let mut group = pool_entries(pool, workload, &work, None);
                    group.extend(epoll_entries(epoll, workload, &work, None));
                    compare(group, plan, &mut report)?;
                }
                _ => {
                    let reads = all_reads(&data, workload, depth)?;
                    let mut group = reading_entries(pool, &data, workload, &reads);
                    group.extend(epoll_entries(epoll, workload, &reads, Some(0)));
                    compare(group, plan, &mut report)?;
                }
            }
        }
        Ok(())
    })
}

/// Runs `ops` operations of one row.
///
/// # Errors
/// The data file's or the contender's, or that there is no such row.
pub(crate) fn count(row: Row, ops: u64, directory: &Path) -> Result<(), Failure> {
    if row.workload == Workload::Nop {
        return count_of(row, ops, &vec![Nops; row.depth]);
    }
    let span = if row.workload == Workload::ReadWide { WIDE_SPAN } else { HOT_SPAN };
    let data = Data::new(directory, span)?;
    let reads = all_reads(&data, row.workload, row.depth)?;
    match row.backend {
        Backend::Pread => finish(&mut PreadLoop::new(&data, reads[0].clone()), ops),
        _ => count_of(row, ops, &reads),
    }
}

fn count_of<W: Work>(row: Row, ops: u64, work: &[W]) -> Result<(), Failure> {
    match (row.backend, row.form) {
        (Backend::RawRing, _) => finish(&mut RawRing::new(work.to_vec())?, ops),
        (Backend::Uring, Form::Future | Form::Callback) => {
            let uring = pin!(new_uring(row.depth)?);
            let uring = uring.into_ref();
            finish(form::<_, _, false>(uring, row.form, work).as_mut(), ops)
        }
        (Backend::Epoll, Form::Future | Form::Callback) => {
            let epoll = pin!(Epoll::new()?);
            finish(form::<_, _, false>(epoll.into_ref(), row.form, work).as_mut(), ops)
        }
        (Backend::Pool, Form::Future | Form::Callback) => {
            with_pool(|pool| finish(form::<_, _, true>(pool, row.form, work).as_mut(), ops))
        }
        _ => Err("there is no such row".into()),
    }
}

fn finish(contender: &mut dyn Contender, ops: u64) -> Result<(), Failure> {
    contender.run(ops)?;
    match contender.wrong() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} wrong results").into()),
    }
}

fn cases() -> impl Iterator<Item = (Workload, usize)> {
    WORKLOADS.into_iter().flat_map(|workload| DEPTHS.map(|depth| (workload, depth)))
}

fn all_reads(data: &Data, workload: Workload, depth: usize) -> Result<Vec<Reads>, Failure> {
    (0..depth).map(|slot| data.reads(workload, slot)).collect()
}

fn new_uring(depth: usize) -> Result<Uring, Failure> {
    let config = Config::new().entries(ring_entries(depth)?);
    Ok(Uring::new(&config).map_err(|error| error.to_string())?)
}

/// Runs `act` with a pool that two threads work for.
fn with_pool(act: impl FnOnce(Pin<&Pool>) -> Result<(), Failure>) -> Result<(), Failure> {
    let pool = pin!(Pool::new()?);
    let pool = pool.into_ref();
    thread::scope(|scope| {
        let shared = pool.get_ref();
        for _ in 0..POOL_WORKERS {
            let worker = Worker::new(shared);
            scope.spawn(move || worker.run());
        }
        // So that they do not arrive in the middle of a measurement.
        while shared.workers() < POOL_WORKERS {
            thread::yield_now();
        }
        let outcome = pool.start().map_err(Failure::from).and_then(|()| act(pool));
        shared.release_workers();
        outcome
    })
}

fn form<'b, B: IoBackend, W: Work + 'b, const SHARED: bool>(
    backend: Pin<&'b B>,
    form: Form,
    work: &[W],
) -> Box<dyn Contender + 'b> {
    match form {
        Form::Callback => Box::new(CallbackForm::<B, W, SHARED>::new(backend, work)),
        Form::Future | Form::Loop => Box::new(FutureForm::<B, W, SHARED>::new(backend, work)),
    }
}

/// The ring backend and the hand-written ring loop, twice. `bare`: the same reads without the proof
/// that the file is seekable, or none.
fn rings<W: Work>(
    workload: Workload,
    work: &[W],
    bare: &[W],
    plan: Plan,
    report: &mut impl FnMut(Row, Figures),
) -> Result<(), Failure> {
    let depth = work.len();
    let uring = pin!(new_uring(depth)?);
    let uring = uring.into_ref();
    let row = |workload, backend, form| Some(Row { workload, backend, form, depth });
    let of = |row, ratio, contender| Entry { row, ratio, contender };
    let raw = || RawRing::new(work.to_vec()).map(|raw| Box::new(raw) as Box<dyn Contender>);
    let mut group = vec![
        of(row(workload, Backend::RawRing, Form::Loop), Some((1, 0)), raw()?),
        of(None, None, raw()?),
    ];
    for kind in [Form::Future, Form::Callback] {
        let ratio = Some((group.len(), 0));
        let contender = form::<_, _, false>(uring, kind, work);
        group.push(of(row(workload, Backend::Uring, kind), ratio, contender));
    }
    if !bare.is_empty() {
        let ratio = Some((group.len(), 0));
        let contender = form::<_, _, false>(uring, Form::Future, bare);
        let row = row(Workload::ReadHotBareFd, Backend::Uring, Form::Future);
        group.push(of(row, ratio, contender));
    }
    compare(group, plan, report)
}

/// Blocking reads, twice, and the pool. A blocking read has no depth: its row is printed once.
fn reading_entries<'a>(
    pool: Pin<&'a Pool>,
    data: &'a Data,
    workload: Workload,
    reads: &[Reads],
) -> Vec<Entry<'a>> {
    let row = Row { workload, backend: Backend::Pread, form: Form::Loop, depth: 1 };
    let of = |row, ratio| Entry {
        row,
        ratio,
        contender: Box::new(PreadLoop::new(data, reads[0].clone())),
    };
    let mut group = vec![of((reads.len() == 1).then_some(row), Some((1, 0))), of(None, None)];
    group.extend(pool_entries(pool, workload, reads, Some(0)));
    group
}

/// The pool, measured against the entry at `limit`, to be put at index 2.
fn pool_entries<'a, W: Work + 'a>(
    pool: Pin<&'a Pool>,
    workload: Workload,
    work: &[W],
    limit: Option<usize>,
) -> Vec<Entry<'a>> {
    let entry = |(index, kind)| Entry {
        row: Some(Row { workload, backend: Backend::Pool, form: kind, depth: work.len() }),
        ratio: limit.map(|limit| (index, limit)),
        contender: form::<_, _, true>(pool, kind, work),
    };
    [(2, Form::Future), (3, Form::Callback)].into_iter().map(entry).collect()
}

/// Epoll without an offload: what a read needs that would wait for a disk is done inside poll. To be put at
/// index 4, behind the pool.
fn epoll_entries<'a, W: Work + 'a>(
    epoll: Pin<&'a Epoll>,
    workload: Workload,
    work: &[W],
    limit: Option<usize>,
) -> Vec<Entry<'a>> {
    let entry = |(index, kind)| Entry {
        row: Some(Row { workload, backend: Backend::Epoll, form: kind, depth: work.len() }),
        ratio: limit.map(|limit| (index, limit)),
        contender: form::<_, _, false>(epoll, kind, work),
    };
    [(4, Form::Future), (5, Form::Callback)].into_iter().map(entry).collect()
}
