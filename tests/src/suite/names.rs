//! The raw operations under the names of the original: each makes the operation it is named for.
#![allow(unsafe_code, reason = "makes raw operations")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one promise covers a file's whole life")]
//! # Safety
//! Memory and descriptors are the test's own, and each operation is awaited before they go.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::rig::Rig;
use core::pin::Pin;
use core::ptr;
use io_core::op::{
    AcceptFlags, Family, IoVec, MsgFlags, OpenFlags, PollEvents, SocketFlags, SocketKind,
};
use io_core::{Address, Fd, IoAwaitable, IoBackend, RawOps, Stat};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(files_by_the_names_of_the_original::<F>).needs(Needs::Object),
        Case::of(sockets_by_their_names::<F>).needs(Needs::Object),
        Case::of(a_listener_by_its_names::<F>),
    ]
}

fn run<'b, B: IoBackend>(rig: &Rig<'b, B>, op: IoAwaitable<Pin<&'b B>>) -> i64 {
    rig.block_on(op)
}

/// A file's life, from open to close.
pub fn files_by_the_names_of_the_original<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let place = Desc::open(dir.path().to_str().expect("text"));
        let path = std::ffi::CString::new(path.to_str().expect("text")).expect("no NUL");
        let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::CLOEXEC;
        let (text, mut room) = (*b"0123456789", [0_u8; 10]);
        let mut half = [0_u8; 5];
        let (out, into) = (text.as_ptr(), room.as_mut_ptr());
        let outs = [IoVec { base: out.cast_mut(), len: 4 }, IoVec { base: out.cast_mut(), len: 6 }];
        let intos = [IoVec { base: half.as_mut_ptr(), len: 5 }, IoVec { base: into, len: 5 }];
        let mut stat = Stat::default();
        // SAFETY: the path, the buffers, the tables and the stat outlive each awaited operation; the
        // descriptor is the test's own.
        unsafe {
            let number = run(rig, be.submit_open(path.as_ptr(), flags, 0o600));
            let fd = Fd::new(i32::try_from(number).expect("a descriptor"));
            assert_eq!(run(rig, be.submit_write(fd, out, 10)), 10);
            assert_eq!(run(rig, be.submit_pwrite(fd, out, 10, 10)), 10);
            assert_eq!(run(rig, be.submit_writev(fd, outs.as_ptr(), 2)), 10, "over the second ten");
            assert_eq!(run(rig, be.submit_pwritev(fd, outs.as_ptr(), 2, 20)), 10);
            assert_eq!(run(rig, be.submit_fsync(fd)), 0);
            assert_eq!(run(rig, be.submit_fdatasync(fd)), 0);
            assert_eq!(run(rig, be.submit_ftruncate(fd, 25)), 0);
            assert_eq!(run(rig, be.submit_fstat(fd, &raw mut stat)), 0);
            assert_eq!(run(rig, be.submit_lseek(fd, -5, 2)), 20);
            assert_eq!(run(rig, be.submit_read(fd, into, 10)), 5, "to the end");
            assert_eq!(run(rig, be.submit_pread(fd, into, 10, 0)), 10);
            assert_eq!(run(rig, be.submit_lseek(fd, 0, 0)), 0);
            assert_eq!(run(rig, be.submit_readv(fd, intos.as_ptr(), 2)), 10);
            assert_eq!(run(rig, be.submit_preadv(fd, intos.as_ptr(), 2, 0)), 10);
            let (reader, writer) = Desc::pipe();
            assert_eq!(run(rig, be.submit_sendfile(writer.raw(), fd, Some(5), 3)), 3);
            assert_eq!(reader.get(3), b"567");
            assert_eq!(run(rig, be.submit_close(fd)), 0);
            let number = run(rig, be.submit_openat(place.raw(), c"file".as_ptr(), flags, 0));
            assert_eq!(Desc::adopt(number).get(4), b"0123");
            assert_eq!(run(rig, be.submit_nop()), 0);
        }
        assert_eq!((stat.size, &half, &room[..5]), (25, b"01234", &b"56789"[..]));
    });
}

/// A connection: accepted, spoken over, closed.
pub fn sockets_by_their_names<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let far = std::net::TcpStream::connect(address).expect("connect");
        let (listener, far) = (Desc::from(listener), Desc::from(far));
        let (none, null) = (MsgFlags::empty(), ptr::null_mut());
        let mut room = [0_u8; 4];
        // SAFETY: the buffers outlive each awaited operation; the descriptors are the test's own.
        unsafe {
            let accept =
                be.submit_accept(listener.raw(), null, ptr::null_mut(), AcceptFlags::empty());
            let near = Desc::adopt(run(rig, accept));
            assert_eq!(run(rig, be.submit_send(near.raw(), b"ping".as_ptr(), 4, none)), 4);
            assert_eq!(run(rig, be.submit_recv(far.raw(), room.as_mut_ptr(), 4, none)), 4);
        }
        assert_eq!(&room, b"ping");
    });
}

/// A listening socket from nothing, a connection to it, and its end.
pub fn a_listener_by_its_names<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let (stream, none) = (SocketKind::STREAM, SocketFlags::empty());
        let any = Address::v4(core::net::Ipv4Addr::LOCALHOST, 0);
        let (addr, addr_len) = any.parts();
        // SAFETY: the addresses outlive each awaited operation; the descriptors are the test's own.
        unsafe {
            let new = |_| Desc::adopt(run(rig, be.submit_socket(Family::INET, stream, none, 0)));
            let [server, client] = [0, 1].map(new);
            assert_eq!(run(rig, be.submit_bind(server.raw(), addr, addr_len)), 0);
            assert_eq!(run(rig, be.submit_listen(server.raw(), 5)), 0);
            let address = Address::from(server.local_address());
            let (addr, addr_len) = address.parts();
            assert_eq!(run(rig, be.submit_connect(client.raw(), addr, addr_len)), 0);
            assert_eq!(run(rig, be.submit_poll(server.raw(), PollEvents::IN)), 1);
            assert_eq!(run(rig, be.submit_shutdown(client.raw(), 1)), 0);
        }
    });
}
