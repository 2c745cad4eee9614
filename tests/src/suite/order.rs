//! Order and number: one at a time is in order, thousands at once all arrive, and nothing waits for more.

use super::Case;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::raw::Hook;
use crate::rig::Rig;
use crate::watchdog::rounds;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use io_core::op::Nop;
use io_core::ops::Ops;
use io_core::{IoBackend, Op, Phase};
use std::sync::Arc;
use std::thread;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(sequential_reads_follow_the_position::<F>),
        Case::of(sequential_writes_through_a_pipe_are_in_order::<F>),
        Case::of(ten_thousand_nops_at_once::<F>),
        Case::of(ten_thousand_reads_at_once::<F>),
        Case::of(ten_thousand_reads_with_nobody_to_hear::<F>),
        Case::of(nothing_waits_for_a_batch::<F>),
        Case::of(what_is_submitted_starts_by_itself::<F>),
        Case::of(flush_hands_work_on::<F>),
        Case::of(many_waiting_and_many_ready::<F>),
    ]
}

/// Reads and writes at the file's position, one awaited after the other.
pub fn sequential_reads_follow_the_position<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"");
        rig.block_on(async {
            for round in 0..500_u32 {
                let (count, _) = rig.backend().write(file.clone(), round.to_le_bytes()).await;
                assert_eq!(count, Ok(4));
            }
            file.seek_to(0);
            for round in 0..500_u32 {
                let (count, buf) = rig.backend().read(file.clone(), [0_u8; 4]).await;
                assert_eq!((count, buf), (Ok(4), round.to_le_bytes()));
            }
        });
    });
}

/// A pipe yields what was written in the order it was.
pub fn sequential_writes_through_a_pipe_are_in_order<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        rig.block_on(async {
            for round in 0..2000_u32 {
                let out = round.to_le_bytes();
                assert_eq!(rig.backend().write(writer.clone(), out).await.0, Ok(4));
                if round % 7 == 6 {
                    for _ in 0..7 {
                        let (count, _) = rig.backend().read(reader.clone(), [0_u8; 4]).await;
                        assert_eq!(count, Ok(4));
                    }
                }
            }
            let left = 2000 % 7;
            for round in 2000 - left..2000_u32 {
                let (_, buf) = rig.backend().read(reader.clone(), [0_u8; 4]).await;
                assert_eq!(buf, round.to_le_bytes());
            }
        });
    });
}

/// Submits `count` operations made by `make`, with callbacks, and drives until all are called; each is
/// called once, with `expected`.
fn flood<B: IoBackend>(
    rig: &Rig<'_, B>,
    count: usize,
    keep: &[Mem],
    make: impl Fn(usize) -> Op,
    expected: i64,
) {
    let calls: Arc<Vec<AtomicUsize>> = Arc::new((0..count).map(|_| AtomicUsize::new(0)).collect());
    let (done, wrong) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut raws: Vec<_> = (0..count).map(|i| rig.raw(make(i), keep)).collect();
    for (i, raw) in raws.iter_mut().enumerate() {
        let (calls, done, wrong) = (Arc::clone(&calls), Arc::clone(&done), Arc::clone(&wrong));
        let signal = Arc::clone(rig.signal());
        let hook = Hook::new(move |result| {
            calls[i].fetch_add(1, Ordering::SeqCst);
            if result != expected {
                wrong.fetch_add(1, Ordering::SeqCst);
            }
            if done.fetch_add(1, Ordering::SeqCst) + 1 == count {
                signal.raise();
            }
        });
        raw.submit_callback(&hook).expect("submit");
    }
    rig.until(|| done.load(Ordering::SeqCst) >= count);
    assert!(calls.iter().all(|calls| calls.load(Ordering::SeqCst) == 1), "not one call each");
    assert_eq!(wrong.load(Ordering::SeqCst), 0, "wrong results");
    assert_eq!(rig.backend().in_flight(), 0);
}

/// 10 000 nops are submitted before the first poll, whatever the size of any queue.
pub fn ten_thousand_nops_at_once<F: Fixture>(fx: &F) {
    fx.both(|rig| flood(rig, rounds(10_000) as usize, &[], |_| Op::Nop(Nop), 0));
}

