//! The limit on completions: the loop on the `io-uring` crate that we would write by hand.
//!
//! A ring of one thread with deferred work; one `io_uring_enter(2)` submits and waits, completions are
//! taken in batches, and each is replaced at once by its connection's next operation.
#![allow(unsafe_code, reason = "pushes entries with raw pointers")]
//! # Safety
//! Buffers and sockets belong to a connection with one operation in flight at a time; dropping the server
//! cancels nothing, so buffers are given up, not freed, if operations are in flight.

use crate::Failure;
use crate::measure::Server;
use crate::sockets::accept_all;
use io_uring::squeue::{Entry, SubmissionQueue};
use io_uring::{IoUring, opcode, types};
use rustix::fd::OwnedFd;
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;

const MSG_NOSIGNAL: i32 = 0x4000;

/// The server. Fields drop in order: the ring first, and the connections' buffers are not freed.
pub(crate) struct RawRing {
    ring: IoUring,
    connections: Vec<Connection>,
    enters: u64,
    begun: bool,
}

struct Connection {
    socket: OwnedFd,
    /// Of `room` bytes; leaked, because the kernel may write to it until the ring is really gone.
    buf: *mut u8,
    room: u32,
    received: u32,
    sent: u32,
}

/// Whether a completion is a send's: the lowest bit of its word.
const SEND: u64 = 1;

impl RawRing {
    /// A server of `count` connections, with room for `room` bytes each.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(crate) fn new(listener: &OwnedFd, count: usize, room: usize) -> Result<RawRing, Failure> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .build(entries(count)?)
            .map_err(|error| format!("raw ring: {error}"))?;
        let room = u32::try_from(room)?;
        let connections = accept_all(listener, count)?.into_iter().map(|socket| {
            let buf = Box::leak(vec![0_u8; room as usize].into_boxed_slice()).as_mut_ptr();
            Connection { socket, buf, room, received: 0, sent: 0 }
        });
        Ok(RawRing { ring, connections: connections.collect(), enters: 0, begun: false })
    }
}

/// How large a ring serves `count` connections, for this loop and for the library's backend.
pub(crate) fn entries(count: usize) -> Result<u32, Failure> {
    Ok(u32::try_from((count * 2).next_power_of_two().max(8))?)
}

impl Connection {
    #[inline]
    fn recv(&self) -> Entry {
        opcode::Recv::new(types::Fd(self.socket.as_raw_fd()), self.buf, self.room).build()
    }

    #[inline]
    fn send(&self) -> Entry {
        let start = self.buf.wrapping_add(self.sent as usize);
        let len = self.received - self.sent;
        let send = opcode::Send::new(types::Fd(self.socket.as_raw_fd()), start, len);
        send.flags(MSG_NOSIGNAL).build()
    }

    /// The next operation after one with this result, and how many bytes that one has sent.
    #[inline]
    fn next(&mut self, was_send: bool, result: i32) -> Result<(Entry, u64, u64), Failure> {
        let count = match u32::try_from(result) {
            Ok(0) if !was_send => return Err("the client has closed a connection".into()),
            Ok(count) => count,
            Err(_) => return Err(Error::from_raw_os_error(-result).into()),
        };
        if !was_send {
            (self.received, self.sent) = (count, 0);
            return Ok((self.send(), SEND, 0));
        }
        self.sent += count;
        if self.sent < self.received {
            return Ok((self.send(), SEND, count.into()));
        }
        Ok((self.recv(), 0, count.into()))
    }
}

fn push(queue: &mut SubmissionQueue<'_>, entry: Entry, word: u64) -> Result<(), Failure> {
    let entry = entry.user_data(word);
    // SAFETY: the connection's socket is open and its buffer is never freed; one operation at a time.
    unsafe { queue.push(&entry) }.map_err(|_| "raw ring: the submission queue is full".into())
}

impl Server for RawRing {
    fn serve(&mut self, bytes: u64) -> Result<(), Failure> {
        let (submitter, mut submissions, mut completions) = self.ring.split();
        if !core::mem::replace(&mut self.begun, true) {
            for (index, connection) in (0_u64..).zip(&self.connections) {
                push(&mut submissions, connection.recv(), index << 1)?;
            }
            submissions.sync();
        }
        let mut sent = 0;
        while sent < bytes {
            self.enters += 1;
            match submitter.submit_and_wait(1) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
            completions.sync();
            for completion in &mut completions {
                let word = completion.user_data();
                let connection = &mut self.connections[(word >> 1) as usize];
                let (entry, tag, count) = connection.next(word & SEND != 0, completion.result())?;
                sent += count;
                push(&mut submissions, entry, (word & !SEND) | tag)?;
            }
            // Publishes the new head, so that the kernel does not take old completions for new ones.
            completions.sync();
            submissions.sync();
        }
        Ok(())
    }

    fn syscalls(&self) -> u64 {
        self.enters
    }
}
