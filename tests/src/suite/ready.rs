//! Waiting for readiness itself: poll.

use super::Case;
use super::net::waits;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Note, Rig};
use core::time::Duration;
use io_core::op::{AcceptFlags, MsgFlags, Poll, PollEvents, Recv, Send};
use io_core::ops::Ops;
use io_core::{Errno, Fd, IoBackend, Op};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(what_is_ready_is_so_at_once::<F>).needs(Needs::Object),
        Case::of(poll_waits_for_data::<F>).needs(Needs::Object),
        Case::of(poll_waits_for_room::<F>),
        Case::of(poll_waits_for_urgent_data::<F>).needs(Needs::Object),
        Case::of(a_hang_up_is_told_unasked::<F>),
        Case::of(poll_says_what_poll_says::<F>),
        Case::of(what_can_never_be_ready_is_eperm::<F>).needs(Needs::Object),
        Case::of(numbers_that_are_not_open::<F>),
        Case::of(several_polls_of_one_descriptor::<F>),
        Case::of(a_poll_consumes_nothing::<F>),
        Case::of(polls_are_cancelled::<F>),
        Case::of(two_hundred_idle_polls_hold_nobody_up::<F>),
    ]
}

const IN: PollEvents = PollEvents::IN;
const OUT: PollEvents = PollEvents::OUT;

fn poll(desc: &Desc, events: PollEvents) -> Op {
    Op::Poll(Poll { fd: desc.raw(), events })
}

fn mask(events: PollEvents) -> i64 {
    i64::from(events.bits())
}

/// A connection over the loopback interface.
fn tcp<B: IoBackend>(rig: &Rig<'_, B>) -> (Desc, Desc) {
    let (listener, address) = Desc::listener();
    let near = Desc::connect(address);
    let far = rig.block_on(rig.backend().accept(listener, AcceptFlags::empty()));
    (near, Desc::adopt_owned(far.expect("accept")))
}

/// A counter of events that is at `count`.
fn eventfd(count: u8) -> Desc {
    let fd = Desc::eventfd();
    if count > 0 {
        fd.put(&u64::from(count).to_ne_bytes());
    }
    fd
}

/// Files, directories, devices, pipes, sockets: the same as from `poll(2)`, in every form.
pub fn what_is_ready_is_so_at_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let (near, far) = Desc::pair();
        writer.put(b"x");
        far.put(b"x");
        let (listener, address) = Desc::listener();
        let _client = Desc::connect(address);
        for (name, desc) in [
            ("file", Desc::file(b"abc")),
            ("empty file", Desc::file(b"")),
            ("directory", Desc::directory()),
            ("/dev/null", Desc::open("/dev/null")),
            ("/dev/zero", Desc::open("/dev/zero")),
            ("proc file", Desc::open("/proc/self/status")),
            ("pipe with data", reader.clone()),
            ("pipe with room", writer.clone()),
            ("socket", near.clone()),
            ("listener", listener.clone()),
            ("eventfd", eventfd(1)),
        ] {
            for events in [IN, OUT, IN | OUT, IN | PollEvents::PRI, PollEvents::RDNORM] {
                let expected = oracle(&poll(&desc, events), &[]);
                if expected == Errno::AGAIN.to_result() {
                    continue;
                }
                for form in Form::ALL {
                    let got = rig.run_as(form, poll(&desc, events), &[]);
                    assert_eq!(got, expected, "{name}, {events:?}, {form:?}");
                }
            }
        }
        assert_eq!(rig.block_on(rig.backend().poll_fd(near, IN | OUT)), Ok(IN | OUT));
        assert_eq!(rig.call_back(rig.backend().poll_fd(reader, IN)), Ok(IN));
    });
}

/// A poll for reading completes when there is something to read, and not before.
pub fn poll_waits_for_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        assert_eq!(waits(rig, poll(&reader, IN), &[], || writer.put(b"x")), mask(IN));
        let (near, far) = Desc::pair();
        assert_eq!(waits(rig, poll(&near, IN), &[], || far.put(b"x")), mask(IN));
        let (near, far) = tcp(rig);
        assert_eq!(waits(rig, poll(&near, IN), &[], || far.put(b"x")), mask(IN));
        let event = eventfd(0);
        let raise = || event.put(&1_u64.to_ne_bytes());
        assert_eq!(waits(rig, poll(&event, IN), &[], raise), mask(IN));
        let (listener, address) = Desc::listener();
        let mut client = None;
        let come = || client = Some(Desc::connect(address));
        assert_eq!(waits(rig, poll(&listener, IN), &[], come), mask(IN));
    });
}

