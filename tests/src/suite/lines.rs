//! Many operations on one descriptor, and descriptors that change while operations wait on them.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Blocking, Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::raw::Raw;
use crate::rig::Rig;
use crate::skip::skip;
use crate::watchdog::{rounds, tell};
use core::pin::Pin;
use core::time::Duration;
use io_core::op::{MsgFlags, Recv, Send};
use io_core::{Errno, Handle, IoBackend, Op, Phase, Way};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(eight_receives_and_eight_sends_share_a_socket_and_its_duplicates::<F>),
        Case::of(what_waits_is_served_in_order::<F>),
        Case::of(data_that_comes_between_the_try_and_the_wait_is_seen::<F>).needs(Needs::Threads),
        Case::of(a_number_that_is_reused_behind_our_back_is_another_file::<F>),
        Case::of(one_descriptor_in_two_backends::<F>).needs(Needs::Object),
        Case::of(a_hang_up_ends_both_directions::<F>),
        Case::of(a_thousand_idle_receives_do_not_delay_a_file::<F>).needs(Needs::Clock),
        Case::of(idle_operations_make_no_system_calls::<F>),
        Case::of(what_another_has_taken_is_waited_for_again::<F>),
    ]
}

const NONE: MsgFlags = MsgFlags::empty();

fn recv(socket: &Desc, mem: &Mem) -> Op {
    Op::Recv(Recv { fd: socket.raw(), flags: NONE, buf: mem.ptr(), len: mem.len() })
}

fn send(socket: &Desc, mem: &Mem) -> Op {
    Op::Send(Send { fd: socket.raw(), flags: NONE, buf: mem.ptr(), len: mem.len() })
}

/// Fills a socket until it takes no more; how much it took.
fn fill(socket: &Desc) -> usize {
    let chunk = Mem::filled(4096, 0xee);
    let (fd, flags, buf) = (socket.raw(), MsgFlags::DONTWAIT, chunk.ptr());
    let op = Op::Send(Send { fd, flags, buf, len: chunk.len() });
    core::iter::from_fn(|| usize::try_from(oracle(&op, chunk.only())).ok()).sum()
}

fn submitted<'b, B: IoBackend, const N: usize>(
    rig: &Rig<'b, B>,
    ops: [(Op, Mem); N],
) -> Vec<Pin<Box<Raw<Pin<&'b B>>>>> {
    let submit = |(op, mem): (Op, Mem)| {
        let mut raw = rig.raw(op, mem.only());
        assert!(rig.poll_once(raw.as_mut()).is_pending(), "it waits");
        raw
    };
    ops.into_iter().map(submit).collect()
}

fn all_done<H: Handle>(raws: &[Pin<Box<Raw<H>>>]) -> bool {
    raws.iter().all(|raw| raw.phase() == Phase::Done)
}

/// Eight that take and eight that give, on a socket and on duplicates of it, with blocking and non-blocking
/// descriptions: each is done once, and no byte is lost or doubled.
pub fn eight_receives_and_eight_sends_share_a_socket_and_its_duplicates<F: Fixture>(fx: &F) {
    for nonblocking in [false, true] {
        fx.both(|rig| {
            let (near, far) = Desc::pair();
            if nonblocking {
                near.set_nonblocking();
            }
            let other = Desc::adopt_owned(near.to_owned_fd());
            let full = fill(&near);
            let at = |i: usize| if i < 4 { &near } else { &other };
            let cells: [Mem; 8] = core::array::from_fn(|_| Mem::zeroed(1));
            let gives: [Mem; 8] = core::array::from_fn(|i| Mem::read_only(&b"ABCDEFGH"[i..=i]));
            let ops = |i: usize| (recv(at(i), &cells[i]), cells[i].clone());
            let mut takers = submitted::<_, 8>(rig, core::array::from_fn(ops));
            let ops = |i: usize| (send(at(i), &gives[i]), gives[i].clone());
            let mut givers = submitted::<_, 8>(rig, core::array::from_fn(ops));
            assert_eq!(rig.poll(Some(Duration::ZERO)), 0, "nothing has happened");
            far.put(b"abcdefgh");
            rig.until_seen(|| all_done(&takers));
            assert!(givers.iter().all(|raw| raw.phase() != Phase::Done), "there is no room yet");
            assert_eq!(far.get(full).len(), full);
            rig.until_seen(|| all_done(&givers));
            for raw in takers.iter_mut().chain(&mut givers) {
                assert_eq!(raw.result(), Some(1));
            }
            let mut taken: Vec<u8> = cells.iter().flat_map(|cell| cell.bytes(1)).collect();
            taken.sort_unstable();
            assert_eq!(taken, b"abcdefgh");
            let mut given = far.get(8);
            given.sort_unstable();
            assert_eq!(given, b"ABCDEFGH");
        });
    }
}