/// 10 000 reads, each into its own byte.
pub fn ten_thousand_reads_at_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let count = rounds(10_000) as usize;
        let bytes: Vec<u8> = (0..=250).cycle().take(count).collect();
        let file = Desc::file(&bytes);
        let mem = Mem::filled(count, 0xff);
        let make = |i: usize| {
            let (fd, seekable) = (file.raw(), io_core::Seekable::Unknown);
            let (buf, len) = (mem.ptr().wrapping_add(i), 1);
            let offset = i64::try_from(i).expect("small");
            Op::Pread(io_core::op::Pread { fd, seekable, buf, len, offset })
        };
        flood(rig, count, mem.only(), make, 1);
        assert!(mem.bytes(count) == bytes);
    });
}

/// 10 000 reads are submitted with nobody to hear of them, and are done after a while of polling.
pub fn ten_thousand_reads_with_nobody_to_hear<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"x");
        let mem = Mem::zeroed(1);
        let count = rounds(10_000) as usize;
        let mut raws: Vec<_> =
            (0..count).map(|_| rig.raw(file.pread_op(&mem, 0), mem.only())).collect();
        for raw in &mut raws {
            raw.submit().expect("submit");
        }
        rig.until_seen(|| rig.backend().in_flight() == 0);
        for raw in &mut raws {
            assert_eq!(raw.result(), Some(1));
        }
    });
}

/// Any number of operations completes without another submit.
pub fn nothing_waits_for_a_batch<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"x");
        let mem = Mem::zeroed(1);
        for count in (1..=70).chain([127, 128, 129, 255, 256, 257]) {
            flood(rig, count, mem.only(), |_| file.pread_op(&mem, 0), 1);
        }
    });
}

/// On a started backend with threads, what is submitted runs and completes while nobody polls.
pub fn what_is_submitted_starts_by_itself<F: Fixture>(fx: &F) {
    if !fx.caps().runs_by_itself {
        crate::skip::skip("no threads but the one that polls");
    }
    fx.started(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for _ in 0..100 {
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            read.submit().expect("submit");
            writer.put(b"x");
            while read.phase() != Phase::Done {
                thread::yield_now();
            }
            assert_eq!(read.result(), Some(1));
        }
    });
}

/// After a flush, what could complete does so with polls that do not wait.
pub fn flush_hands_work_on<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"x");
        let mem = Mem::zeroed(1);
        let mut raws: Vec<_> =
            (0..20).map(|_| rig.raw(file.pread_op(&mem, 0), mem.only())).collect();
        for raw in &mut raws {
            raw.submit().expect("submit");
        }
        let _handed: usize = rig.backend().flush().expect("flush");
        while raws.iter().any(|raw| raw.phase() != Phase::Done) {
            rig.poll(Some(Duration::ZERO));
            thread::yield_now();
        }
        assert_eq!(rig.backend().flush(), Ok(0), "nothing is left to hand on");
    });
}

/// 300 operations that wait and 3000 that need not, mixed; then the waiting ones get their data.
pub fn many_waiting_and_many_ready<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let pipes: Vec<_> = (0..100).map(|_| Desc::pipe()).collect();
        let file = Desc::file(b"x");
        let mem = Mem::zeroed(1);
        let mut waiting = Vec::new();
        for i in 0..300 {
            let (reader, _) = &pipes[i % 100];
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            waiting.push(read);
            flood_beside(rig, &file, &mem);
        }
        for (_, writer) in &pipes {
            writer.put(b"abc");
        }
        for read in &mut waiting {
            assert_eq!(rig.block_on(read.as_mut()), 1);
        }
    });
}

fn flood_beside<B: IoBackend>(rig: &Rig<'_, B>, file: &Desc, mem: &Mem) {
    let mut raws: Vec<_> = (0..10).map(|_| rig.raw(file.pread_op(mem, 0), mem.only())).collect();
    for raw in &mut raws {
        raw.submit().expect("submit");
    }
    for raw in &mut raws {
        assert_eq!(rig.block_on(raw.as_mut()), 1);
    }
}
