//! The life of one operation: submitted once, completed once, cancelled, used again, dropped.

use super::Case;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::rig::{Form, Note};
use core::pin::pin;
use core::task::Poll;
use io_core::op::{Listen, Nop, Shutdown};
use io_core::ops::Ops;
use io_core::{Errno, IoAwaitable, IoBackend, Op, OpKind, Phase};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(nop_completes_in_every_form::<F>),
        Case::of(typed_nop_completes_in_every_form::<F>),
        Case::of(submit_twice_is_ealready::<F>),
        Case::of(ready_again_yields_the_same::<F>),
        Case::of(a_typed_operation_yields_once::<F>),
        Case::of(never_submitted_is_never_seen::<F>),
        Case::of(made_ready_is_ready::<F>),
        Case::of(storage_is_used_again::<F>),
        Case::of(reset_in_flight_is_ebusy::<F>),
        Case::of(cancel_before_submit_does_nothing::<F>),
        Case::of(cancel_after_done_does_nothing::<F>),
        Case::of(cancelled_read_ends_with_ecanceled::<F>),
        Case::of(cancel_twice_is_once::<F>),
        Case::of(cancelled_operations_can_be_run_again::<F>),
        Case::of(a_new_waker_replaces_the_old::<F>),
        Case::of(debug_shows_the_state_only::<F>),
        Case::of(every_operation_has_a_route::<F>),
        Case::of(start_twice_is_ealready::<F>),
        Case::of(counters_add_up::<F>),
    ]
}

const NOP: Op = Op::Nop(Nop);

/// A nop completes with 0: awaited, with a callback, waited for.
pub fn nop_completes_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, NOP, &[]), 0, "{form:?}");
        }
    });
}

/// A typed nop completes: awaited, with a callback, waited for, submitted and taken.
pub fn typed_nop_completes_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        assert_eq!(rig.call_back(rig.backend().nop()), Ok(()));
        assert_eq!(pin!(rig.backend().nop()).wait(), Some(Ok(())));
        let mut op = pin!(rig.backend().nop());
        assert_eq!(op.as_mut().take(), None, "nothing to take before the submit");
        op.as_mut().submit().expect("submit");
        rig.until_seen(|| op.phase() == Phase::Done);
        assert_eq!(op.as_mut().take(), Some(Ok(())));
        assert_eq!(op.as_mut().take(), None, "taken");
        assert_eq!(op.as_mut().wait(), None, "taken");
    });
}

/// A second submit is `EALREADY`, in flight and when done, and changes nothing.
pub fn submit_twice_is_ealready<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        assert_eq!(read.submit(), Err(Errno::ALREADY));
        let note = Note::new(rig.signal());
        assert_eq!(read.submit_callback(note.hook()), Err(Errno::ALREADY));
        writer.put(b"x");
        assert_eq!(read.wait(), 1);
        assert_eq!(read.submit(), Err(Errno::ALREADY), "done");
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        assert_eq!(note.calls(), 0, "a callback that was refused is not called");
    });
}

/// A raw operation that is polled again after it was ready yields the same result.
pub fn ready_again_yields_the_same<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(8);
        let file = Desc::file(b"abc");
        let mut read = rig.raw(file.pread_op(&mem, 0), mem.only());
        assert_eq!(rig.block_on(read.as_mut()), 3);
        assert_eq!(rig.poll_once(read.as_mut()), Poll::Ready(3));
        assert_eq!(read.wait(), 3);
        assert_eq!(read.result(), Some(3));
    });
}

/// A typed operation yields its output once and is pending then.
pub fn a_typed_operation_yields_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut op = pin!(rig.backend().nop());
        assert_eq!(rig.block_on(op.as_mut()), Ok(()));
        assert!(rig.poll_once(op.as_mut()).is_pending());
    });
}

