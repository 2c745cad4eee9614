//! Streams and listeners on each backend: what a program does with them, and their ugly half.

#[path = "common/each.rs"]
mod each;

use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use each::on_each;
use io_std::net::{Address, How, MsgFlags, PollEvents};
use io_std::{File, Io, OpenOptions, TcpListener, TcpStream, UnixListener, UnixStream};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};

const SOON: Duration = Duration::from_secs(60);

/// Both to their ends, side by side.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        fn step<T>(
            slot: &mut Option<T>,
            future: Pin<&mut impl Future<Output = T>>,
            cx: &mut core::task::Context<'_>,
        ) {
            if slot.is_none()
                && let Poll::Ready(output) = future.poll(cx)
            {
                *slot = Some(output);
            }
        }
        step(&mut first, one.as_mut(), cx);
        step(&mut second, other.as_mut(), cx);
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Both ends of a TCP connection.
async fn tcp_pair(io: &Io) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(io, local()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let (client, server) = both(TcpStream::connect(io, address), listener.accept()).await;
    let (client, (server, from)) = (client.expect("connect"), server.expect("accept"));
    assert_eq!(from, client.local_addr().expect("an address"));
    assert_eq!(server.peer_addr().expect("an address"), from);
    assert_eq!(client.peer_addr().expect("an address"), address);
    (client, server)
}

fn assert_ours(fd: BorrowedFd<'_>) {
    let flags = rustix::fs::fcntl_getfl(fd).expect("open");
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK), "{flags:?}");
    let flags = rustix::io::fcntl_getfd(fd).expect("open");
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "{flags:?}");
}

#[test]
fn what_is_sent_arrives() {
    on_each(|io| {
        io.block_on(async {
            let (client, server) = tcp_pair(io).await;
            assert_ours(client.as_fd());
            assert_ours(server.as_fd());
            client.set_nodelay(true).expect("TCP");
            assert!(client.nodelay().expect("TCP"));
            let (sent, _) = client.write("ping").await;
            assert_eq!(sent.expect("room"), 4);
            let (got, text) = server.read(Vec::with_capacity(16)).await;
            assert_eq!((got.expect("data"), &text[..]), (4, &b"ping"[..]));
            // More than any socket buffer holds, in both directions at once.
            let big = vec![7_u8; 8 << 20];
            let there = both(client.write_all(big.clone()), server.read_exact(big.clone()));
            let back = both(server.write_all(big.clone()), client.read_exact(big.clone()));
            let (there, back) = both(there, back).await;
            for ((sent, _), (got, data)) in [there, back] {
                sent.expect("room in the end");
                got.expect("all of it");
                assert!(data == big);
            }
            client.shutdown(How::Write).await.expect("connected");
            let (got, _) = server.read([0_u8; 1]).await;
            assert_eq!(got.expect("the end"), 0);
            let (got, _) = server.read_exact([0_u8; 1]).await;
            assert_eq!(got.expect_err("the end").error.kind(), ErrorKind::UnexpectedEof);
        });
    });
}

#[test]
fn unix_streams() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    on_each(|io| {
        io.block_on(async {
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(io, &path).await.expect("bind");
            let taken = UnixListener::bind(io, &path).await.expect_err("taken");
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            let at = listener.local_addr().expect("an address");
            assert_eq!(at.unix_path(), path.to_str().map(str::as_bytes));
            let (client, server) = both(UnixStream::connect(io, &path), listener.accept()).await;
            let (client, (server, _)) = (client.expect("connect"), server.expect("accept"));
            assert_ours(client.as_fd());
            assert_ours(server.as_fd());
            client.write_all("over here").await.0.expect("room");
            let (got, text) = server.read_exact([0_u8; 9]).await;
            got.expect("data");
            assert_eq!(&text, b"over here");
            let (one, other) = UnixStream::pair(io).expect("a pair");
            assert_ours(one.as_fd());
            one.write("x").await.0.expect("room");
            assert_eq!(other.read([0_u8; 2]).await.0.expect("data"), 1);
            assert_eq!(other.peer_addr().expect("none").unix_path(), None);
            let name = Address::unix_abstract(b"").expect("any name");
            assert_eq!(name.unix_path(), None);
            let long = UnixStream::connect(io, "x".repeat(200)).await.expect_err("too long");
            assert_eq!(long.raw_os_error(), Some(libc::ENAMETOOLONG));
        });
    });
}

#[test]
fn refused_and_unreachable() {
    on_each(|io| {
        io.block_on(async {
            let listener = TcpListener::bind(io, local()).await.expect("bind");
            let address = listener.local_addr().expect("an address");
            drop(listener);
            let refused = TcpStream::connect(io, address).await.expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let nowhere = UnixStream::connect(io, "/nonexistent/socket").await;
            assert_eq!(nowhere.expect_err("no such path").kind(), ErrorKind::NotFound);
            let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
            match TcpListener::bind(io, v6).await {
                Ok(listener) => assert!(listener.local_addr().expect("an address").is_ipv6()),
                Err(error) => println!("SKIPPED IPv6: {error}"),
            }
        });
    });
}

