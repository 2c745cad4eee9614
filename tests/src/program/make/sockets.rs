//! Operations that make and end connections.

use super::super::book::{Effect, Leads};
use super::{Draft, Maker, number, proof, unit};
use core::net::Ipv4Addr;
use core::ptr;
use io_core::Address;
use io_core::op::{self, AcceptFlags, Family, Op, SocketFlags, SocketKind};
use io_core::ops::Ops;
use std::rc::Rc;

impl Maker<'_> {
    pub(super) fn accept(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| matches!(leads, Leads::Listener(_)))?;
        let flags = AcceptFlags::empty();
        let op = op::Accept { fd, flags, addr: ptr::null_mut(), addr_len: ptr::null_mut() };
        let draft = Draft::new(Op::Accept(op), Effect::MakesFd(Leads::Loose { socket: true }))
            .or_typed(move |handle| handle.accept(proof(fd), flags), number);
        Some(draft.on(&[end]))
    }

    pub(super) fn connect(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| matches!(leads, Leads::Fresh))?;
        let (listener, _) = self.end(|leads| matches!(leads, Leads::Listener(_)))?;
        let Leads::Listener(address) = &self.book.ends[listener].leads else { return None };
        let address = Rc::clone(address);
        let (addr, addr_len) = (address.as_bytes().as_ptr(), length(&address));
        let op = Op::Connect(op::Connect { fd, addr, addr_len });
        let given = *address;
        let mut draft = Draft::new(op, Effect::Connects(end))
            .or_typed(move |handle| handle.connect(proof(fd), given), unit);
        draft.kept.address = Some(address);
        Some(draft.on(&[end]))
    }

    pub(super) fn socket(&self) -> Draft {
        let (family, kind, flags) = (Family::INET, SocketKind::STREAM, SocketFlags::empty());
        let op = Op::Socket(op::Socket { family, kind, flags, protocol: 0 });
        Draft::new(op, Effect::MakesFd(Leads::Fresh))
            .or_typed(move |handle| handle.socket(family, kind, flags, 0), number)
    }

    pub(super) fn shutdown(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| {
            matches!(leads, Leads::Stream { socket: true, .. } | Leads::Loose { socket: true })
        })?;
        let how = self.choices.below(3);
        Some(Draft::new(Op::Shutdown(op::Shutdown { fd, how }), Effect::Nothing).on(&[end]))
    }

    pub(super) fn shutdown_or_bind(&mut self) -> Option<Draft> {
        match self.choices.below(4) {
            0 | 1 => self.shutdown(),
            2 => {
                let (end, fd) = self.end(|leads| matches!(leads, Leads::Fresh))?;
                let address = Rc::new(Address::v4(Ipv4Addr::LOCALHOST, 0));
                let (addr, addr_len) = (address.as_bytes().as_ptr(), length(&address));
                let given = *address;
                let op = Op::Bind(op::Bind { fd, addr, addr_len });
                let mut draft = Draft::new(op, Effect::Nothing)
                    .or_typed(move |handle| handle.bind(proof(fd), given), unit);
                draft.kept.address = Some(address);
                Some(draft.on(&[end]))
            }
            _ => {
                let (end, fd) = self.end(|leads| matches!(leads, Leads::Fresh))?;
                let op = Op::Listen(op::Listen { fd, backlog: 2 });
                let draft = Draft::new(op, Effect::Nothing)
                    .or_typed(move |handle| handle.listen(proof(fd), 2), unit);
                Some(draft.on(&[end]))
            }
        }
    }
}

fn length(address: &Address) -> u32 {
    // At most 128.
    u32::try_from(address.as_bytes().len()).unwrap_or(0)
}
