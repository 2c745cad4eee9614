//! What goes through a connection, and its end.

use super::{Socket, Sockets, State};
use crate::world::memory::Pieces;
use crate::world::{Done, Stop, word};
use io_core::Errno;
use io_core::op::MsgFlags;

/// What a socket takes in one go.
const PIECE: usize = 32 * 1024;

/// Data that overtakes the rest is not kept here.
const ODD: MsgFlags = MsgFlags::OOB;

impl Sockets {
    /// `recv(2)`.
    pub(in crate::world) fn recv(
        &mut self,
        id: u32,
        flags: MsgFlags,
        into: &mut Pieces<'_>,
    ) -> Done {
        let socket = self.get_mut(id)?;
        if flags.intersects(ODD) {
            return Err(if socket.is_unix() { Errno::OPNOTSUPP } else { Errno::INVAL }.into());
        }
        if flags.contains(MsgFlags::ERRQUEUE) && !socket.is_unix() {
            return Err(Errno::AGAIN.into());
        }
        socket.may_receive()?;
        if socket.arrived.is_empty() {
            return socket.nothing_arrived(flags);
        }
        let whole = flags.contains(MsgFlags::WAITALL) && !flags.contains(MsgFlags::DONTWAIT);
        let wanted = into.left();
        if whole && socket.arrived.len() < wanted && !socket.receives_no_more {
            // So that the peer may send what is missing, also where that is more than ever waits.
            socket.wanted = wanted;
            return Err(Stop::Wait);
        }
        socket.wanted = 0;
        let (len, peeks) = (socket.arrived.len().min(wanted), flags.contains(MsgFlags::PEEK));
        if flags.contains(MsgFlags::TRUNC) && !socket.is_unix() {
            // Thrown away unseen, as `tcp(7)` has it.
            socket.take_away(if peeks { 0 } else { len });
            return word(len);
        }
        let copied = socket.copy_out(len, into);
        if flags.contains(MsgFlags::WAITALL) && copied == socket.arrived.len() && copied < wanted {
            // The kernel looked for more, met the error, and tells nobody: there is a count to tell.
            socket.error = None;
        }
        if !peeks {
            socket.take_away(copied);
        }
        if copied == 0 && len > 0 { Err(Errno::FAULT.into()) } else { word(copied) }
    }

    /// `send(2)`, without a signal.
    pub(in crate::world) fn send(
        &mut self,
        id: u32,
        flags: MsgFlags,
        from: &mut Pieces<'_>,
    ) -> Done {
        let socket = self.get_mut(id)?;
        if flags.intersects(ODD) {
            return Err(Errno::OPNOTSUPP.into());
        }
        let peer = socket.may_send(from.left() == 0)?;
        let room = match peer.and_then(|peer| self.sockets.get(&peer)) {
            // A local peer that will not receive is as good as gone.
            Some(peer) if peer.is_unix() && peer.receives_no_more && from.left() > 0 => {
                return Err(Errno::PIPE.into());
            }
            // A network's peer that neither sends nor receives answers with a reset of both.
            Some(peer) if !peer.is_unix() && peer.is_over() && from.left() > 0 => {
                return self.send_to_nobody(id, from);
            }
            Some(peer) => peer.room(),
            // Sent to one who closed: the answer is a reset, and the next send hears of it.
            None if from.left() > 0 => return self.send_to_nobody(id, from),
            None => 0,
        };
        if from.left() == 0 {
            return Ok(0);
        }
        if room == 0 {
            return Err(Stop::Wait);
        }
        let mut bytes = vec![0; from.left().min(room)];
        let taken = from.take(&mut bytes);
        // A piece with a bad address in it is not sent at all.
        let copied = if taken < bytes.len() { taken - taken % PIECE } else { taken };
        if copied == 0 {
            return Err(Errno::FAULT.into());
        }
        if let Some(peer) = peer.and_then(|peer| self.sockets.get_mut(&peer)) {
            peer.arrived.extend(&bytes[..copied]);
            peer.pieces.push_back(copied);
        }
        word(copied)
    }

    fn send_to_nobody(&mut self, id: u32, from: &mut Pieces<'_>) -> Done {
        let mut bytes = vec![0; from.left()];
        let copied = from.take(&mut bytes);
        if copied == 0 {
            return Err(Errno::FAULT.into());
        }
        let socket = self.get_mut(id)?;
        let peer = match socket.state {
            State::Connected(peer) => peer,
            _ => None,
        };
        // It has seen the end of the stream.
        socket.reset(Errno::PIPE);
        if let Some(peer) = peer.and_then(|peer| self.sockets.get_mut(&peer)) {
            peer.reset(Errno::CONNRESET);
        }
        word(copied)
    }

