//! The limit on readiness: the epoll loop we would write by hand.
//!
//! Each connection is registered once, for edges in both directions. An edge means: receive, send back
//! what came, and go on only if the read filled the buffer; a short read says that there is no more, so
//! that a round trip costs one `recv(2)`, one `send(2)` and a share of an `epoll_wait(2)`.

use crate::Failure;
use crate::measure::Server;
use crate::sockets::accept_all;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// The server.
pub(crate) struct RawEpoll {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<Event>,
    syscalls: u64,
}

struct Connection {
    socket: OwnedFd,
    /// What was received.
    buf: Vec<u8>,
    /// How much of it was sent back.
    sent: usize,
}

impl RawEpoll {
    /// A server of `count` connections, with room for `room` bytes each.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(crate) fn new(listener: &OwnedFd, count: usize, room: usize) -> Result<RawEpoll, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for (index, socket) in accept_all(listener, count)?.into_iter().enumerate() {
            let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, &socket, EventData::new_u64(index as u64), events)?;
            connections.push(Connection { socket, buf: Vec::with_capacity(room), sent: 0 });
        }
        Ok(RawEpoll { epoll, connections, events: Vec::with_capacity(256), syscalls: 0 })
    }
}

impl Server for RawEpoll {
    fn serve(&mut self, bytes: u64) -> Result<(), Failure> {
        let mut sent = 0;
        while sent < bytes {
            self.events.clear();
            self.syscalls += 1;
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            for event in &self.events {
                #[expect(clippy::cast_possible_truncation, reason = "an index given above")]
                let connection = &mut self.connections[event.data.u64() as usize];
                sent += connection.turn(&mut self.syscalls)?;
            }
        }
        Ok(())
    }

    fn syscalls(&self) -> u64 {
        self.syscalls
    }
}

impl Connection {
    /// Echoes what is there; how many bytes were sent.
    #[inline]
    fn turn(&mut self, syscalls: &mut u64) -> Result<u64, Failure> {
        let mut total = 0;
        loop {
            while self.sent < self.buf.len() {
                *syscalls += 1;
                match send(&self.socket, &self.buf[self.sent..], SendFlags::NOSIGNAL) {
                    Ok(count) => {
                        self.sent += count;
                        total += count as u64;
                    }
                    Err(Errno::AGAIN) => return Ok(total),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            if !self.buf.is_empty() && self.buf.len() < self.buf.capacity() {
                // The read that brought this was short: the next edge says when there is more.
                (self.sent, _) = (0, self.buf.clear());
                return Ok(total);
            }
            self.sent = 0;
            self.buf.clear();
            *syscalls += 1;
            match recv(&self.socket, spare_capacity(&mut self.buf), RecvFlags::empty()) {
                Ok((0, _)) => return Err("the client has closed a connection".into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(total),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
