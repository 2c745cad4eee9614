//! [`Lane`]: runs one session after the other, and gives them what they need: choices, and ways to wait for an
//! operation.

use crate::random::{Random, first_wrong};
use crate::world::{Slot, World, count};
use core::pin::pin;
use core::sync::atomic::Ordering;
use core::time::Duration;
use io_core::Errno;
use io_core::ops::{Operation, SafeOp};
use io_std::{Call, Io};
use smol::future::yield_now;
use std::io;
use std::sync::Arc;

/// How a session ended before its end.
#[derive(Debug)]
pub(crate) enum End {
    /// A fault that was caused on purpose ended it.
    Excused,
    /// Something is wrong.
    Broken(String),
}

/// What sessions and their parts return.
pub(crate) type Outcome<T = ()> = Result<T, End>;

/// How an operation is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// Until it is done.
    Plain,
    /// With a deadline.
    Timeout(Duration),
    /// Cancelled after so many turns of the executor.
    Cancel(usize),
}

/// One of the lanes of a thread.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) world: Arc<World>,
    pub(crate) random: Random,
    slot: Arc<Slot>,
}

/// What can be transferred to and from a buffer.
pub(crate) trait Transfer: Operation<Output = (Result<usize, Errno>, Vec<u8>)> {}

impl<D: Operation<Output = (Result<usize, Errno>, Vec<u8>)>> Transfer for D {}

impl Lane {
    /// A lane in this world.
    pub(crate) fn new(world: &Arc<World>, random: Random) -> Lane {
        Lane { world: Arc::clone(world), random, slot: world.slot() }
    }

    /// A part of a session that runs beside the rest.
    pub(crate) fn branch(&mut self) -> Lane {
        Lane::new(&self.world, self.random.child())
    }

    /// The backend.
    pub(crate) fn io(&self) -> &Io {
        &self.world.io
    }

    /// Says what it is at.
    pub(crate) fn at(&self, step: &'static str) {
        self.slot.set(step);
    }

    /// How to wait for the next operation.
    pub(crate) fn how(&mut self) -> How {
        match self.random.below(8) {
            0 => How::Timeout(Duration::from_micros(self.random.size(2000) as u64)),
            1 => How::Cancel(self.random.below(4)),
            _ => How::Plain,
        }
    }

    /// Whether an operation that is waited for in this way may be asked to end early: then it may have
    /// transferred a part.
    pub(crate) fn may_be_cut(&self, how: How) -> bool {
        how != How::Plain || self.world.harsh
    }

    /// An error of an operation that nobody has asked to end early.
    pub(crate) fn end(&self, what: &str, errno: Errno) -> End {
        if self.world.excuses(errno) {
            return End::Excused;
        }
        self.broken(&format!("{what}: {errno}"))
    }

    /// [`end`](Self::end), of an error of the standard library's.
    pub(crate) fn end_std(&self, what: &str, error: &io::Error) -> End {
        match error.raw_os_error() {
            Some(number) => self.end(what, Errno::from_raw(number)),
            None => self.broken(&format!("{what}: {error}")),
        }
    }

    /// Something is wrong.
    pub(crate) fn broken(&self, what: &str) -> End {
        End::Broken(format!("{}: {what}", self.slot.get()))
    }

    /// Runs a transfer. `None`: it was ended early, and nothing was transferred.
    pub(crate) async fn transfer<D: Transfer>(
        &self,
        call: Call<SafeOp<Io, D>>,
        how: How,
    ) -> (Result<Option<usize>, Errno>, Vec<u8>) {
        let (result, buf) = match how {
            How::Plain => pin!(call).as_mut().op().await,
            How::Timeout(limit) => pin!(call.with_timeout(limit)).as_mut().op().await,
            How::Cancel(turns) => {
                let mut call = pin!(call);
                // It was not polled before, and this is no forked child: so it is submitted.
                let _ = call.as_mut().op().submit();
                for _ in 0..turns {
                    yield_now().await;
                }
                call.as_mut().op().cancel();
                call.as_mut().op().await
            }
        };
        let counts = &self.world.counts;
        match result {
            Ok(len) => (Ok(Some(len)), buf),
            Err(Errno::TIMEDOUT) if matches!(how, How::Timeout(_)) => {
                count(&counts.timed_out);
                (Ok(None), buf)
            }
            Err(Errno::CANCELED) if matches!(how, How::Cancel(_)) || self.world.harsh => {
                count(&counts.cancelled);
                // Whoever has stopped the backend shall come to start it.
                yield_now().await;
                (Ok(None), buf)
            }
            Err(errno) => (Err(errno), buf),
        }
    }

    /// Compares what was read with what belongs there.
    pub(crate) fn check(&self, seed: u64, position: usize, bytes: &[u8]) -> Outcome {
        self.world.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match first_wrong(seed, position, bytes) {
            None => Ok(()),
            Some(at) => Err(self.broken(&format!(
                "byte {} of the stream is wrong: {} came at {position}",
                position + at,
                bytes.len()
            ))),
        }
    }
}