/// What is dropped before it was submitted never reaches the backend.
pub fn never_submitted_is_never_seen<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let before = rig.backend().counters().submitted;
        drop(rig.raw(NOP, &[]));
        drop(rig.backend().nop());
        drop(Box::pin(rig.backend().nop()));
        assert_eq!(rig.backend().counters().submitted, before);
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// `IoAwaitable::ready` is done from the start.
pub fn made_ready_is_ready<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut op = pin!(IoAwaitable::ready(rig.backend(), 42));
        assert_eq!(op.phase(), Phase::Done);
        assert_eq!(rig.poll_once(op.as_mut()), Poll::Ready(42));
        assert_eq!(op.as_mut().submit(), Err(Errno::ALREADY));
    });
}

/// The storage of an operation that is done takes another one, a thousand times.
pub fn storage_is_used_again<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(4);
        let file = Desc::file(b"0123456789");
        let mut read = rig.raw(NOP, mem.only());
        for round in 0..1000_usize {
            let at = round % 10;
            read.reset(file.pread_op(&mem, i64::try_from(at).expect("small"))).expect("reset");
            assert_eq!(read.phase(), Phase::Idle);
            let left = (10 - at).min(4);
            assert_eq!(rig.block_on(read.as_mut()), i64::try_from(left).expect("small"));
            assert_eq!(mem.bytes(left), b"0123456789"[at..at + left]);
        }
    });
}

/// The storage of an operation in flight is not to be had.
pub fn reset_in_flight_is_ebusy<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        assert!(rig.poll_once(read.as_mut()).is_pending());
        assert_eq!(read.reset(NOP), Err(Errno::BUSY));
        writer.put(b"x");
        assert_eq!(rig.block_on(read.as_mut()), 1, "the old operation goes on");
    });
}

/// An operation that was cancelled before it was submitted runs all the same.
pub fn cancel_before_submit_does_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut op = rig.raw(NOP, &[]);
        op.cancel();
        assert_eq!(op.phase(), Phase::Idle);
        assert_eq!(rig.block_on(op.as_mut()), 0);
    });
}

/// An operation that is done keeps its result.
pub fn cancel_after_done_does_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut op = rig.raw(NOP, &[]);
        op.submit().expect("submit");
        rig.until_seen(|| op.phase() == Phase::Done);
        op.cancel();
        assert_eq!(op.wait(), 0);
        op.cancel();
        assert_eq!(op.result(), Some(0));
    });
}

/// A read that waits for data completes with `ECANCELED` soon after it was cancelled, in every form,
/// and the data that comes later is still there.
pub fn cancelled_read_ends_with_ecanceled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        for form in Form::ALL {
            let mem = Mem::filled(8, 0xaa);
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            let note = Note::new(rig.signal());
            let result = match form {
                Form::Future => {
                    assert!(rig.poll_once(read.as_mut()).is_pending());
                    rig.poll(Some(core::time::Duration::ZERO));
                    read.cancel();
                    rig.block_on(read.as_mut())
                }
                Form::Callback => {
                    read.submit_callback(note.hook()).expect("submit");
                    read.cancel();
                    note.wait(rig)
                }
                Form::Wait => {
                    read.submit().expect("submit");
                    read.cancel();
                    read.wait()
                }
            };
            assert_eq!(result, Errno::CANCELED.to_result(), "{form:?}");
            assert!(mem.all(0xaa), "{form:?}: a cancelled read wrote");
            drop(read);
            writer.put(b"y");
            assert_eq!(reader.get(1), b"y", "{form:?}: the data was taken");
        }
    });
}

/// The second cancel of an operation changes nothing.
pub fn cancel_twice_is_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        let note = Note::new(rig.signal());
        read.submit_callback(note.hook()).expect("submit");
        read.cancel();
        read.cancel();
        assert_eq!(note.wait(rig), Errno::CANCELED.to_result());
        read.cancel();
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        assert_eq!(note.calls(), 1);
    });
}

/// Storage whose operation was cancelled takes another one, whose result is its own.
pub fn cancelled_operations_can_be_run_again<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        for round in 0..200_u8 {
            read.submit().expect("submit");
            read.cancel();
            assert_eq!(read.wait(), Errno::CANCELED.to_result(), "round {round}");
            read.reset(reader.read_op(&mem)).expect("reset");
            writer.put(&[round]);
            assert_eq!(rig.block_on(read.as_mut()), 1, "round {round}");
            assert_eq!(mem.bytes(1), [round]);
            read.reset(reader.read_op(&mem)).expect("reset");
        }
    });
}