/// A poll for writing completes when there is room.
pub fn poll_waits_for_room<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let full = writer.fill_up();
        let drain = || drop(reader.get(full));
        assert_eq!(waits(rig, poll(&writer, OUT), &[], drain), mask(OUT));
    });
}

/// Peers that go: hang-up and error are told to who asked for something else, or for nothing.
pub fn a_hang_up_is_told_unasked<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for events in [PollEvents::empty(), IN, PollEvents::PRI] {
            let (reader, writer) = Desc::pipe();
            let got = waits(rig, poll(&reader, events), &[], || drop(writer));
            assert_eq!(got, mask(PollEvents::HUP), "a pipe's end, {events:?}");
            let (reader, writer) = Desc::pipe();
            let got = waits(rig, poll(&writer, events), &[], || drop(reader));
            assert_eq!(got, mask(PollEvents::ERR), "a pipe without readers, {events:?}");
            let (near, far) = Desc::pair();
            let events = events | PollEvents::RDHUP;
            let got = waits(rig, poll(&near, events), &[], || drop(far));
            assert_eq!(got, oracle(&poll(&near, events), &[]), "a socket, {events:?}");
            assert_ne!(got & mask(PollEvents::HUP | PollEvents::RDHUP), 0);
        }
        let (near, far) = tcp(rig);
        let half = || {
            let how = io_core::ops::How::Write;
            assert_eq!(rig.block_on(rig.backend().shutdown(far.clone(), how)), Ok(()));
        };
        let got = waits(rig, poll(&near, PollEvents::RDHUP), &[], half);
        assert_eq!(got, mask(PollEvents::RDHUP), "a peer that only stops sending");
    });
}

/// The result is the whole of what `poll(2)` says at that time, and no more: the kernel wakes for less and
/// for more than that.
pub fn poll_says_what_poll_says<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let all = IN | PollEvents::PRI | PollEvents::RDNORM | PollEvents::RDBAND;
        for (near, far) in [tcp(rig), Desc::pair(), Desc::pipe()] {
            let got = waits(rig, poll(&near, all), &[], || far.put(b"x"));
            assert_eq!(got, oracle(&poll(&near, all), &[]), "nothing urgent came");
            drop(far);
            let got = rig.run(poll(&near, all), &[]);
            assert_eq!(got, oracle(&poll(&near, all), &[]), "data and hang-up");
        }
    });
}

/// A regular file has nothing urgent, ever; `epoll_ctl(2)` calls that `EPERM`.
pub fn what_can_never_be_ready_is_eperm<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for desc in [Desc::file(b"abc"), Desc::directory(), Desc::open("/dev/null")] {
            for events in [PollEvents::PRI, PollEvents::empty(), PollEvents::RDHUP] {
                for form in Form::ALL {
                    let got = rig.run_as(form, poll(&desc, events), &[]);
                    assert_eq!(got, Errno::PERM.to_result(), "{form:?}, {events:?}");
                }
            }
        }
    });
}

/// Closed, negative and `O_PATH` numbers are `EBADF`.
pub fn numbers_that_are_not_open<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let path = Desc::o_path();
        for fd in [path.raw(), Fd::new(-1), Fd::new(-100), Fd::new(i32::MIN), Fd::new(i32::MAX)] {
            for form in Form::ALL {
                let got = rig.run_as(form, Op::Poll(Poll { fd, events: IN | OUT }), &[]);
                assert_eq!(got, Errno::BADF.to_result(), "{fd:?}, {form:?}");
            }
        }
    });
}

/// Ordinary data is nothing to who waits for urgent data alone; also not if it comes first.
pub fn poll_waits_for_urgent_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::filled(1, b'!');
        for (name, (near, far)) in [("unix", Desc::pair()), ("tcp", tcp(rig))] {
            for events in [PollEvents::PRI, PollEvents::PRI | PollEvents::RDHUP] {
                far.put(b"ordinary");
                let (fd, buf, len) = (far.raw(), mem.ptr(), 1);
                let send = Op::Send(Send { fd, flags: MsgFlags::OOB, buf, len });
                let release = || assert_eq!(oracle(&send, mem.only()), 1);
                let result = waits(rig, poll(&near, events), &[], release);
                assert_eq!(result, mask(PollEvents::PRI), "{name}: {events:?}");
                assert_eq!(near.get(8), b"ordinary");
                let fd = near.raw();
                let recv = Op::Recv(Recv { fd, flags: MsgFlags::OOB, buf, len });
                assert_eq!(oracle(&recv, mem.only()), 1);
            }
        }
    });
}