#[test]
fn waiting_for_readiness() {
    on_each(|io| {
        io.block_on(async {
            let (one, other) = UnixStream::pair(io).expect("a pair");
            let writable = one.writable().await.expect("room");
            assert!(writable.contains(PollEvents::OUT) && !writable.contains(PollEvents::IN));
            let (events, ()) = both(one.readable(), async {
                other.write("x").await.0.expect("room");
            })
            .await;
            assert!(events.expect("data").contains(PollEvents::IN));
            let (peeked, _) = one.recv([0_u8; 4], MsgFlags::PEEK).await;
            assert_eq!(peeked.expect("data"), 1);
            assert_eq!(one.read([0_u8; 4]).await.0.expect("data"), 1);
            let (empty, _) = one.recv([0_u8; 4], MsgFlags::DONTWAIT).await;
            assert_eq!(empty.expect_err("no data").kind(), ErrorKind::WouldBlock);
            drop(other);
            assert!(one.readable().await.expect("the end").contains(PollEvents::HUP));
            let (sent, _) = one.write("x").await;
            assert_eq!(sent.expect_err("nobody there").kind(), ErrorKind::BrokenPipe);
        });
    });
}

/// A dropped accept and a dropped read leave the listener and the stream as they were.
#[test]
fn dropped_in_flight() {
    on_each(|io| {
        io.block_on(async {
            let listener = TcpListener::bind(io, local()).await.expect("bind");
            let address = listener.local_addr().expect("an address");
            let once = |future: Pin<&mut dyn Future<Output = ()>>| {
                let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
                assert!(future.poll(&mut cx).is_pending());
            };
            for _ in 0..100 {
                let accept = pin!(async { drop(listener.accept().await) });
                once(accept);
            }
            let (client, server) = both(TcpStream::connect(io, address), listener.accept()).await;
            let (client, (server, _)) = (client.expect("connect"), server.expect("accept"));
            for _ in 0..100 {
                let read = pin!(async { drop(server.read([0_u8; 4]).await) });
                once(read);
            }
            client.write("data").await.0.expect("room");
            let (got, data) = server.read([0_u8; 4]).await;
            assert_eq!((got.expect("data"), &data), (4, b"data"));
        });
    });
}

#[test]
fn reads_and_connections_time_out() {
    on_each(|io| {
        io.block_on(async {
            let (one, other) = UnixStream::pair(io).expect("a pair");
            let short = Duration::from_millis(10);
            let (late, buf) = one.read(vec![1_u8; 3]).with_timeout(short).await;
            assert_eq!(late.expect_err("nobody writes").kind(), ErrorKind::TimedOut);
            assert_eq!(buf, [1; 3]);
            other.write("ab").await.0.expect("room");
            let (got, _) = one.read([0_u8; 4]).with_timeout(SOON).await;
            assert_eq!(got.expect("data"), 2);
        });
    });
}

#[test]
fn files_from_directories() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("there"), "text").expect("written");
    on_each(|io| {
        io.block_on(async {
            let dir = File::open(io, dir.path()).await.expect("a directory");
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).open_at(&dir, "there").await.expect("there");
            assert_eq!(file.read_at([0_u8; 8], 0).await.0.expect("text"), 4);
            file.sync_data().await.expect("a file");
            assert!(file.readable().await.expect("always").contains(PollEvents::IN));
            let missing = options.open_at(&dir, "missing").await.expect_err("not there");
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            let no_dir = options.open_at(&file, "there").await.expect_err("a file");
            assert_eq!(no_dir.kind(), ErrorKind::NotADirectory);
        });
    });
}

/// The descriptor, and with it the duty to close it.
fn core_owned(fd: std::os::fd::OwnedFd) -> io_core::OwnedFd {
    use std::os::fd::IntoRawFd;
    let number = io_core::Fd::new(fd.into_raw_fd());
    #[allow(unsafe_code, reason = "takes a descriptor over")]
    // SAFETY: `into_raw_fd` gives the ownership up.
    unsafe {
        io_core::OwnedFd::from_raw(number, io_core::syscall::close_fd)
    }
}

/// Without a backend a free function waits in its first poll, also where the descriptor does not.
#[test]
fn without_a_backend_a_socket_that_does_not_block_is_waited_for() {
    use std::io::Write;
    let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    assert!(io_std::current().is_none());
    let this = std::fs::read_link("/proc/thread-self").expect("proc");
    let stat = std::path::Path::new("/proc").join(this).join("stat");
    let writer = std::thread::spawn(move || {
        // Not before it is waited for: the thread sleeps in the kernel.
        while !std::fs::read_to_string(&stat).expect("proc").contains(") S ") {
            std::thread::yield_now();
        }
        far.write_all(b"late").expect("write");
    });
    let recv = io_std::recv(core_owned(near.into()), [0; 8], MsgFlags::empty());
    let (count, bytes) = smol::block_on(recv);
    assert_eq!((count, &bytes[..4]), (Ok(4), &b"late"[..]));
    writer.join().expect("the writer");
}