/// Receives that wait get what comes in the order of their submission, and sends go in theirs.
pub fn what_waits_is_served_in_order<F: Fixture>(fx: &F) {
    if !fx.caps().in_order {
        skip("the kernel wakes its waiters in its own order, or threads race for them");
    }
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        near.set_nonblocking();
        let full = fill(&near);
        let cells: [Mem; 8] = core::array::from_fn(|_| Mem::zeroed(1));
        let gives: [Mem; 8] = core::array::from_fn(|i| Mem::read_only(&b"ABCDEFGH"[i..=i]));
        let ops = |i: usize| (recv(&near, &cells[i]), cells[i].clone());
        let takers = submitted::<_, 8>(rig, core::array::from_fn(ops));
        let ops = |i: usize| (send(&near, &gives[i]), gives[i].clone());
        let givers = submitted::<_, 8>(rig, core::array::from_fn(ops));
        far.put(b"abcdefgh");
        rig.until_seen(|| all_done(&takers));
        let taken: Vec<u8> = cells.iter().flat_map(|cell| cell.bytes(1)).collect();
        assert_eq!(taken, b"abcdefgh");
        assert_eq!(far.get(full).len(), full);
        rig.until_seen(|| all_done(&givers));
        assert_eq!(far.get(8), b"ABCDEFGH");
    });
}

/// Data that arrives between the try that would have blocked and the wait is not missed: 5000 times. (A million with
/// `IO_TEST_ROUNDS=200`.)
pub fn data_that_comes_between_the_try_and_the_wait_is_seen<F: Fixture>(fx: &F) {
    let rounds = rounds(5_000);
    fx.started(|rig| {
        let (near, far) = Desc::pair();
        let together = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..rounds {
                    together.wait();
                    for _ in 0..round % 64 {
                        core::hint::spin_loop();
                    }
                    far.put(b"x");
                }
            });
            let mem = Mem::zeroed(1);
            for _ in 0..rounds {
                together.wait();
                assert_eq!(rig.run(recv(&near, &mem), mem.only()), 1);
            }
        });
        tell(rounds, "refills");
    });
}

/// A number is closed and given to another file while a receive waits on it: the receive never sees the new
/// file, later operations do, and nothing spins.
pub fn a_number_that_is_reused_behind_our_back_is_another_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let ((near, far), (other_near, other_far)) = (Desc::pair(), Desc::pair());
        let (old_mem, mem) = (Mem::zeroed(8), Mem::zeroed(2));
        if rig.backend().route(&recv(&near, &mem)).way == Way::Offload {
            skip("a receive is handed on, and may find the next file when it gets there");
        }
        let mut old = rig.raw(recv(&near, &old_mem), old_mem.only());
        assert!(rig.poll_once(old.as_mut()).is_pending());
        rig.poll(Some(Duration::ZERO));
        other_near.dup_at(near.raw());
        for word in [&b"ab"[..], b"cd", b"ef"] {
            let mut new = rig.raw(recv(&near, &mem), mem.only());
            assert!(rig.poll_once(new.as_mut()).is_pending());
            other_far.put(word);
            assert_eq!(rig.block_on(new.as_mut()), 2);
            assert_eq!(mem.bytes(2), word);
        }
        assert_ne!(old.phase(), Phase::Done, "it waits for a file that is gone from here");
        let before = rig.backend().counters().syscalls;
        rig.poll(Some(Duration::from_millis(30)));
        let calls = rig.backend().counters().syscalls - before;
        assert!(calls <= 10, "{calls} system calls while nothing happens");
        old.cancel();
        assert_eq!(rig.block_on(old.as_mut()), Errno::CANCELED.to_result());
        drop(far);
    });
}

/// Two backends wait on one descriptor; what each gets is its own.
pub fn one_descriptor_in_two_backends<F: Fixture>(fx: &F) {
    fx.both(|one| {
        fx.started(|two| {
            let (near, far) = Desc::pair();
            for _ in 0..50 {
                let mems = [Mem::zeroed(1), Mem::zeroed(1)];
                let mut first = one.raw(recv(&near, &mems[0]), mems[0].only());
                let mut second = two.raw(recv(&near, &mems[1]), mems[1].only());
                assert!(one.poll_once(first.as_mut()).is_pending());
                assert!(two.poll_once(second.as_mut()).is_pending());
                far.put(b"xy");
                let both = || first.phase() == Phase::Done && second.phase() == Phase::Done;
                while !both() {
                    one.poll(Some(Duration::from_micros(100)));
                    two.poll(Some(Duration::from_micros(100)));
                }
                assert_eq!((first.result(), second.result()), (Some(1), Some(1)));
                let mut got = [mems[0].bytes(1), mems[1].bytes(1)].concat();
                got.sort_unstable();
                assert_eq!(got, b"xy");
            }
        });
    });
}