/// The waker of the last poll is the one that is woken.
pub fn a_new_waker_replaces_the_old<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        let mut other = core::task::Context::from_waker(core::task::Waker::noop());
        for _ in 0..10 {
            assert!(core::future::Future::poll(read.as_mut(), &mut other).is_pending());
            assert!(rig.poll_once(read.as_mut()).is_pending());
        }
        writer.put(b"x");
        // Would hang if the other waker had stayed.
        assert_eq!(rig.block_on(read.as_mut()), 1);
    });
}

/// `Debug` of an operation names its state and touches nothing else.
pub fn debug_shows_the_state_only<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mut read = pin!(rig.backend().read(reader, [0_u8; 4]));
        assert!(format!("{read:?}").contains("idle"), "{read:?}");
        assert!(rig.poll_once(read.as_mut()).is_pending());
        let text = format!("{read:?}");
        assert!(text.contains("queued") || text.contains("in flight"), "{text}");
        writer.put(b"x");
        let (count, _) = rig.block_on(read.as_mut());
        assert_eq!(count, Ok(1));
        assert!(format!("{read:?}").contains("done"), "{read:?}");
    });
}

/// A backend has a name, and says of each operation how it would run, and why.
pub fn every_operation_has_a_route<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        assert!(!rig.backend().name().is_empty());
        let file = Desc::file(b"x");
        let mem = Mem::zeroed(1);
        for op in [NOP, file.read_op(&mem), file.pread_op(&mem, 0), file.write_op(&mem)] {
            let route = rig.backend().route(&op);
            assert!(!route.why.is_empty(), "{op:?}: {route}");
            assert_ne!(route.way, io_core::Way::Unsupported, "{op:?}: {route}");
        }
        for op in [
            Op::Listen(Listen { fd: file.raw(), backlog: 0 }),
            Op::Shutdown(Shutdown { fd: file.raw(), how: 0 }),
        ] {
            let route = rig.backend().route(&op);
            assert_eq!(route.way, io_core::Way::Inline, "{op:?} never blocks: {route}");
        }
    });
}

/// A backend that runs cannot be started.
pub fn start_twice_is_ealready<F: Fixture>(fx: &F) {
    fx.started(|rig| assert_eq!(rig.backend().start(), Err(Errno::ALREADY)));
    fx.unstarted(|rig| {
        assert_eq!(rig.backend().start(), Ok(()));
        assert_eq!(rig.backend().start(), Err(Errno::ALREADY));
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// Every submitted operation is delivered, runs in one way, and none is left.
pub fn counters_add_up<F: Fixture>(fx: &F) {
    let (unstarted, started) = (fx.unstarted(count), fx.started(count));
    for counters in [unstarted, started] {
        assert_eq!(counters.submitted, 150, "{counters:?}");
        assert_eq!(counters.delivered, 150, "{counters:?}");
        assert_eq!((counters.queued_now, counters.in_kernel_now), (0, 0), "{counters:?}");
        assert_eq!(counters.by_way.iter().sum::<u64>(), 150, "{counters:?}");
        assert!(counters.ring_ops.iter().sum::<u64>() <= 150, "{counters:?}");
        assert!(OpKind::ALL.len() == counters.ring_ops.len());
    }
}

fn count<B: IoBackend>(rig: &crate::rig::Rig<'_, B>) -> io_core::Counters {
    let file = Desc::file(b"abc");
    let mem = Mem::zeroed(3);
    for form in Form::ALL {
        for _ in 0..25 {
            assert_eq!(rig.run_as(form, NOP, &[]), 0);
            assert_eq!(rig.run_as(form, file.pread_op(&mem, 0), mem.only()), 3);
        }
    }
    assert_eq!(rig.backend().in_flight(), 0);
    rig.backend().counters()
}
