//! A file that is written through the library, in large pieces.

use io_std::{File, Io};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Bytes of one write.
const PIECE: usize = 512 * 1024;

/// Where words and events go. The first error ends it: what is written after that goes nowhere, and
/// [`finish`](Sink::finish) tells.
pub(crate) struct Sink {
    io: Io,
    file: File,
    buf: Vec<u8>,
    failed: Option<io::Error>,
}

impl Sink {
    /// A new file; what was there is cut.
    pub(crate) fn create(io: &Io, path: &Path) -> io::Result<Sink> {
        let file = io.block_on(File::create(io, path))?;
        Ok(Sink::of(io, file))
    }

    /// An open descriptor, at its own position.
    pub(crate) fn from_fd(io: &Io, fd: OwnedFd) -> Sink {
        Sink::of(io, File::from_std(io, fd.into()))
    }

    fn of(io: &Io, file: File) -> Sink {
        let buf = Vec::with_capacity(PIECE + PIECE / 4);
        Sink { io: io.clone(), file, buf, failed: None }
    }

    fn drain(&mut self) {
        if self.failed.is_none() {
            // At the position, not at an offset: it may be a pipe.
            let buf = core::mem::take(&mut self.buf);
            let (result, buf) = self.io.block_on(self.file.write_all(buf));
            self.failed = result.err().map(|partial| partial.error);
            self.buf = buf;
        }
        self.buf.clear();
    }

    /// Writes the rest and closes.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.drain();
        let Sink { io, file, failed, .. } = self;
        let closed = io.block_on(file.close());
        failed.map_or(closed, Err)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buf.extend_from_slice(bytes);
        if self.buf.len() >= PIECE {
            self.drain();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE, Sink};
    use crate::samples::io;
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    #[test]
    fn everything_arrives_in_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, vec![b'x'; 4 * PIECE]).expect("written");
        let mut sink = Sink::create(&io(), &path).expect("created");
        let mut expected = Vec::new();
        for n in 0..200_000_u32 {
            writeln!(sink, "line {n}").expect("taken");
            writeln!(expected, "line {n}").expect("taken");
        }
        sink.finish().expect("written");
        assert!(fs::read(path).expect("read") == expected);
    }

    #[test]
    fn an_error_is_told_once_at_the_end() {
        let mut sink = Sink::create(&io(), Path::new("/dev/full")).expect("opened");
        sink.write_all(&vec![b'x'; 3 * PIECE]).expect("taken");
        let error = sink.finish().expect_err("the device is full");
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert!(Sink::create(&io(), Path::new("/no/such/folder/file")).is_err());
    }
}
