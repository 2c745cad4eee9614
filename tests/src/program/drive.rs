//! What a program does with its machine: polls, flushes and stops the backend, lets time pass, and moves data
//! without an operation.

use super::area::patterned;
use super::book::{Entry, Leads, Life};
use super::run::Run;
use super::stream::{Got, Put};
use core::time::Duration;
use io_core::{Deadline, Errno, OpKind, StopError};

impl Run {
    pub(super) fn poll_backend(&self) {
        let sure = |entry: &Entry| entry.kind == OpKind::Nop && entry.life == Life::Flying;
        let timeout = match if self.limits.few { 0 } else { self.choices.below(4) } {
            0 | 1 => Some(Duration::ZERO),
            2 => Some(Duration::from_micros(u64::from(self.choices.below(50)))),
            _ if self.book.borrow().entries.iter().any(sure) => None,
            _ => Some(Duration::from_millis(1)),
        };
        let polled = self.call(|backend| backend.poll(timeout));
        self.note(|| format!("poll the backend {timeout:?}: {polled:?}"));
        if let Ok(Err(errno)) = polled {
            self.violated(&format!("poll says {errno:?}"));
        }
    }

    pub(super) fn flush(&self) {
        let flushed = self.call(|backend| backend.flush());
        self.note(|| format!("flush: {flushed:?}"));
        if let Ok(Err(errno)) = flushed {
            self.violated(&format!("flush says {errno:?}"));
        }
    }

    pub(super) fn advance(&self) {
        let by = *self.choices.pick(&[1, 1_000, 20_000, 1_000_000, 2_000_000_000]);
        self.note(|| format!("{by} ns later"));
        self.host.advance(by);
    }

    pub(super) fn stop_inside(&self) {
        let stopped = self.host.backend().stop(Deadline::NEVER);
        let refused = matches!(stopped, Err(StopError::WrongPlace(Errno::DEADLK)));
        self.note(|| format!("  stop inside: {stopped:?}"));
        // A clone or drop of a waker in a plain poll of a future is not inside of the backend.
        if !refused {
            self.after_stop(&stopped);
        }
    }

    pub(super) fn after_stop(&self, stopped: &Result<(), StopError>) {
        let Ok(mut book) = self.book.try_borrow_mut() else { return };
        book.stopped |= !matches!(stopped, Err(StopError::WrongPlace(_)));
        let flying = book.entries.iter_mut().filter(|entry| entry.is_flying());
        flying.for_each(|entry| entry.asked = true);
    }

    pub(super) fn stop_and_start(&self) {
        if !self.choices.chance(4) || self.book.borrow().stopped {
            self.start();
            return;
        }
        let patient = self.choices.chance(2);
        self.stop(if patient { Deadline::NEVER } else { Deadline::NOW });
    }

    pub(super) fn stop(&self, deadline: Deadline) {
        let patient = deadline == Deadline::NEVER;
        // All that flies is asked, whoever looks at it while the backend stops.
        self.after_stop(&Ok(()));
        let stopped = self.call(|backend| backend.stop(deadline));
        self.note(|| format!("stop: {stopped:?}"));
        match stopped {
            Ok(Err(StopError::StillOwned(_))) if patient => {
                self.violated("a patient stop left something");
            }
            Ok(Err(StopError::WrongPlace(errno))) => {
                self.violated(&format!("stop says {errno:?}"));
            }
            _ => {}
        }
    }

    pub(super) fn start(&self) {
        let started = self.call(|backend| backend.start());
        self.note(|| format!("start: {started:?}"));
        match started {
            Ok(Ok(())) => self.book.borrow_mut().stopped = false,
            Ok(Err(errno)) if !matches!(errno, Errno::ALREADY | Errno::BUSY) => {
                self.violated(&format!("start says {errno:?}"));
            }
            _ => {}
        }
    }

    /// Data that comes and goes without an operation.
    pub(super) fn outside(&self) {
        let ends = self.book.borrow().open(|leads| matches!(leads, Leads::Stream { .. }));
        let Some(&end) = ends.get(self.choices.index(ends.len())) else { return };
        let (fd, leads) = {
            let book = self.book.borrow();
            (book.ends[end].fd, book.ends[end].leads.clone())
        };
        let Leads::Stream { reads, writes, .. } = leads else { return };
        let begin = self.now();
        if let Some(stream) = writes.filter(|_| self.choices.chance(2)) {
            // A number that no operation has.
            let number = u32::MAX / 2 + begin;
            let data = patterned(number, 1 + self.choices.below(12) as usize);
            let count = self.host.put(fd, &data);
            self.note(|| format!("put {count} of {} bytes into {fd:?}", data.len()));
            let end = self.now();
            let put = Put { data, count: Some(count), begin, end };
            self.book.borrow_mut().streams[stream].puts.push(put);
        } else if let Some(stream) = reads {
            let bytes = self.host.get(fd, 1 + self.choices.below(24) as usize);
            self.note(|| format!("got {} bytes from {fd:?}", bytes.len()));
            let end = self.now();
            let got = Got { bytes, begin, end };
            self.book.borrow_mut().streams[stream].gots.push(got);
        }
    }
}
