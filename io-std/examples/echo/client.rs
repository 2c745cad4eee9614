//! The load: one thread with one epoll loop that keeps one message in flight on each connection, and
//! checks every byte that comes back.
//!
//! It is the same for every server, and its CPU time is left out of theirs.

use crate::Failure;
use crate::gate::Gate;
use core::net::SocketAddr;
use core::time::Duration;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
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
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<Event>,
    message: Vec<u8>,
    scratch: Vec<u8>,
}

/// One connection, and how far its message has come.
struct Connection {
    socket: OwnedFd,
    sent: usize,
    received: usize,
    /// Between the start of a message and the end of its echo.
    busy: bool,
}

/// What one look at a connection came to.
#[derive(PartialEq, Eq)]
enum Look {
    /// The rest of the echo is still to come.
    Waits,
    /// The echo is there, all of it.
    Echoed,
}

impl Load {
    fn new(address: SocketAddr, count: usize, bytes: usize) -> Result<Load, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let socket = OwnedFd::from(socket);
            // Edges, once for the whole run: the client's cost is no part of the result, but on a machine
            // with few processors it slows the servers down.
            let events = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&epoll, &socket, EventData::new_u64(index as u64), events)?;
            connections.push(Connection { socket, sent: 0, received: 0, busy: false });
        }
        let mut random = 1_u32;
        let message = (0..bytes).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random.to_le_bytes()[3]
        });
        Ok(Load {
            epoll,
            connections,
            events: Vec::with_capacity(count.min(512)),
            message: message.collect(),
            // More than a message, so that a short read says that there is no more.
            scratch: Vec::with_capacity(bytes + 1),
        })
    }

    fn run(&mut self, round_trips: u64) -> Result<(), Failure> {
        let (mut started, mut done) = (0, 0);
        for connection in &mut self.connections {
            if started < round_trips {
                started += 1;
                connection.begin(&self.message)?;
            }
        }
        while done < round_trips {
            self.events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            for event in &self.events {
                let index = usize::try_from(event.data.u64())?;
                let connection = &mut self.connections[index];
                if !connection.busy {
                    continue;
                }
                connection.send(&self.message)?;
                if connection.receive(&self.message, &mut self.scratch)? == Look::Echoed {
                    done += 1;
                    if started < round_trips {
                        started += 1;
                        connection.begin(&self.message)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn begin(&mut self, message: &[u8]) -> Result<(), Failure> {
        (self.sent, self.received, self.busy) = (0, 0, true);
        self.send(message)
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

    /// Takes what has come, and checks it.
    fn receive(&mut self, message: &[u8], scratch: &mut Vec<u8>) -> Result<Look, Failure> {
        loop {
            scratch.clear();
            match recv(&self.socket, spare_capacity(scratch), RecvFlags::empty()) {
                Ok((0, _)) => return Err("the server has closed a connection".into()),
                Ok((count, _)) => {
                    let end = self.received + count;
                    if message.get(self.received..end) != Some(scratch) {
                        return Err("the echo is not what was sent".into());
                    }
                    self.received = end;
                    if end == message.len() {
                        self.busy = false;
                        return Ok(Look::Echoed);
                    }
                }
                Err(Errno::AGAIN) => return Ok(Look::Waits),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
