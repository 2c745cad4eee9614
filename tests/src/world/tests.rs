//! What the real kernel cannot be asked for: limits, waits, and what ends them. Miri runs these too.
#![allow(unsafe_code, reason = "performs raw operations")]
//! # Safety
//! The tests keep the memory they name.

use super::{Outcome, World};
use io_core::op::{Accept, AcceptFlags, Connect, MsgFlags, PollEvents, Readv, Recv, Write};
use io_core::op::{Family, IoVec};
use io_core::{Address, Errno, Fd, Op};

fn run(world: &mut World, op: Op, limit: usize) -> Outcome {
    // SAFETY: the tests keep the memory they name.
    unsafe { world.perform(&op, limit) }
}

fn write(fd: Fd, bytes: &[u8]) -> Op {
    Op::Write(Write { fd, buf: bytes.as_ptr(), len: bytes.len() })
}

#[test]
fn small_writes_to_a_pipe_are_whole() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    assert_eq!(run(&mut world, write(writer, &[1; 4096]), 1), Outcome::Done(4096));
    assert_eq!(run(&mut world, write(writer, &[2; 4097]), 5), Outcome::Done(5));
    assert_eq!(world.put(writer, &[3; 1 << 17]), Ok(14 * 4096), "the pages that are left");
    assert_eq!(run(&mut world, write(writer, &[4; 4096]), usize::MAX), Outcome::Wait);
    assert_eq!(world.ready(writer, PollEvents::OUT), PollEvents::empty());
    assert_eq!(world.get(reader, 4096), Ok(vec![1; 4096]));
    assert_eq!(world.ready(writer, PollEvents::OUT), PollEvents::OUT);
    assert_eq!(world.len(reader), 5 + 14 * 4096);
}

#[test]
fn vectors_are_filled_in_turn() {
    let mut world = World::new();
    let file = world.file(b"0123456789");
    let (mut one, mut two) = ([0_u8; 3], [0_u8; 4]);
    let piece = |bytes: &mut [u8]| IoVec { base: bytes.as_mut_ptr(), len: bytes.len() };
    let table = [piece(&mut one), piece(&mut []), piece(&mut two)];
    let op = Op::Readv(Readv { fd: file, iov: table.as_ptr(), count: table.len() });
    assert_eq!(run(&mut world, op, 4), Outcome::Done(4), "cut short where it is asked for");
    assert_eq!((one, two), (*b"012", *b"3\0\0\0"));
    assert_eq!(run(&mut world, op, usize::MAX), Outcome::Done(6));
    assert_eq!((one, two), (*b"456", *b"789\0"));
    assert_eq!(world.position(file), 10);
}

#[test]
fn a_whole_recv_may_be_larger_than_what_waits() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let mut room = vec![0_u8; 1 << 20];
    let (buf, len) = (room.as_mut_ptr(), room.len());
    let recv = Op::Recv(Recv { fd: a, flags: MsgFlags::WAITALL, buf, len });
    let mut sent = 0;
    let mut waits = 0;
    while sent < len {
        match world.put(b, &vec![7; len - sent]) {
            Ok(count) => sent += count,
            Err(errno) => assert_eq!(errno, Errno::AGAIN),
        }
        if sent < len {
            assert_eq!(run(&mut world, recv, 1), Outcome::Wait);
            waits += 1;
        }
    }
    assert!(waits > 0, "it was never full");
    assert_eq!(run(&mut world, recv, 1), Outcome::Done(1 << 20));
    assert_eq!(room, vec![7; 1 << 20]);
}

#[test]
fn a_connect_waits_for_room_in_the_queue() {
    let mut world = World::new();
    let name = Address::unix_abstract(b"here").expect("short");
    let (listener, _) = world.listener_at(&name, 0);
    let _first = world.connect(&name);
    let second = world.stream(Family::UNIX);
    let (addr, addr_len) = name.parts();
    let connect = Op::Connect(Connect { fd: second, addr, addr_len });
    assert_eq!(run(&mut world, connect, 1), Outcome::Wait);
    assert_eq!(world.ready(second, PollEvents::OUT), PollEvents::empty());
    let (mut peer, mut len) = ([9_u8; 4], 4_u32);
    let (addr, addr_len) = (peer.as_mut_ptr(), &raw mut len);
    let accept = Accept { fd: listener, flags: AcceptFlags::empty(), addr, addr_len };
    assert!(matches!(run(&mut world, Op::Accept(accept), 1), Outcome::Done(1000..)));
    assert_eq!((peer, len), ([1, 0, 9, 9], 2), "the address of a socket without a name");
    assert_eq!(world.ready(second, PollEvents::OUT), PollEvents::OUT);
    assert_eq!(run(&mut world, connect, 1), Outcome::Done(0));
    // SAFETY: as in `run`.
    let again = unsafe { world.perform_again(&connect, 1) };
    assert_eq!(again, Outcome::Done(0), "another connect that waited for the same");
    assert_eq!(run(&mut world, connect, 1), Outcome::Wait, "one that comes now");
}

#[test]
fn numbers_are_reused_and_stamps_are_not() {
    let mut world = World::with_base(70);
    let file = world.file(b"");
    let stamp = world.stamp(file);
    assert_eq!((file, stamp.is_some()), (Fd::new(70), true));
    assert_eq!(world.close(file), Ok(()));
    assert_eq!((world.stamp(file), world.close(file)), (None, Err(Errno::BADF)));
    let (a, _b) = world.pair();
    assert_eq!(a, file, "the lowest number");
    assert_ne!(world.stamp(a), stamp);
    world.set_most_fds(2);
    assert_eq!(world.dup(a), Err(Errno::MFILE));
}
