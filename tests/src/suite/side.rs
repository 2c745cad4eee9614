//! What an operation needs beside its buffer (a path, an address, a table of vectors, a deadline) lives as long as
//! it does: nothing of it is on the stack of whoever submitted.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::rig::Rig;
use core::hint::black_box;
use core::pin::Pin;
use core::time::Duration;
use io_core::op::{AcceptFlags, Family, OpenFlags, SocketFlags, SocketKind};
use io_core::ops::{Operation, Ops, SafeOp};
use io_core::{Address, Errno, Handle, IoBackend, PathBytes};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![Case::of(the_stack_is_written_over_between_submit_and_flush::<F>).needs(Needs::Object)]
}

/// Writes over what calls that have returned have left on the stack.
#[inline(never)]
fn poison() {
    let mut room = [0_u8; 64 << 10];
    room.fill(0xa5);
    black_box(&mut room);
}

/// Submits deep in the stack.
#[inline(never)]
fn submit<H: Handle, D: Operation>(mut op: Pin<&mut SafeOp<H, D>>, depth: usize) {
    let room = black_box([0_u8; 512]);
    if depth > 0 {
        submit(op.as_mut(), depth - 1);
    } else {
        op.submit().expect("submit");
    }
    black_box(&room);
}

/// Submits, and drives to the end, with the stack written over before each step.
fn run<B: IoBackend, H: Handle, D: Operation>(
    rig: &Rig<'_, B>,
    op: SafeOp<H, D>,
    release: impl FnOnce(),
) -> D::Output {
    let mut op = Box::pin(op);
    submit(op.as_mut(), 8);
    poison();
    rig.backend().flush().expect("flush");
    poison();
    rig.poll(Some(Duration::ZERO));
    poison();
    release();
    op.as_mut().wait().expect("a result")
}

/// Paths, addresses and tables of vectors of typed operations are in the operation: with the submitter's stack
/// written over before anything is handed on, each has its result, now and after a wait.
pub fn the_stack_is_written_over_between_submit_and_flush<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let path = PathBytes::<64>::new(b"/proc/sys/kernel/ostype").expect("it fits");
        let file = run(rig, be.open(path, OpenFlags::RDONLY, 0), || {}).expect("open");
        let file = Desc::adopt_owned(file);
        let (read, parts) = run(rig, be.preadv(file, [[0_u8; 2], [0_u8; 2]], 0), || {});
        assert_eq!((read, parts), (Ok(4), [*b"Li", *b"nu"]));
        let (reader, writer) = Desc::pipe();
        let late = || writer.put(b"abcd");
        let (read, parts) = run(rig, be.readv(reader, [[0_u8; 2], [0_u8; 2]]), late);
        assert_eq!((read, parts), (Ok(4), [*b"ab", *b"cd"]));
        let (reader, writer) = Desc::pipe();
        let room = writer.fill_up();
        let drain = || drop(reader.get(room));
        assert_eq!(run(rig, be.writev(writer.clone(), [*b"ef", *b"gh"]), drain).0, Ok(4));
        assert_eq!(reader.get(4), b"efgh");
        let plain = SocketFlags::empty();
        let socket = || {
            let made = be.socket(Family::INET, SocketKind::STREAM, plain, 0);
            Desc::adopt_owned(run(rig, made, || {}).expect("a socket"))
        };
        let (server, client) = (socket(), socket());
        let any = Address::v4(core::net::Ipv4Addr::LOCALHOST, 0);
        assert_eq!(run(rig, be.bind(server.clone(), any), || {}), Ok(()));
        assert_eq!(run(rig, be.listen(server.clone(), 5), || {}), Ok(()));
        let accept = be.accept(server.clone(), AcceptFlags::empty());
        let mut accept = Box::pin(accept);
        submit(accept.as_mut(), 8);
        poison();
        let at = Address::from(server.local_address());
        assert_eq!(run(rig, be.connect(client, at), || {}), Ok(()));
        drop(accept.as_mut().wait().expect("a result").expect("a connection"));
        let (reader, _writer) = Desc::pipe();
        let mut timed = Box::pin(be.read(reader, [0_u8; 1]).with_timeout(Duration::from_millis(2)));
        assert!(rig.poll_once(timed.as_mut()).is_pending());
        poison();
        assert_eq!(rig.block_on(timed.as_mut()).0, Err(Errno::TIMEDOUT));
    });
}
