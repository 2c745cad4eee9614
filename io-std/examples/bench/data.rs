//! The file that is read, held in the page cache, and the buffers that are read into.
#![allow(unsafe_code, reason = "asks mincore(2) about a mapping")]
//! # Safety
//! The mapping is made, asked about and unmapped here; its memory is never touched.

use crate::Failure;
use crate::rows::Workload;
use crate::stable::Stable;
use crate::work::{PAGE, Reads};
use core::ptr;
use io_core::{Fd, Seekable};
use std::fs::{self, File, OpenOptions};
use std::io::{Error, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// The span of `read-hot`, in bytes.
pub(crate) const HOT_SPAN: usize = 256 << 10;
/// The span of `read-wide`, in bytes.
pub(crate) const WIDE_SPAN: usize = 256 << 20;
/// The most operations in flight.
pub(crate) const MAX_DEPTH: usize = 128;

/// One buffer.
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// A file without a name, and one buffer for each slot. Contenders take turns with both.
pub(crate) struct Data {
    file: File,
    span: usize,
    buffers: Stable<Page>,
}

impl Data {
    /// A file of `span` bytes in `directory`, in the page cache.
    ///
    /// # Errors
    /// What creating, writing or reading it says; or that the kernel does not keep it in memory.
    pub(crate) fn new(directory: &Path, span: usize) -> Result<Data, Failure> {
        let path = directory.join(format!("io-bench-{}.data", std::process::id()));
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        // From here on the file has no name, so that it goes away with us however we end.
        fs::remove_file(&path)?;
        let chunk = vec![0x5a_u8; 1 << 18];
        for _ in 0..span / chunk.len() {
            file.write_all(&chunk)?;
        }
        // Clean pages: otherwise the write-back would run beside the measurement.
        file.sync_all()?;
        let buffers = Stable::new(MAX_DEPTH, |_, _| Page([1; PAGE]));
        let mut data = Data { file, span, buffers };
        data.warm()?;
        Ok(data)
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The reads of one slot.
    ///
    /// # Errors
    /// If the file is too small for the workload.
    pub(crate) fn reads(&self, workload: Workload, slot: usize) -> Result<Reads, Failure> {
        let (span, seekable) = match workload {
            Workload::ReadWide => (WIDE_SPAN, Seekable::Proven),
            Workload::ReadHotBareFd => (HOT_SPAN, Seekable::Unknown),
            Workload::Nop | Workload::ReadHot => (HOT_SPAN, Seekable::Proven),
        };
        if span > self.span || slot >= self.buffers.len() {
            return Err("the data file or the buffers are too small".into());
        }
        Ok(Reads {
            fd: Fd::new(self.file.as_raw_fd()),
            seekable,
            buf: self.buffers.at(slot).cast::<u8>(),
            mask: u64::try_from(span / PAGE - 1)?,
            random: u64::try_from(slot)?.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        })
    }

    /// Reads the file until all of it is in memory.
    fn warm(&mut self) -> Result<(), Failure> {
        let mut chunk = vec![0_u8; 1 << 18];
        for _ in 0..3 {
            self.file.rewind()?;
            while self.file.read(&mut chunk)? != 0 {}
            if self.resident()? {
                return Ok(());
            }
        }
        Err("the kernel does not keep the data file in the page cache".into())
    }

    /// Whether every page of the file is in memory, by `mincore(2)`.
    fn resident(&self) -> Result<bool, Failure> {
        let mut pages = vec![0_u8; self.span.div_ceil(PAGE)];
        let (len, fd) = (self.span, self.file.as_raw_fd());
        // SAFETY: a new mapping at an address of the kernel's choice.
        let map =
            unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        if map == libc::MAP_FAILED {
            return Err(Error::last_os_error().into());
        }
        // SAFETY: the mapping has `len` bytes, and `pages` one byte for each of its pages.
        let asked = unsafe { libc::mincore(map, len, pages.as_mut_ptr()) };
        let error = Error::last_os_error();
        // SAFETY: the mapping was made above, and nothing points into it.
        unsafe { libc::munmap(map, len) };
        if asked != 0 {
            return Err(error.into());
        }
        Ok(pages.iter().all(|page| page & 1 != 0))
    }
}