/// Polls for different events and a `recv` share a descriptor; each hears of its own.
pub fn several_polls_of_one_descriptor<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let mem = Mem::zeroed(1);
        let recv =
            Op::Recv(Recv { fd: near.raw(), flags: MsgFlags::empty(), buf: mem.ptr(), len: 1 });
        let notes: Vec<_> = (0..4).map(|_| Note::new(rig.signal())).collect();
        let ops = [poll(&near, IN), poll(&near, IN), poll(&near, PollEvents::RDHUP), recv];
        let mut raws: Vec<_> = ops.iter().map(|&op| rig.raw(op, mem.only())).collect();
        for (raw, note) in raws.iter_mut().zip(&notes) {
            raw.submit_callback(note.hook()).expect("submit");
        }
        rig.poll(Some(Duration::from_millis(2)));
        assert!(notes.iter().all(|note| note.calls() == 0));
        // Two bytes, so that one is left when the `recv` came first.
        far.put(b"xy");
        assert_eq!((notes[0].wait(rig), notes[1].wait(rig)), (mask(IN), mask(IN)));
        assert_eq!(notes[3].wait(rig), 1);
        assert_eq!(notes[2].calls(), 0, "nobody hung up");
        drop(far);
        let hung_up = notes[2].wait(rig);
        assert_ne!(hung_up & mask(PollEvents::RDHUP), 0);
    });
}

/// The data is still there, and the next poll says so again.
pub fn a_poll_consumes_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        far.put(b"data");
        for _ in 0..3 {
            assert_eq!(rig.run(poll(&near, IN), &[]), mask(IN));
        }
        assert_eq!(near.get(4), b"data");
        far.put(b"more");
        assert_eq!(rig.block_on(rig.backend().poll_fd(near.clone(), IN)), Ok(IN));
        assert_eq!(near.get(4), b"more");
    });
}

/// A poll that waits ends when it is cancelled, when it is dropped, and when its backend is stopped.
pub fn polls_are_cancelled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, _far) = Desc::pair();
        let canceled = Errno::CANCELED.to_result();
        for events in [IN, PollEvents::empty()] {
            let mut early = rig.raw(poll(&near, events), &[]);
            assert!(rig.poll_once(early.as_mut()).is_pending());
            early.cancel();
            assert_eq!(rig.block_on(early.as_mut()), canceled);
            let mut late = rig.raw(poll(&near, events), &[]);
            assert!(rig.poll_once(late.as_mut()).is_pending());
            rig.poll(Some(Duration::from_millis(2)));
            late.cancel();
            late.cancel();
            assert_eq!(rig.block_on(late.as_mut()), canceled);
            let mut dropped = rig.raw(poll(&near, events), &[]);
            assert!(rig.poll_once(dropped.as_mut()).is_pending());
        }
        let mut stopped = rig.raw(poll(&near, IN), &[]);
        assert!(rig.poll_once(stopped.as_mut()).is_pending());
        assert_eq!(rig.backend().stop(io_core::Deadline::NEVER), Ok(()));
        assert_eq!(rig.block_on(stopped), canceled);
    });
}

/// 200 polls that wait for ever do not delay a file read.
pub fn two_hundred_idle_polls_hold_nobody_up<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let pairs: Vec<_> = (0..200).map(|_| Desc::pair()).collect();
        let mut idle = Vec::new();
        for (near, _) in &pairs {
            let mut raw = rig.raw(poll(near, IN), &[]);
            assert!(rig.poll_once(raw.as_mut()).is_pending());
            idle.push(raw);
        }
        let file = Desc::file(b"abc");
        for _ in 0..100 {
            let (count, buf) = rig.block_on(rig.backend().pread(file.clone(), [0_u8; 3], 0));
            assert_eq!((count, &buf), (Ok(3), b"abc"));
        }
        for (_, far) in &pairs {
            far.put(b"x");
        }
        for raw in &mut idle {
            assert_eq!(rig.block_on(raw.as_mut()), mask(IN));
        }
    });
}
