//! Descriptors whose owner says when they end: what waits on one ends early, and in order, as on any other.

use super::Case;
use crate::clock::deadline_in;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::raw::Raw;
use crate::rig::Rig;
use core::pin::Pin;
use core::time::Duration;
use io_core::op::{Cancel, MsgFlags, Recv};
use io_core::{
    Deadline, Errno, Handle, InFlight, IoBackend, Op, OpKind, Phase, Registered, Scope, Way,
};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(receives_on_a_source_leave_its_line_anywhere::<F>),
        Case::of(a_deadline_passes_in_the_line_of_a_source::<F>),
        Case::of(a_cancel_of_a_number_finds_the_line_of_its_source::<F>),
        Case::of(a_stop_ends_what_waits_on_a_source::<F>),
        Case::of(a_dump_lists_what_waits_on_a_source::<F>),
        Case::of(a_source_can_be_had_again::<F>),
    ]
}

type Waiting<'b, B> = Pin<Box<Raw<Pin<&'b B>>>>;
type Source<'b, B> = Pin<Box<Registered<Pin<&'b B>, Desc>>>;

/// A connected pair, of which the first is a source of the rig's backend.
fn source<'b, B: IoBackend>(rig: &Rig<'b, B>) -> (Source<'b, B>, Desc, Desc) {
    let (near, far) = Desc::pair();
    near.set_nonblocking();
    let source = Box::pin(Registered::new(rig.backend(), near.clone()));
    source.as_ref().attach();
    (source, near, far)
}

fn recv(socket: &Desc, mem: &Mem) -> Op {
    let flags = MsgFlags::empty();
    Op::Recv(Recv { fd: socket.raw(), flags, buf: mem.ptr(), len: mem.len() })
}

/// So many receives of one byte, which wait.
fn receives<'b, B: IoBackend>(
    rig: &Rig<'b, B>,
    socket: &Desc,
    count: usize,
) -> Vec<(Mem, Waiting<'b, B>)> {
    let submitted = |_| {
        let mem = Mem::zeroed(1);
        let mut raw = rig.raw(recv(socket, &mem), mem.only());
        assert!(rig.poll_once(raw.as_mut()).is_pending(), "it waits");
        (mem, raw)
    };
    (0..count).map(submitted).collect()
}

fn result<B: IoBackend, H: Handle>(rig: &Rig<'_, B>, raw: &mut Pin<Box<Raw<H>>>) -> i64 {
    rig.until(|| raw.phase() == Phase::Done);
    raw.result().unwrap_or(i64::MIN)
}

/// What is cancelled leaves the line, at the front, in the middle and at the end; the others get one byte
/// each. (Which of them gets which is the kernel's to say on a ring.)
pub fn receives_on_a_source_leave_its_line_anywhere<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (_source, near, far) = source(rig);
        let mut line = receives(rig, &near, 6);
        for at in [0, 3, 5] {
            line[at].1.cancel();
        }
        for at in [0, 3, 5] {
            assert_eq!(result(rig, &mut line[at].1), Errno::CANCELED.to_result());
        }
        far.put(b"ab");
        far.put(b"c");
        let mut got = Vec::new();
        for at in [1, 2, 4] {
            assert_eq!(result(rig, &mut line[at].1), 1);
            got.extend(line[at].0.bytes(1));
        }
        got.sort_unstable();
        assert_eq!(got, b"abc");
    });
}

/// The first in line is overdue: it ends, and the second gets the data.
pub fn a_deadline_passes_in_the_line_of_a_source<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (_source, near, far) = source(rig);
        let mem = Mem::zeroed(1);
        let soon = deadline_in(Duration::from_millis(5));
        let mut first = rig.timed(recv(&near, &mem), mem.only(), soon);
        first.submit().expect("submit");
        let mut second = receives(rig, &near, 1);
        rig.until(|| first.phase() == Phase::Done);
        assert_eq!(first.result(), Some(Errno::TIMEDOUT.to_result()));
        assert_ne!(second[0].1.phase(), Phase::Done, "it has no deadline");
        far.put(b"x");
        assert_eq!(result(rig, &mut second[0].1), 1);
    });
}

/// All that waits on the number is asked to end, and nothing that waits on another.
pub fn a_cancel_of_a_number_finds_the_line_of_its_source<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (_one, near, _far) = source(rig);
        let (_two, other, far) = source(rig);
        let mut line = receives(rig, &near, 3);
        let mut stays = receives(rig, &other, 1);
        let cancel = Op::Cancel(Cancel { scope: Scope::Fd(near.raw()) });
        assert_eq!(rig.run(cancel, &[]), 3);
        for (_, raw) in &mut line {
            assert_eq!(result(rig, raw), Errno::CANCELED.to_result());
        }
        far.put(b"x");
        assert_eq!(result(rig, &mut stays[0].1), 1);
    });
}

/// It ends with `ECANCELED`, and nothing is owned any more; a source outlives the stop and the next start.
pub fn a_stop_ends_what_waits_on_a_source<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (_source, near, far) = source(rig);
        let mut line = receives(rig, &near, 3);
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        for (_, raw) in &mut line {
            assert_eq!(result(rig, raw), Errno::CANCELED.to_result());
        }
        assert_eq!(rig.backend().start(), Ok(()));
        let mut again = receives(rig, &near, 1);
        far.put(b"x");
        assert_eq!(result(rig, &mut again[0].1), 1);
    });
}

/// Each of them, with its descriptor.
pub fn a_dump_lists_what_waits_on_a_source<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        // Where there is an owner, only it can look.
        rig.poll(Some(Duration::ZERO));
        let (_source, near, _far) = source(rig);
        let line = receives(rig, &near, 3);
        let away = rig.backend().route(&recv(&near, &Mem::zeroed(1))).way == Way::Offload;
        let mut list = [InFlight::EMPTY; 8];
        assert_eq!(rig.backend().dump(&mut list), 3);
        // What an offload has is counted, and may be left to the offload to show.
        for listed in list[..3].iter().filter(|_| !away) {
            assert_eq!((listed.kind, listed.fd), (OpKind::Recv, Some(near.raw())));
        }
        assert_eq!(rig.backend().in_flight(), 3);
        drop(line);
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// The record goes and another comes, again and again, and each time its descriptor works.
pub fn a_source_can_be_had_again<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        near.set_nonblocking();
        for _ in 0..20 {
            let source = Box::pin(Registered::new(rig.backend(), near.clone()));
            source.as_ref().attach();
            let mut waits = receives(rig, &near, 1);
            far.put(b"x");
            assert_eq!(result(rig, &mut waits[0].1), 1);
            drop(source);
            let mut bare = receives(rig, &near, 1);
            far.put(b"y");
            assert_eq!(result(rig, &mut bare[0].1), 1);
        }
    });
}
