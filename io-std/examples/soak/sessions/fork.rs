//! A forked child that touches what its parent has in flight, and exits.
#![allow(unsafe_code, reason = "forks")]
//! # Safety
//! The child polls and drops one operation, which touches its own copy of memory and no lock, and ends.

use super::stream::{Pipe, pipe_ends};
use crate::lane::{Lane, Outcome};
use crate::world::count;
use core::future::Future;
use core::task::{Context, Poll, Waker};
use io_core::Errno;
use io_core::ops::Ops;
use io_std::File;
use std::io::Write;

/// The child's operation ends with `EOWNERDEAD`; the parent's gets its byte.
pub(super) async fn child_exits(lane: &mut Lane) -> Outcome {
    lane.at("fork: pipe");
    let Pipe { reader, mut writer } = pipe_ends(lane)?;
    let reader = File::from_std(lane.io(), reader.into());
    let mut read = Box::pin(lane.io().read(reader, vec![0; 8]));
    // Not polled before, and this is no forked child: so it is submitted.
    let _ = read.as_mut().submit();
    lane.at("fork: child");
    // SAFETY: the child does nothing but what is written here.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let right = match polled {
            Poll::Ready((Err(Errno::OWNERDEAD | Errno::CANCELED), _)) => 0,
            Poll::Ready(_) => 1,
            Poll::Pending => 2,
        };
        drop(read);
        // SAFETY: ends the child without anything of the parent's being run.
        unsafe { libc::_exit(right) };
    }
    if child < 0 {
        return Err(lane.end_std("fork", &std::io::Error::last_os_error()));
    }
    let mut status = 0;
    // SAFETY: the status is writable. Signals interrupt the wait.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {}
    if status != 0 {
        return Err(lane.broken(&format!("the child ended with status {status:#x}")));
    }
    count(&lane.world.counts.forks);
    lane.at("fork: the parent's read");
    writer.write_all(b"1").map_err(|error| lane.end_std("write", &error))?;
    match read.await {
        (Ok(1), buf) if buf == b"1" => Ok(()),
        (Err(errno), _) => Err(lane.end("read", errno)),
        (result, buf) => Err(lane.broken(&format!("{result:?} with {buf:?}"))),
    }
}
