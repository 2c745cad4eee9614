//! What the kernel may say of a cancel, and what is true of the operation meanwhile: nine cells.

use crate::load::{Noted, works};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use io_conformance::Desc;
use io_conformance::fault::{Answer, Entries, Supervisor, flat, give_up};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::rig::Rig;
use io_conformance::watchdog::rounds;
use io_core::{Errno, IoBackend};
use std::sync::Arc;

static ENTER: &[i64] = &[libc::SYS_io_uring_enter];

/// "It comes back cancelled", "there is no such thing", "it runs, and has been told".
const ANSWERS: [Option<Errno>; 3] = [None, Some(Errno::NOENT), Some(Errno::ALREADY)];

/// What is true of the operation when its cancel is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Truth {
    /// Its result is there.
    Done,
    /// The kernel has given it up.
    GivenUp,
    /// It goes on.
    Running,
}

/// Each answer with each truth, of a read that waits in the ring and of one that waits for readiness.
pub(crate) fn answered<F: Fixture>(fx: &F) {
    let _before_the_first_count = Supervisor::over(ENTER);
    flat(rounds(3), "answers to cancels", || {
        for truth in [Truth::Done, Truth::GivenUp, Truth::Running] {
            for answer in ANSWERS {
                for nonblocking in [false, true] {
                    fx.started(|rig| one(rig, truth, answer, nonblocking));
                }
            }
        }
    });
}

fn one<B: IoBackend>(rig: &Rig<'_, B>, truth: Truth, answer: Option<Errno>, nonblocking: bool) {
    let cell = format!("{answer:?} of what is {truth:?}, non-blocking: {nonblocking}");
    let (reader, writer) = Desc::pipe();
    if nonblocking {
        reader.set_nonblocking();
    }
    let mem = Mem::filled(4, 0xaa);
    let mut read = Noted::submit(rig, reader.read_op(&mem), mem.only());
    for _ in 0..3 {
        rig.poll(Some(Duration::ZERO));
    }
    let answers = Arc::new(AtomicU32::new(0));
    let (entries, count) = (Entries::of_the_ring(), Arc::clone(&answers));
    let enter = Supervisor::over(ENTER);
    enter.script(move |_| {
        count.fetch_add(entries.answer_cancels(answer), Ordering::SeqCst);
        Answer::Go
    });
    match truth {
        Truth::Done => writer.put(b"data"),
        Truth::GivenUp => give_up(reader.raw()),
        Truth::Running => {}
    }
    read.raw.cancel();
    for _ in 0..8 {
        rig.poll(Some(Duration::ZERO));
    }
    if truth == Truth::Running {
        assert!(!read.is_done(), "{cell}: ended by an answer");
        writer.put(b"data");
    }
    rig.until(|| read.is_done());
    let result = read.result();
    let asked = answers.load(Ordering::SeqCst);
    // Of what has just gone it asks again; else once is enough.
    let (least, most) = match answer {
        Some(Errno::NOENT) if truth == Truth::Running => (2, u32::MAX),
        Some(Errno::NOENT) => (1, u32::MAX),
        _ => (1, 1),
    };
    assert!((least..=most).contains(&asked), "{cell}: {asked} cancels");
    enter.calm();
    match truth {
        Truth::GivenUp => assert_eq!(result, Errno::CANCELED.to_result(), "{cell}"),
        // Between a readiness and the read that follows, a cancel is in time.
        _ if nonblocking && result < 0 => assert_eq!(result, Errno::CANCELED.to_result(), "{cell}"),
        _ => assert_eq!(result, 4, "{cell}"),
    }
    if result == 4 {
        assert_eq!(mem.bytes(4), b"data", "{cell}");
    } else {
        assert!(mem.all(0xaa), "{cell}: nothing was read");
        if truth == Truth::GivenUp {
            writer.put(b"data");
        }
        assert_eq!(reader.get(4), b"data", "{cell}: a byte was lost");
    }
    drop(read);
    works(rig);
}
