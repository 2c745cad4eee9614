//! A stream of bytes from one end to the other, by which way ever: each byte is the one that belongs there, also
//! around operations that are cancelled or time out; and the end comes where the writer stopped.

use crate::lane::{End, Lane, Outcome};
use crate::random::fill;
use crate::world::count;
use core::cell::Cell;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use io_core::Errno;
use io_core::op::{AcceptFlags, Family, SocketFlags, SocketKind};
use io_core::ops::Ops;
use io_std::{File, TcpStream, UnixStream};
use rustix::net::sockopt;
use smol::future::{yield_now, zip};
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

const MOST_BYTES: usize = 256 * 1024;
const MOST_AT_ONCE: usize = 64 * 1024;

/// The two ends of a pipe.
pub(super) struct Pipe {
    pub(super) reader: OwnedFd,
    pub(super) writer: std::io::PipeWriter,
}

/// Makes a pipe.
pub(super) fn pipe_ends(lane: &Lane) -> Outcome<Pipe> {
    let (reader, writer) = std::io::pipe().map_err(|error| lane.end_std("pipe", &error))?;
    Ok(Pipe { reader: reader.into(), writer })
}

/// A listener somewhere on this machine, and its address.
pub(super) async fn listener(lane: &mut Lane) -> Outcome<(File, SocketAddr)> {
    // One of millions of addresses, so that ports that linger do not run out.
    let [a, b, c, ..] = lane.random.next().to_le_bytes();
    let address = Ipv4Addr::new(127, a, b, c.clamp(1, 254));
    let (io, any) = (lane.io(), SocketAddr::V4(SocketAddrV4::new(address, 0)));
    let socket = io.socket(Family::INET, SocketKind::STREAM, SocketFlags::NONBLOCK, 0).await;
    let socket = File::from_fd(io, socket.map_err(|errno| lane.end("socket", errno))?);
    io.bind(socket.clone(), any).await.map_err(|errno| lane.end("bind", errno))?;
    io.listen(socket.clone(), 16).await.map_err(|errno| lane.end("listen", errno))?;
    let name =
        rustix::net::getsockname(&socket).map_err(|errno| lane.broken(&errno.to_string()))?;
    let name = name.try_into().map_err(|_| lane.broken("no address"))?;
    Ok((socket, name))
}

/// One end of a connection.
enum Side {
    File(File),
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Side {
    async fn read(&self, lane: &mut Lane, len: usize) -> (Result<Option<usize>, Errno>, Vec<u8>) {
        let (how, buf) = (lane.how(), vec![0; len]);
        match self {
            Side::File(file) => lane.transfer(file.read(buf), how).await,
            Side::Tcp(stream) => lane.transfer(stream.read(buf), how).await,
            Side::Unix(stream) => lane.transfer(stream.read(buf), how).await,
        }
    }

    async fn write(&self, lane: &mut Lane, buf: Vec<u8>) -> Result<Option<usize>, Errno> {
        let how = lane.how();
        match self {
            Side::File(file) => lane.transfer(file.write(buf), how).await.0,
            Side::Tcp(stream) => lane.transfer(stream.write(buf), how).await.0,
            Side::Unix(stream) => lane.transfer(stream.write(buf), how).await.0,
        }
    }

    /// A socket with hardly any buffer. TCP's are longer: below a segment or two it waits for its own timers.
    fn shorten(&self) {
        let (socket, bytes) = match self {
            Side::File(_) => return,
            Side::Tcp(stream) => (stream.as_fd(), MOST_AT_ONCE),
            Side::Unix(stream) => (stream.as_fd(), 1),
        };
        // The kernel takes what it allows; and if it refuses, the buffers are long.
        let _ = sockopt::set_socket_send_buffer_size(socket, bytes);
        let _ = sockopt::set_socket_recv_buffer_size(socket, bytes);
    }

    /// A close of this one is a reset.
    fn reset_at_close(&self) {
        if let Side::Tcp(stream) = self {
            // If it is refused, the close is a usual one.
            let _ = sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO));
        }
    }
}

/// Who leaves before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaver {
    Nobody,
    Reader,
    Writer,
}

/// What both sides of one stream know.
struct Course {
    seed: u64,
    total: usize,
    leaver: Leaver,
    /// Where the leaver leaves.
    until: usize,
    /// Whether leaving is a reset, behind which bytes get lost.
    resets: bool,
    written: Cell<usize>,
    closed: Cell<bool>,
}

/// Through a pipe.
pub(super) async fn pipe(lane: &mut Lane) -> Outcome {
    lane.at("pipe");
    let Pipe { reader, writer } = pipe_ends(lane)?;
    let reader = Side::File(File::from_std(lane.io(), reader.into()));
    let writer = Side::File(File::from_std(lane.io(), OwnedFd::from(writer).into()));
    run(lane, reader, writer, false).await
}

