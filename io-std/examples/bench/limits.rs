//! The practical limits, written by hand: a loop on the `io-uring` crate and a loop of `pread(2)`.
#![allow(unsafe_code, reason = "pushes entries with raw pointers, reads into a raw buffer")]
//! # Safety
//! Every buffer belongs to [`Data`](crate::data::Data), which outlives the contenders, and to one slot,
//! whose next operation starts only when the last one is done.

use crate::Failure;
use crate::data::Data;
use crate::measure::Contender;
use crate::work::{PAGE, Reads, Work};
use core::slice;
use io_uring::IoUring;
use io_uring::squeue::{Entry, SubmissionQueue};
use std::fs::File;
use std::io::ErrorKind;

/// The best loop we know of: a ring of one thread, one `io_uring_enter` that submits and waits, and
/// every completion replaced at once by the slot's next operation.
pub(crate) struct RawRing<W> {
    ring: IoUring,
    slots: Vec<W>,
    enters: u64,
    wrong: u64,
}

/// How large a ring serves `depth` operations: with room to spare, as a program would ask for it.
pub(crate) fn ring_entries(depth: usize) -> Result<u32, Failure> {
    Ok(u32::try_from((depth * 2).next_power_of_two().max(8))?)
}

impl<W: Work> RawRing<W> {
    /// A ring for these slots.
    ///
    /// # Errors
    /// What `io_uring_setup(2)` says.
    pub(crate) fn new(slots: Vec<W>) -> Result<RawRing<W>, Failure> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .build(ring_entries(slots.len())?)
            .map_err(|error| format!("raw ring: {error}"))?;
        Ok(RawRing { ring, slots, enters: 0, wrong: 0 })
    }
}

fn push(queue: &mut SubmissionQueue<'_>, entry: Entry, slot: u64) -> Result<(), Failure> {
    let entry = entry.user_data(slot);
    // SAFETY: the buffer is the slot's own and outlives the ring; see the top of the file.
    unsafe { queue.push(&entry) }.map_err(|_| "raw ring: the submission queue is full".into())
}

impl<W: Work> Contender for RawRing<W> {
    fn run(&mut self, ops: u64) -> Result<(), Failure> {
        let (submitter, mut submissions, mut completions) = self.ring.split();
        let (mut started, mut done) = (0, 0);
        for (slot, work) in (0_u64..ops).zip(&mut self.slots) {
            push(&mut submissions, work.entry(), slot)?;
            started += 1;
        }
        submissions.sync();
        while done < ops {
            self.enters += 1;
            match submitter.submit_and_wait(1) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
            completions.sync();
            for completion in &mut completions {
                done += 1;
                self.wrong += u64::from(i64::from(completion.result()) != W::RESULT);
                if started < ops {
                    let slot = completion.user_data();
                    #[expect(clippy::cast_possible_truncation, reason = "an index given above")]
                    let work = &mut self.slots[slot as usize];
                    push(&mut submissions, work.entry(), slot)?;
                    started += 1;
                }
            }
            // Publishes the new head, so that the kernel does not take old completions for new ones.
            completions.sync();
            submissions.sync();
        }
        Ok(())
    }

    fn syscalls(&self) -> Option<u64> {
        Some(self.enters)
    }

    fn wrong(&self) -> u64 {
        self.wrong
    }
}

/// A blocking read after the other.
pub(crate) struct PreadLoop<'d> {
    file: &'d File,
    reads: Reads,
    calls: u64,
    wrong: u64,
}

impl<'d> PreadLoop<'d> {
    /// The loop over `reads` of `data`.
    pub(crate) fn new(data: &'d Data, reads: Reads) -> PreadLoop<'d> {
        PreadLoop { file: data.file(), reads, calls: 0, wrong: 0 }
    }
}

impl Contender for PreadLoop<'_> {
    fn run(&mut self, ops: u64) -> Result<(), Failure> {
        // SAFETY: the slot's own buffer of a page, initialised, which nobody else uses during this run.
        let buf = unsafe { slice::from_raw_parts_mut(self.reads.buf, PAGE) };
        for _ in 0..ops {
            let count = rustix::io::pread(self.file, &mut *buf, self.reads.next_offset())?;
            self.wrong += u64::from(count != PAGE);
        }
        self.calls += ops;
        Ok(())
    }

    fn syscalls(&self) -> Option<u64> {
        Some(self.calls)
    }

    fn wrong(&self) -> u64 {
        self.wrong
    }
}
