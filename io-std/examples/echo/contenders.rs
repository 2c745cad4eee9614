//! Who takes part: the hand-written loops, and the servers on the library's backends.
#![allow(unsafe_code, reason = "promises that a backend stays on its thread")]
//! # Safety
//! Every backend here is of one thread and has no workers.

use crate::Failure;
use crate::client::{Client, Passage};
use crate::measure::{Contender, Server};
use crate::options::{Choice, Options};
use crate::raw_epoll::RawEpoll;
use crate::raw_ring::{RawRing, entries};
use crate::service::service;
use crate::sockets::{listener, make_room};
use core::pin::Pin;
use io_core::IoBackend;
use io_epoll_backend::LocalEpoll;
use io_pool_backend::LocalPool;
use io_uring_backend::{Config, Local, UringBackend};
use rustix::fd::OwnedFd;
use std::thread;

/// Builds every contender, and calls `act` with them and the client.
///
/// # Errors
/// What building one of them says, or `act`. A kernel without the ring is an error only if the ring was
/// asked for; else standard error says so.
pub(crate) fn with_all(
    options: &Options,
    act: impl FnOnce(&mut [Contender], &Client<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let passage = Passage::new();
    thread::scope(|scope| {
        let client = Client::start(&passage, scope, options.bytes);
        let mut all = Builder { options, client, contenders: Vec::new() };
        // Two descriptors a connection, and five servers.
        make_room(options.connections * 2 * 5)?;
        all.build()?;
        let outcome = act(&mut all.contenders, &all.client);
        // The servers first: a client that still waits for an echo then sees the end of the stream.
        drop(all.contenders);
        outcome
    })
}

struct Builder<'o, 'g> {
    options: &'o Options,
    client: Client<'g>,
    contenders: Vec<Contender>,
}

impl Builder<'_, '_> {
    fn build(&mut self) -> Result<(), Failure> {
        let Options { choice, connections, .. } = *self.options;
        let room = self.options.room();
        match uring(connections) {
            Ok(ring) => {
                self.add("raw-ring", "raw-ring", |listener| {
                    Ok(Box::new(RawRing::new(&listener, connections, room)?))
                })?;
                if matches!(choice, Choice::All | Choice::Uring) {
                    self.add("uring", "raw-ring", on(ring, connections, room))?;
                }
            }
            Err(error) if choice == Choice::Uring => return Err(error),
            Err(error) => eprintln!("echo: no servers on the ring: {error}"),
        }
        self.add("raw-epoll", "raw-epoll", |listener| {
            Ok(Box::new(RawEpoll::new(&listener, connections, room)?))
        })?;
        // Without offload and without workers: the server's thread does all the work, as in the others.
        if matches!(choice, Choice::All | Choice::Epoll) {
            self.add("epoll", "raw-epoll", on(LocalEpoll::new()?, connections, room))?;
        }
        if matches!(choice, Choice::All | Choice::Pool) {
            self.add("pool", "raw-epoll", on(LocalPool::new()?, connections, room))?;
        }
        Ok(())
    }

    /// Builds one server while the client connects to it.
    fn add(
        &mut self,
        name: &'static str,
        limit: &'static str,
        build: impl FnOnce(OwnedFd) -> Result<Box<dyn Server>, Failure>,
    ) -> Result<(), Failure> {
        if self.options.only.as_deref().is_some_and(|only| only != name) {
            return Ok(());
        }
        let (listener, address) = listener()?;
        let load = self.client.connect(address, self.options.connections);
        let server = build(listener).map_err(|error| format!("{name}: {error}"))?;
        self.client.wait()?;
        self.contenders.push(Contender { name, limit, server, load });
        Ok(())
    }
}

fn uring(connections: usize) -> Result<UringBackend<Local>, Failure> {
    let config = Config::new().entries(entries(connections)?);
    Ok(UringBackend::new(&config).map_err(|error| error.to_string())?)
}

/// One for the life of the program, as a `static` would be: so the handle is a plain reference.
fn forever<B>(backend: B) -> Pin<&'static B> {
    Pin::static_ref(Box::leak(Box::new(backend)))
}

/// What builds the library's server on this backend, which is of one thread and has no workers.
fn on<B: IoBackend + 'static>(
    backend: B,
    connections: usize,
    room: usize,
) -> impl FnOnce(OwnedFd) -> Result<Box<dyn Server>, Failure> {
    move |listener| {
        let backend = forever(backend);
        backend.start()?;
        // SAFETY: of one thread, without workers.
        unsafe { service(backend, listener, connections, room) }
    }
}