/// Through a pair of sockets.
pub(super) async fn pair(lane: &mut Lane) -> Outcome {
    lane.at("socket pair");
    let pair = UnixStream::pair(lane.io()).map_err(|error| lane.end_std("pair", &error))?;
    let (reader, writer) = (Side::Unix(pair.0), Side::Unix(pair.1));
    if lane.random.once_in(2) {
        writer.shorten();
        reader.shorten();
    }
    run(lane, reader, writer, false).await
}

/// Through a connection that is accepted first.
pub(super) async fn tcp(lane: &mut Lane) -> Outcome {
    lane.at("tcp: listener");
    let (listener, address) = listener(lane).await?;
    lane.at("tcp: connect and accept");
    let refused = Cell::new(false);
    let connect = async {
        let connected = TcpStream::connect(lane.io(), address).await;
        refused.set(connected.is_err());
        connected.map_err(|error| lane.end_std("connect", &error))
    };
    let accept = async {
        while !refused.get() {
            let accept = lane.io().accept(listener.clone(), AcceptFlags::NONBLOCK);
            match accept.with_timeout(Duration::from_millis(5)).await {
                Ok(socket) => return Ok(TcpStream::from_fd(lane.io(), socket)),
                Err(Errno::TIMEDOUT) => {}
                Err(errno) if lane.world.excuses(errno) => yield_now().await,
                Err(errno) => return Err(lane.end("accept", errno)),
            }
        }
        Err(End::Excused)
    };
    let (client, server) = zip(connect, accept).await;
    let (mut reader, mut writer) = (Side::Tcp(client?), Side::Tcp(server?));
    if lane.random.once_in(2) {
        (reader, writer) = (writer, reader);
    }
    if lane.random.once_in(2) {
        writer.shorten();
        reader.shorten();
    }
    let resets = lane.random.once_in(2);
    run(lane, reader, writer, resets).await
}

async fn run(lane: &mut Lane, reader: Side, writer: Side, resets: bool) -> Outcome {
    let total = lane.random.size(MOST_BYTES);
    let course = Course {
        seed: lane.random.next(),
        total,
        leaver: match lane.random.below(6) {
            0 => Leaver::Reader,
            1 => Leaver::Writer,
            _ => Leaver::Nobody,
        },
        until: lane.random.below(total),
        resets,
        written: Cell::new(0),
        closed: Cell::new(false),
    };
    let mut other = lane.branch();
    let (read, written) =
        zip(read(lane, reader, &course), write(&mut other, writer, &course)).await;
    other.at("over");
    read.and(written)
}

async fn write(lane: &mut Lane, writer: Side, course: &Course) -> Outcome {
    lane.at("stream: write");
    let leaves = course.leaver == Leaver::Writer;
    let end = if leaves { course.until } else { course.total };
    while course.written.get() < end {
        let at = course.written.get();
        let len = lane.random.size(MOST_AT_ONCE).min(end - at);
        match writer.write(lane, fill(course.seed, at, len)).await {
            Ok(Some(count)) if (1..=len).contains(&count) => course.written.set(at + count),
            Ok(None) => {}
            Err(Errno::PIPE | Errno::CONNRESET) if course.leaver == Leaver::Reader => break,
            Err(errno) => return Err(lane.end("write", errno)),
            Ok(count) => return Err(lane.broken(&format!("wrote {count:?} of {len} bytes"))),
        }
    }
    if leaves && course.resets {
        writer.reset_at_close();
        count(&lane.world.counts.resets);
    }
    course.closed.set(true);
    drop(writer);
    Ok(())
}

async fn read(lane: &mut Lane, reader: Side, course: &Course) -> Outcome {
    let mut position = 0;
    let leaves = course.leaver == Leaver::Reader;
    while !leaves || position < course.until {
        lane.at("stream: read");
        let len = lane.random.size(MOST_AT_ONCE);
        let reset = course.resets && course.leaver == Leaver::Writer;
        match reader.read(lane, len).await {
            (Ok(Some(0)), _) if course.closed.get() && course.written.get() == position => break,
            (Ok(Some(0)) | Err(Errno::CONNRESET), _) if reset => break,
            (Ok(Some(0)), _) => {
                let written = course.written.get();
                return Err(lane.broken(&format!("the end came at {position} of {written}")));
            }
            (Ok(Some(count)), buf) if count <= len => {
                lane.check(course.seed, position, &buf[..count])?;
                position += count;
            }
            (Ok(None), _) => {}
            (Err(errno), _) => return Err(lane.end("read", errno)),
            (result, _) => return Err(lane.broken(&format!("{result:?} into {len} bytes"))),
        }
    }
    if leaves && course.resets {
        reader.reset_at_close();
        count(&lane.world.counts.resets);
    }
    Ok(())
}