    /// `shutdown(2)`.
    pub(in crate::world) fn shutdown(&mut self, id: u32, how: u32) -> Done {
        let (receiving, sending) = match how {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => return Err(Errno::INVAL.into()),
        };
        let socket = self.get_mut(id)?;
        let unix = socket.is_unix();
        match socket.state {
            State::Listening { .. } if !unix => {
                // The listener of a network is none any more when it does not receive.
                return if receiving { self.unlisten(id) } else { Ok(0) };
            }
            State::Idle | State::Connecting(_) | State::Reset if !unix => {
                socket.receives_no_more |= receiving;
                socket.sends_no_more |= sending;
                return Err(Errno::NOTCONN.into());
            }
            _ => {}
        }
        socket.receives_no_more |= receiving;
        socket.sends_no_more |= sending;
        let State::Connected(Some(peer)) = socket.state else { return Ok(0) };
        if let Some(peer) = self.sockets.get_mut(&peer) {
            // A network tells nobody that one does not receive.
            peer.sends_no_more |= receiving && unix;
            peer.receives_no_more |= sending;
            peer.has_ended |= sending && !unix;
        }
        Ok(0)
    }

    fn unlisten(&mut self, id: u32) -> Done {
        let socket = self.get_mut(id)?;
        if let State::Listening { queue, .. } = core::mem::replace(&mut socket.state, State::Idle) {
            queue.into_iter().for_each(|waiting| self.refuse(waiting));
        }
        Ok(0)
    }

    /// Closes a connection that nobody accepted.
    fn refuse(&mut self, id: u32) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let State::Connected(Some(peer)) = socket.state
            && let Some(peer) = self.sockets.get_mut(&peer)
        {
            peer.peer_is_gone(true);
        }
    }

    /// The last descriptor of it is closed.
    pub(in crate::world) fn close(&mut self, id: u32) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let Some(name) = socket.name.as_ref().map(super::Name::key)
            && self.names.get(&name) == Some(&Some(id))
        {
            // The file of a path stays behind.
            let is_path = name.is_path();
            self.names.remove(&name);
            if is_path {
                self.names.insert(name, None);
            }
        }
        match socket.state {
            State::Listening { queue, .. } => queue.into_iter().for_each(|it| self.refuse(it)),
            State::Connected(Some(peer)) => {
                if let Some(peer) = self.sockets.get_mut(&peer) {
                    peer.peer_is_gone(!socket.arrived.is_empty());
                }
            }
            _ => {}
        }
    }
}

impl Socket {
    fn may_receive(&self) -> Result<(), Errno> {
        match self.state {
            State::Connected(_) | State::Reset => Ok(()),
            _ if self.is_unix() => Err(Errno::INVAL),
            State::Idle if self.receives_no_more => Ok(()),
            _ => Err(Errno::NOTCONN),
        }
    }

    fn nothing_arrived(&mut self, flags: MsgFlags) -> Done {
        // Who has seen the end of a network's stream hears of nothing else.
        if !self.has_ended
            && let Some(error) = self.error.take()
        {
            return Err(error.into());
        }
        if self.receives_no_more {
            return Ok(0);
        }
        Err(if flags.contains(MsgFlags::DONTWAIT) { Errno::AGAIN.into() } else { Stop::Wait })
    }

    /// Copies what has arrived, piece by piece: one that meets a bad address is not received.
    fn copy_out(&mut self, len: usize, into: &mut Pieces<'_>) -> usize {
        let bytes = self.arrived.make_contiguous();
        let mut done = 0;
        for piece in &self.pieces {
            let wanted = (*piece).min(len - done);
            if into.give(&bytes[done..done + wanted]) < wanted {
                break;
            }
            done += wanted;
        }
        done
    }

    fn take_away(&mut self, len: usize) {
        self.arrived.drain(..len);
        let mut left = len;
        while left > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let taken = left.min(*piece);
            *piece -= taken;
            left -= taken;
            if *piece == 0 {
                self.pieces.pop_front();
            }
        }
    }

    /// The peer to send to, `None` if it closed without a word and the kernel would find out only now.
    fn may_send(&mut self, nothing: bool) -> Result<Option<u32>, Errno> {
        let peer = match self.state {
            State::Connected(peer) => peer,
            State::Reset => return Err(self.error.take().unwrap_or(Errno::PIPE)),
            _ if self.is_unix() => return Err(Errno::NOTCONN),
            _ => return Err(Errno::PIPE),
        };
        if self.sends_no_more {
            return Err(Errno::PIPE);
        }
        if !nothing && let Some(error) = self.error.take() {
            return Err(error);
        }
        Ok(peer)
    }

    /// The peer closed; `harshly` if it left something unread, or was never accepted.
    fn peer_is_gone(&mut self, harshly: bool) {
        self.state = State::Connected(None);
        self.receives_no_more = true;
        if self.is_unix() {
            self.sends_no_more = true;
            if harshly {
                self.error = Some(Errno::CONNRESET);
            }
        } else if harshly {
            self.reset(if self.has_ended { Errno::PIPE } else { Errno::CONNRESET });
        } else {
            self.has_ended = true;
        }
    }

    /// The other machine knows of no connection.
    fn reset(&mut self, error: Errno) {
        self.state = State::Reset;
        self.error = Some(error);
        self.receives_no_more = true;
        self.sends_no_more = true;
    }
}
