//! Stream sockets: local ones, and those of IPv4 and IPv6 on a machine that has nothing but its loopback
//! interface.

mod names;
mod transfer;

pub(super) use names::Name;

use super::{Done, Stop};
use io_core::op::{Family, PollEvents, SocketKind};
use io_core::{Address, Errno};
use std::collections::{BTreeMap, VecDeque};

/// The most connections that wait for an accept (`net.core.somaxconn`), as the kernel has it.
const SOMAXCONN: usize = 4096;
/// How many bytes wait for a reader before a writer has to wait.
pub(super) const CAPACITY: usize = 208 * 1024;

#[derive(Debug)]
enum State {
    /// Made, and nothing more.
    Idle,
    /// Waits for connections.
    Listening { backlog: usize, queue: VecDeque<u32> },
    /// Waits for room in a listener's queue.
    Connecting(u32),
    /// Has or had a peer; `None` if that one is closed.
    Connected(Option<u32>),
    /// Was thrown out of its connection by the peer.
    Reset,
}

/// One socket.
#[derive(Debug)]
struct Socket {
    family: Family,
    state: State,
    name: Option<Name>,
    peer: Option<Name>,
    /// What has arrived and was not read.
    arrived: VecDeque<u8>,
    /// How it was sent: the lengths of the pieces.
    pieces: VecDeque<usize>,
    /// No more will be received.
    receives_no_more: bool,
    /// The end of a network's stream has come.
    has_ended: bool,
    /// No more may be sent.
    sends_no_more: bool,
    error: Option<Errno>,
    /// How much somebody waits for at once (`MSG_WAITALL`): as if he had taken what is here already.
    wanted: usize,
}

impl Socket {
    fn new(family: Family) -> Socket {
        Socket {
            family,
            state: State::Idle,
            name: None,
            peer: None,
            arrived: VecDeque::new(),
            pieces: VecDeque::new(),
            receives_no_more: false,
            has_ended: false,
            sends_no_more: false,
            error: None,
            wanted: 0,
        }
    }

    fn is_unix(&self) -> bool {
        self.family == Family::UNIX
    }

    fn is_over(&self) -> bool {
        self.receives_no_more && self.sends_no_more
    }

    /// How much the peer may send now.
    fn room(&self) -> usize {
        CAPACITY.max(self.wanted).saturating_sub(self.arrived.len())
    }

    /// Whether the peer is told that it may send: not for the last bytes.
    fn has_room(&self) -> bool {
        let (used, all) = (self.arrived.len(), CAPACITY.max(self.wanted));
        if self.is_unix() { used * 4 <= all } else { used * 3 <= all * 2 }
    }
}

/// Every socket.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    sockets: BTreeMap<u32, Socket>,
    names: BTreeMap<Name, Option<u32>>,
    next: u32,
    next_port: u16,
}

impl Sockets {
    fn insert(&mut self, socket: Socket) -> u32 {
        let id = self.next;
        self.next += 1;
        self.sockets.insert(id, socket);
        id
    }

    fn get(&self, id: u32) -> Result<&Socket, Errno> {
        self.sockets.get(&id).ok_or(Errno::BADF)
    }