/// When the peer is gone, what takes ends with 0 and what gives with `EPIPE`.
pub fn a_hang_up_ends_both_directions<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        assert!(fill(&near) > 0);
        let (taken, given) = (Mem::zeroed(1), Mem::read_only(b"x"));
        let mut takers = submitted(rig, [1, 2].map(|_| (recv(&near, &taken), taken.clone())));
        let mut givers = submitted(rig, [1, 2].map(|_| (send(&near, &given), given.clone())));
        assert_eq!(far.get(1).len(), 1);
        drop(far);
        rig.until_seen(|| all_done(&takers) && all_done(&givers));
        // Unread data was thrown away: a stream socket may say so once.
        let may_be_reset = [0, Errno::CONNRESET.to_result()];
        assert!(
            takers.iter_mut().all(|raw| raw.result().is_some_and(|it| may_be_reset.contains(&it)))
        );
        let gone = [Errno::PIPE.to_result(), Errno::CONNRESET.to_result()];
        assert!(givers.iter_mut().all(|raw| raw.result().is_some_and(|it| gone.contains(&it))));
    });
}

/// A thousand receives that wait, on a hundred sockets, and a file that is read meanwhile.
pub fn a_thousand_idle_receives_do_not_delay_a_file<F: Fixture>(fx: &F) {
    fx.started(|rig| {
        let pairs: Vec<_> = (0..100).map(|_| Desc::pair()).collect();
        let mem = Mem::zeroed(1);
        let mut idle = Vec::new();
        for (near, _) in pairs.iter().cycle().take(1000) {
            let mut raw = rig.raw(recv(near, &mem), mem.only());
            assert!(rig.poll_once(raw.as_mut()).is_pending());
            idle.push(raw);
        }
        let file = Desc::file(b"abc");
        let content = Mem::zeroed(3);
        let start = Instant::now();
        for _ in 0..100 {
            let fsync = Op::Fsync(io_core::op::Fsync { fd: file.raw() });
            assert_eq!(rig.run(fsync, &[]), 0, "what may block");
            assert_eq!(rig.run(file.pread_op(&content, 0), content.only()), 3);
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "200 file operations took {took:?}");
        for (near, far) in &pairs {
            assert!(near.raw().raw() >= 0);
            far.put(b"0123456789");
        }
        rig.until_seen(|| all_done(&idle));
    });
}

/// While operations wait and nothing happens, nothing is done: also not for one whose peer has hung up on
/// the direction it does not use.
pub fn idle_operations_make_no_system_calls<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let pairs: Vec<_> = (0..10).map(|_| Desc::pair()).collect();
        let mem = Mem::zeroed(1);
        let mut idle = Vec::new();
        for (near, _) in &pairs {
            let mut raw = rig.raw(recv(near, &mem), mem.only());
            assert!(rig.poll_once(raw.as_mut()).is_pending());
            idle.push(raw);
        }
        rig.poll(Some(Duration::from_millis(1)));
        let before = rig.backend().counters().syscalls;
        rig.poll(Some(Duration::from_millis(50)));
        let calls = rig.backend().counters().syscalls - before;
        assert!(calls <= 12, "{calls} system calls in 50 ms of nothing");
    });
}

/// Two that must act to find out wait for the same bytes on a blocking socket: the one that comes too late waits
/// again, and can be cancelled.
pub fn what_another_has_taken_is_waited_for_again<F: Fixture>(fx: &F) {
    if fx.caps().blocking == Blocking::HoldsWorker {
        skip("two workers that look at the same time may both act, and one of them is held");
    }
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let mems = [Mem::zeroed(4), Mem::zeroed(4)];
        let whole = |mem: &Mem| {
            let (fd, flags) = (near.raw(), MsgFlags::WAITALL);
            (Op::Recv(Recv { fd, flags, buf: mem.ptr(), len: mem.len() }), mem.clone())
        };
        let mut raws = submitted(rig, [whole(&mems[0]), whole(&mems[1])]);
        far.put(b"once");
        rig.until_seen(|| raws.iter().any(|raw| raw.phase() == Phase::Done));
        rig.poll(Some(Duration::ZERO));
        raws.iter_mut().for_each(|raw| raw.cancel());
        rig.until_seen(|| all_done(&raws));
        let mut results = raws.iter_mut().map(|raw| raw.result()).collect::<Vec<_>>();
        results.sort_unstable();
        assert_eq!(results, [Some(Errno::CANCELED.to_result()), Some(4)]);
    });
}
