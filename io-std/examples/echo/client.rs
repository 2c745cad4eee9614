//! The load: one thread that sends a message on every connection, waits for the echo on the last of them,
//! takes the others, and begins again; it checks every byte.
//!
//! So a server is woken once for all connections, and wakes the client once: in a tighter loop the slower
//! of the two would sleep between any two messages, and the server pay for waking the client each time or
//! never, as the race goes. The client is the same for every server, and its CPU time is left out of
//! theirs.

use crate::Failure;
use crate::gate::Gate;
use core::net::SocketAddr;
use core::time::Duration;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::{ClockId, clock_gettime};
use std::net::TcpStream;
use std::thread::Scope;

/// What the client is asked.
enum Command {
    /// Connects so often; the connections are the next load.
    Connect(SocketAddr, usize),
    /// Makes so many round trips with this load.
    Run(usize, u64),
    /// The end.
    Quit,
}

/// The thread's CPU time for a command, or what went wrong.
type Answer = Result<Duration, String>;

/// The client's thread, seen from the server's.
pub(crate) struct Client<'g> {
    gate: &'g Passage,
    loads: usize,
}

/// What the two threads share.
pub(crate) struct Passage(Gate<Command, Answer>);

impl Passage {
    pub(crate) const fn new() -> Passage {
        Passage(Gate::new())
    }
}

impl<'g> Client<'g> {
    /// Starts the thread; messages are of `bytes` bytes.
    pub(crate) fn start<'s>(
        gate: &'g Passage,
        scope: &'s Scope<'s, 'g>,
        bytes: usize,
    ) -> Client<'g> {
        scope.spawn(move || run(gate, bytes));
        Client { gate, loads: 0 }
    }

    /// Begins to connect; somebody accepts meanwhile, and then [`wait`](Self::wait)s. The result is the
    /// number of the load.
    pub(crate) fn connect(&mut self, address: SocketAddr, count: usize) -> usize {
        self.gate.0.command(Command::Connect(address, count));
        self.loads += 1;
        self.loads - 1
    }

    /// Begins so many round trips.
    pub(crate) fn begin(&self, load: usize, round_trips: u64) {
        self.gate.0.command(Command::Run(load, round_trips));
    }

    /// Waits for the end of what was begun, and says how much CPU time it took the client.
    ///
    /// # Errors
    /// What went wrong there.
    pub(crate) fn wait(&self) -> Result<Duration, Failure> {
        Ok(self.gate.0.wait().map_err(|error| format!("the client: {error}"))?)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.gate.0.command(Command::Quit);
    }
}

fn run(gate: &Passage, bytes: usize) {
    let mut loads = Vec::new();
    loop {
        let before = cpu_time();
        let outcome = match gate.0.next() {
            Command::Connect(address, count) => {
                Load::new(address, count, bytes).map(|load| loads.push(Some(load)))
            }
            Command::Run(index, round_trips) => match loads.get_mut(index).and_then(Option::take) {
                // A load that fails is dropped, and so its server sees the end of the stream.
                Some(mut load) => load.run(round_trips).map(|()| loads[index] = Some(load)),
                None => Err("this load has failed before".into()),
            },
            Command::Quit => return,
        };
        let answer = outcome.map_err(|error| error.to_string());
        gate.0.answer(answer.map(|()| cpu_time().saturating_sub(before)));
    }
}

/// CPU time of the calling thread, in user and in kernel mode.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// One server's connections.
struct Load {
    connections: Vec<Connection>,
    message: Vec<u8>,
    scratch: Vec<u8>,
}

/// One connection, and how far its message has come.
struct Connection {
    socket: OwnedFd,
    sent: usize,
    received: usize,
}

impl Load {
    fn new(address: SocketAddr, count: usize, bytes: usize) -> Result<Load, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            connections.push(Connection { socket: socket.into(), sent: 0, received: 0 });
        }
        let mut random = 1_u32;
        let message = (0..bytes).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random.to_le_bytes()[3]
        });
        Ok(Load { connections, message: message.collect(), scratch: Vec::with_capacity(bytes) })
    }

    fn run(&mut self, round_trips: u64) -> Result<(), Failure> {
        let mut left = round_trips;
        while left > 0 {
            let all = self.connections.len();
            let count = usize::try_from(left).map_or(all, |left| left.min(all));
            let burst = &mut self.connections[..count];
            for connection in &mut *burst {
                (connection.sent, connection.received) = (0, 0);
                connection.send(&self.message)?;
            }
            for connection in burst.iter_mut().rev() {
                connection.finish(&self.message, &mut self.scratch)?;
            }
            left -= count as u64;
        }
        Ok(())
    }
}

impl Connection {
    /// Takes the rest of the echo, and sends the rest of the message.
    fn finish(&mut self, message: &[u8], scratch: &mut Vec<u8>) -> Result<(), Failure> {
        while !self.receive(message, scratch)? {
            let flags = match self.sent < message.len() {
                true => PollFlags::IN | PollFlags::OUT,
                false => PollFlags::IN,
            };
            match poll(&mut [PollFd::new(&self.socket, flags)], None) {
                Ok(_) | Err(Errno::INTR) => self.send(message)?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Sends what is left of the message, or as much as there is room for.
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        while self.sent < message.len() {
            match send(&self.socket, &message[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Takes what has come, and checks it; whether that is all of the echo.
    fn receive(&mut self, message: &[u8], scratch: &mut Vec<u8>) -> Result<bool, Failure> {
        while self.received < message.len() {
            scratch.clear();
            match recv(&self.socket, spare_capacity(scratch), RecvFlags::empty()) {
                Ok((0, _)) => return Err("the server has closed a connection".into()),
                Ok((count, _)) => {
                    let end = self.received + count;
                    if message.get(self.received..end) != Some(scratch) {
                        return Err("the echo is not what was sent".into());
                    }
                    self.received = end;
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(true)
    }
}