    fn get_mut(&mut self, id: u32) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(&id).ok_or(Errno::BADF)
    }

    /// `socket(2)`, without the descriptor.
    pub(super) fn add(&mut self, op: &io_core::op::Socket) -> Result<u32, Errno> {
        const KINDS: u32 = 11;
        const FAMILIES: u16 = 46;
        if op.flags.bits() & !0o2_004_000 != 0 || op.kind.0 >= KINDS {
            return Err(Errno::INVAL);
        }
        match op.family {
            Family::UNIX if op.protocol > 1 => return Err(Errno::PROTONOSUPPORT),
            Family::UNIX => {}
            Family::INET | Family::INET6 => match (op.kind, op.protocol) {
                (_, 256..) => return Err(Errno::INVAL),
                (SocketKind::STREAM, 0 | 6) => {}
                (SocketKind::STREAM, _) => return Err(Errno::PROTONOSUPPORT),
                _ => {}
            },
            Family(0 | FAMILIES..) => return Err(Errno::AFNOSUPPORT),
            _ => return Err(Errno::AFNOSUPPORT),
        }
        if op.kind != SocketKind::STREAM {
            return Err(Errno::SOCKTNOSUPPORT);
        }
        Ok(self.insert(Socket::new(op.family)))
    }

    /// Two local sockets, connected.
    pub(super) fn add_pair(&mut self) -> (u32, u32) {
        let (a, b) =
            (self.insert(Socket::new(Family::UNIX)), self.insert(Socket::new(Family::UNIX)));
        self.join(a, b);
        (a, b)
    }

    fn join(&mut self, a: u32, b: u32) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(socket) = self.sockets.get_mut(&one) {
                socket.state = State::Connected(Some(other));
            }
        }
    }

    /// `bind(2)`; `None` is an address that nobody has mapped.
    pub(super) fn bind(&mut self, id: u32, address: Option<&[u8]>) -> Done {
        let address = address.ok_or(Errno::FAULT)?;
        let socket = self.get(id)?;
        let (family, is_new) = (socket.family, matches!(socket.state, State::Idle));
        let mut name = Name::to_bind(family, address)?;
        if socket.name.is_some() || (!is_new && family != Family::UNIX) {
            return Err(Errno::INVAL.into());
        }
        if name.wants_port() {
            name = self.free_port(&name);
        } else if self.names.contains_key(&name.key()) {
            return Err(Errno::ADDRINUSE.into());
        }
        self.names.insert(name.key(), Some(id));
        self.get_mut(id)?.name = Some(name);
        Ok(0)
    }

    /// A port that nobody has, for this address.
    fn free_port(&mut self, name: &Name) -> Name {
        loop {
            // The kernel's own range of them (`net.ipv4.ip_local_port_range`).
            self.next_port =
                if self.next_port < 32_768 { 32_768 } else { self.next_port.wrapping_add(1) };
            let name = name.with_port(self.next_port);
            if !name.wants_port() && !self.names.contains_key(&name.key()) {
                return name;
            }
        }
    }

    /// `listen(2)`.
    pub(super) fn listen(&mut self, id: u32, backlog: i32) -> Done {
        let backlog = usize::try_from(backlog).unwrap_or(SOMAXCONN).min(SOMAXCONN);
        let socket = self.get_mut(id)?;
        let nowhere = socket.is_unix() && socket.name.is_none();
        match &mut socket.state {
            State::Listening { backlog: old, .. } => *old = backlog,
            State::Idle if nowhere => return Err(Errno::INVAL.into()),
            State::Idle => {
                socket.state = State::Listening { backlog, queue: VecDeque::new() };
                if socket.name.is_none() {
                    let name = self.free_port(&Name::any(self.get(id)?.family));
                    self.names.insert(name.key(), Some(id));
                    self.get_mut(id)?.name = Some(name);
                }
            }
            _ => return Err(Errno::INVAL.into()),
        }
        Ok(0)
    }

    /// `connect(2)`: waits for room in the listener's queue.
    pub(super) fn connect(&mut self, id: u32, address: &[u8]) -> Done {
        let socket = self.get(id)?;
        let family = socket.family;
        let refused = match socket.state {
            State::Idle | State::Connecting(_) => None,
            State::Listening { .. } if family == Family::UNIX => Some(Errno::INVAL),
            State::Connected(_) | State::Listening { .. } | State::Reset => Some(Errno::ISCONN),
        };
        // A local socket looks for its peer first.
        if let Some(errno) = refused
            && family != Family::UNIX
        {
            return Err(if address.len() < 2 { Errno::INVAL } else { errno }.into());
        }
        let name = Name::to_connect(family, address)?;
        let listener = match self.listener(&name) {
            Ok(listener) => listener,
            Err(errno) => {
                self.give_up(id);
                return Err(errno.into());
            }
        };
        if !self.takes_more(listener) {
            if refused.is_none() {
                self.get_mut(id)?.state = State::Connecting(listener);
            }
            return Err(Stop::Wait);
        }
        if let Some(errno) = refused {
            return Err(errno.into());
        }
        self.connect_to(id, listener, name)?;
        Ok(0)
    }

    /// Whether it is of the local family.
    pub(super) fn is_unix(&self, id: u32) -> bool {
        self.sockets.get(&id).is_some_and(Socket::is_unix)
    }

    /// Whether it has or had a peer.
    pub(super) fn was_connected(&self, id: u32) -> bool {
        let state = self.sockets.get(&id).map(|socket| &socket.state);
        matches!(state, Some(State::Connected(_) | State::Reset))
    }

    /// Ends a wait for a connection.
    pub(super) fn give_up(&mut self, id: u32) {
        if let Some(socket) = self.sockets.get_mut(&id)
            && let State::Connecting(_) = socket.state
        {
            socket.state = State::Idle;
        }
    }

    /// Who listens there.
    fn listener(&self, name: &Name) -> Result<u32, Errno> {
        let bound = self.names.get(&name.key());
        // A path is a file, which must be there.
        let id = bound.ok_or(if name.is_path() { Errno::NOENT } else { Errno::CONNREFUSED })?;
        let id = id.ok_or(Errno::CONNREFUSED)?;
        let socket = self.get(id)?;
        let reached = socket.name.as_ref().is_some_and(|bound| bound.is_reached_by(name));
        match socket.state {
            State::Listening { .. } if reached && !socket.receives_no_more => Ok(id),
            _ => Err(Errno::CONNREFUSED),
        }
    }

    /// Whether a listener takes one more connection, or refuses one: it does not let it wait.
    fn takes_more(&self, id: u32) -> bool {
        match self.sockets.get(&id).map(|socket| &socket.state) {
            Some(State::Listening { backlog, queue }) => queue.len() <= *backlog,
            _ => true,
        }
    }

    fn connect_to(&mut self, id: u32, listener: u32, name: Name) -> Result<(), Errno> {
        let family = self.get(id)?.family;
        if self.get(id)?.name.is_none() && family != Family::UNIX {
            let own = self.free_port(&Name::loopback(family));
            self.names.insert(own.key(), Some(id));
            self.get_mut(id)?.name = Some(own);
        }
        let mut server = Socket::new(family);
        server.name = Some(name.clone());
        server.peer = self.get(id)?.name.clone();
        let server = self.insert(server);
        self.join(id, server);
        self.get_mut(id)?.peer = Some(name);
        if let State::Listening { queue, .. } = &mut self.get_mut(listener)?.state {
            queue.push_back(server);
        }
        Ok(())
    }

    /// `accept(2)`: the connection that waited longest, and where its peer is.
    pub(super) fn accept(&mut self, id: u32) -> Result<(u32, Address), Stop> {
        let socket = self.get_mut(id)?;
        let State::Listening { queue, .. } = &mut socket.state else {
            return Err(Errno::INVAL.into());
        };
        match queue.pop_front() {
            Some(accepted) => Ok((accepted, self.peer_address(accepted))),
            None if socket.receives_no_more => Err(Errno::INVAL.into()),
            None => Err(Stop::Wait),
        }
    }

    fn peer_address(&self, id: u32) -> Address {
        match self.sockets.get(&id) {
            Some(Socket { peer: Some(name), .. }) => name.address(),
            Some(socket) => Name::unnamed(socket.family),
            None => Address::EMPTY,
        }
    }

    /// Where it is bound.
    pub(super) fn local_address(&self, id: u32) -> Address {
        match self.sockets.get(&id) {
            Some(Socket { name: Some(name), .. }) => name.address(),
            Some(socket) => Name::unnamed(socket.family),
            None => Address::EMPTY,
        }
    }

    /// How much has arrived and was not read.
    pub(super) fn len(&self, id: u32) -> usize {
        self.sockets.get(&id).map_or(0, |socket| socket.arrived.len())
    }

    /// The pending error, which is told once (`SO_ERROR`).
    pub(super) fn take_error(&mut self, id: u32) -> Option<Errno> {
        self.sockets.get_mut(&id)?.error.take()
    }

    /// What `poll(2)` says.
    pub(super) fn events(&self, id: u32) -> PollEvents {
        let readable = PollEvents::IN | PollEvents::RDNORM;
        let mut events = PollEvents::empty();
        let Some(socket) = self.sockets.get(&id) else { return events };
        events.set(PollEvents::ERR, socket.error.is_some());
        events.set(readable | PollEvents::RDHUP, socket.receives_no_more);
        events.set(PollEvents::HUP, socket.is_over());
        if !socket.arrived.is_empty() {
            events |= readable;
        }
        let has_room = match socket.state {
            State::Listening { ref queue, .. } => {
                if !queue.is_empty() {
                    events |= readable;
                }
                return events;
            }
            State::Connecting(listener) => return self.connecting_events(listener, events),
            State::Connected(Some(peer)) => self.sockets.get(&peer).is_none_or(Socket::has_room),
            State::Connected(None) => true,
            State::Idle | State::Reset => {
                events |= PollEvents::HUP;
                true
            }
        };
        if has_room || (socket.sends_no_more && !socket.is_unix()) {
            events |= PollEvents::OUT | PollEvents::WRNORM;
            events.set(PollEvents::WRBAND, socket.is_unix());
        }
        events
    }

    fn connecting_events(&self, listener: u32, events: PollEvents) -> PollEvents {
        let over = self.takes_more(listener);
        if over { events | PollEvents::OUT | PollEvents::WRNORM } else { events }
    }
}
