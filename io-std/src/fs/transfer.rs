//! Transfers that go on until everything is moved, and say how far they got when they cannot.
#![allow(unsafe_code, reason = "tells buffers how much of them is filled")]
//! # Safety
//! A buffer is told what completed reads have written, and no more.

use super::{File, signed};
use crate::buf::{Rest, Room, capacity, len};
use crate::error::Partial;
use crate::error::io_error;
use io_core::ops::Ops;
use io_core::{Errno, IoBuf, IoBufMut};
use std::io;

/// The smallest piece of room that reading to the end makes.
const GROWTH: usize = 8 * 1024;

/// Where the next step of a transfer is.
#[derive(Clone, Copy)]
enum Start {
    /// At this offset and what was moved since.
    Offset(u64),
    /// At the file's own position.
    Position,
}

impl Start {
    /// The offset after `done` bytes; what does not fit is refused by the kernel.
    fn after(self, done: usize) -> Option<i64> {
        match self {
            Start::Offset(start) => {
                let done = u64::try_from(done).unwrap_or(u64::MAX);
                Some(start.checked_add(done).map_or(-1, signed))
            }
            Start::Position => None,
        }
    }
}

impl File {
    /// Fills the whole of `buf` from `offset` on, in bytes (`pread(2)`).
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before; else as [`read_at`](File::read_at).
    pub async fn read_exact_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> (Result<(), Partial>, B) {
        self.fill(buf, Start::Offset(offset)).await
    }

    /// Fills the whole of `buf` from the file's position on (`read(2)`).
    ///
    /// # Errors
    /// As [`read_exact_at`](File::read_exact_at).
    pub async fn read_exact<B: IoBufMut>(&self, buf: B) -> (Result<(), Partial>, B) {
        self.fill(buf, Start::Position).await
    }

    /// Writes all of `buf` from `offset` on, in bytes (`pwrite(2)`).
    ///
    /// # Errors
    /// `WriteZero` if the file takes no more; else as [`write_at`](File::write_at).
    pub async fn write_all_at<B: IoBuf>(&self, buf: B, offset: u64) -> (Result<(), Partial>, B) {
        self.drain(buf, Start::Offset(offset)).await
    }

    /// Writes all of `buf` at the file's position (`write(2)`).
    ///
    /// # Errors
    /// As [`write_all_at`](File::write_all_at).
    pub async fn write_all<B: IoBuf>(&self, buf: B) -> (Result<(), Partial>, B) {
        self.drain(buf, Start::Position).await
    }

    /// Reads from `offset`, in bytes, to the end of the file, and appends to `buf` (`pread(2)`).
    /// The result is how many bytes were appended.
    ///
    /// # Errors
    /// As [`read_at`](File::read_at); what was read before is in `buf`.
    pub async fn read_to_end_at(
        &self,
        buf: Vec<u8>,
        offset: u64,
    ) -> (Result<usize, Partial>, Vec<u8>) {
        self.append(buf, Start::Offset(offset)).await
    }

    /// Reads from the file's position to its end, and appends to `buf` (`read(2)`).
    ///
    /// # Errors
    /// As [`read_to_end_at`](File::read_to_end_at).
    pub async fn read_to_end(&self, buf: Vec<u8>) -> (Result<usize, Partial>, Vec<u8>) {
        self.append(buf, Start::Position).await
    }

    /// One step of reading, behind `filled` bytes of the buffer.
    ///
    /// # Safety
    /// * The first `filled` bytes of the buffer were written.
    async unsafe fn read_step<B: IoBufMut>(
        &self,
        buf: B,
        filled: usize,
        at: Option<i64>,
    ) -> (Result<usize, Errno>, B) {
        // SAFETY: promised by the caller.
        let room = unsafe { Room::behind(buf, filled) };
        let file = self.shared.clone();
        let (result, room) = match at {
            Some(offset) => self.io.pread(file, room, offset).await,
            None => self.io.read(file, room).await,
        };
        (result, room.inner)
    }

    async fn fill<B: IoBufMut>(&self, mut buf: B, from: Start) -> (Result<(), Partial>, B) {
        let (mut done, wanted) = (0, capacity(&mut buf));
        while done < wanted {
            // SAFETY: the steps so far have written `done` bytes, one behind the other.
            let step = unsafe { self.read_step(buf, done, from.after(done)) };
            let (result, back) = step.await;
            buf = back;
            match result {
                Ok(0) => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return (Err(Partial { done, error }), buf);
                }
                Ok(count) => done += count,
                Err(errno) => return (Err(stopped(done, errno)), buf),
            }
        }
        (Ok(()), buf)
    }

    async fn append(&self, mut buf: Vec<u8>, from: Start) -> (Result<usize, Partial>, Vec<u8>) {
        let mut done = 0;
        loop {
            if buf.len() == buf.capacity() {
                buf.reserve(GROWTH.max(done));
            }
            let filled = buf.len();
            // SAFETY: a vector's first `len` bytes are written.
            let step = unsafe { self.read_step(buf, filled, from.after(done)) };
            let (result, back) = step.await;
            buf = back;
            match result {
                Ok(0) => return (Ok(done), buf),
                Ok(count) => done += count,
                Err(errno) => return (Err(stopped(done, errno)), buf),
            }
        }
    }

    async fn drain<B: IoBuf>(&self, mut buf: B, from: Start) -> (Result<(), Partial>, B) {
        let (mut done, wanted) = (0, len(&mut buf));
        while done < wanted {
            let (file, rest) = (self.shared.clone(), Rest::of(buf, done));
            let (result, rest) = match from.after(done) {
                Some(offset) => self.io.pwrite(file, rest, offset).await,
                None => self.io.write(file, rest).await,
            };
            buf = rest.inner;
            match result {
                Ok(0) => {
                    let error = io::ErrorKind::WriteZero.into();
                    return (Err(Partial { done, error }), buf);
                }
                Ok(count) => done += count,
                Err(errno) => return (Err(stopped(done, errno)), buf),
            }
        }
        (Ok(()), buf)
    }
}

fn stopped(done: usize, errno: Errno) -> Partial {
    Partial { done, error: io_error(errno) }
}
