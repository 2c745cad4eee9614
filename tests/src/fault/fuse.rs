//! [`FaultyFile`]: a file that we answer for, by the kernel's FUSE protocol: one that fails, or moves less than
//! it was asked to.
//!
//! The mount is of a file and not of a directory, so there are no names to look up. Reads and writes come to
//! us one by one (`FOPEN_DIRECT_IO`), unless they are cached: what we say is what the system call says.
#![allow(unsafe_code, reason = "reads and writes a device")]
//! # Safety
//! The system calls here take locals with their lengths.

use super::mount::{directory, mount, unmount};
use super::{not_here, signals};
use crate::child::{self, Child};
use io_core::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

/// The opcodes that we know.
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const INIT: u32 = 26;
/// These have no answer.
const UNANSWERED: [u32; 2] = [2, 36];

/// The sizes of what comes before the arguments, and before the data of a write.
const HEADER: usize = 40;
const WRITE_HEADER: usize = HEADER + 40;
const OUT_HEADER: usize = 16;

/// The most that one write brings.
const MOST: u32 = 128 << 10;
const SIZE: u64 = 1 << 20;

/// What such a file does.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Reads and writes that begin here or later fail, and so does a sync.
    pub fails_from: u64,
    /// With this.
    pub errno: Errno,
    /// One read or write moves no more bytes than this.
    pub at_most: u32,
    /// Whether its pages are kept: then the kernel reads as much as it likes, and not what it is asked for.
    pub cached: bool,
}

/// A file of 1 MiB that behaves like this.
#[derive(Debug)]
pub struct FaultyFile {
    path: PathBuf,
    _directory: TempDir,
    server: Option<Server>,
}

/// Who answers.
#[derive(Debug)]
enum Server {
    /// A thread of this process.
    Thread(JoinHandle<()>),
    /// Another process: what waits for an answer cannot be killed, so this one could not end before its own
    /// threads have been answered.
    Process { child: Child, hold: Hold<PipeReader, PipeWriter> },
}

/// A byte from the server that holds a read, and a byte to it when it is to answer.
#[derive(Debug)]
struct Hold<R, W> {
    from: R,
    to: W,
}

/// Both ends: ours, and the server's.
fn hold() -> (Hold<PipeReader, PipeWriter>, Hold<PipeReader, PipeWriter>) {
    let (held, holds) = pipe().expect("a pipe");
    let (released, releases) = pipe().expect("a pipe");
    (Hold { from: held, to: releases }, Hold { from: released, to: holds })
}

impl FaultyFile {
    /// Mounts one, and answers for it on a thread of its own.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> FaultyFile {
        FaultyFile::served(|device| {
            Server::Thread(thread::spawn(move || {
                signals::block_all();
                serve(device, behaviour, &mut |_| ());
            }))
        })
    }

    /// Mounts one whose reads are not answered before [`release`](Self::release): whoever waits for that sleeps so
    /// that no signal ends it.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn holding(cached: bool) -> FaultyFile {
        let behaviour = Behaviour { fails_from: SIZE, errno: Errno::IO, at_most: MOST, cached };
        FaultyFile::served(|device| {
            let (ours, theirs) = hold();
            let mut ours = Some(ours);
            let child = child::fork(|| {
                // Or nobody would ever see that ours is gone.
                drop(ours.take());
                let (Hold { mut from, mut to }, mut holds) = (theirs, true);
                serve(device, behaviour, &mut |opcode| match opcode {
                    OPEN => holds = true,
                    READ if holds => {
                        // Nobody there: there is nothing to hold it for.
                        let _ = to.write_all(&[0]).and_then(|()| from.read_exact(&mut [0]));
                        holds = false;
                    }
                    _ => {}
                });
            });
            Server::Process { child, hold: ours.expect("this is the parent") }
        })
    }

    /// Waits until a read is held.
    ///
    /// # Panics
    /// If this file holds none.
    pub fn wait_for_one(&self) {
        let Some(Server::Process { hold, .. }) = &self.server else { panic!("this one answers") };
        (&hold.from).read_exact(&mut [0]).expect("the server");
    }

    /// Has the read that is held answered, and those that come, until the file is opened again.
    ///
    /// # Panics
    /// If this file holds none.
    pub fn release(&self) {
        let Some(Server::Process { hold, .. }) = &self.server else { panic!("this one answers") };
        (&hold.to).write_all(&[0]).expect("the server");
    }

    fn served(server: impl FnOnce(File) -> Server) -> FaultyFile {
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => not_here(format!("no /dev/fuse: {error}")),
        };
        let directory = directory();
        let path = directory.path().join("faulty");
        drop(File::create(&path).expect("a file to mount on"));
        let number = device.as_raw_fd();
        let options = format!("fd={number},rootmode=100644,user_id=0,group_id=0");
        mount(c"faulty", &path, c"fuse", 0, &CString::new(options).expect("no NUL"));
        let faulty = FaultyFile { path, _directory: directory, server: Some(server(device)) };
        // The kernel hears now that there is no flush: one at the end of the process, when this thread's
        // server is gone already, would never end.
        // And the size is known: the ring's reads look at it, the plain ones do not.
        let size = faulty.open().metadata().expect("its attributes").len();
        assert_eq!(size, SIZE, "as we have said");
        faulty
    }

    /// Opens it for reading and writing.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.path).expect("the faulty file")
    }

    /// The byte at this offset.
    #[must_use]
    pub fn byte(offset: u64) -> u8 {
        (offset.wrapping_mul(7) ^ (offset >> 8)).to_le_bytes()[0]
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        unmount(&self.path);
        // It ends when nobody has the file open any more.
        match self.server.take() {
            Some(Server::Thread(thread)) => drop(thread.join()),
            Some(Server::Process { child, hold }) => {
                drop(hold);
                child.join("answering for a file");
            }
            None => {}
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

/// Answers until the file system is gone (`ENODEV`); calls `before` with the opcode before each answer.
fn serve(mut device: File, behaviour: Behaviour, before: &mut dyn FnMut(u32)) {
    let mut asked = vec![0_u8; WRITE_HEADER + MOST as usize + 4096];
    loop {
        let len = match device.read(&mut asked) {
            Ok(len) => len,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return,
            Err(_) => continue,
        };
        let Some(asked) = asked.get(..len).filter(|asked| asked.len() >= HEADER) else { continue };
        if UNANSWERED.contains(&u32_at(asked, 4)) {
            continue;
        }
        before(u32_at(asked, 4));
        let (error, body) = match answer(asked, behaviour) {
            Ok(body) => (0, body),
            Err(errno) => (-errno.raw(), Vec::new()),
        };
        let total = u32::try_from(OUT_HEADER + body.len()).expect("a short answer");
        let mut out = Vec::with_capacity(OUT_HEADER + body.len());
        out.extend_from_slice(&total.to_ne_bytes());
        out.extend_from_slice(&error.to_ne_bytes());
        out.extend_from_slice(&u64_at(asked, 8).to_ne_bytes());
        out.extend_from_slice(&body);
        // Whoever asked may be gone: a signal or a cancel came.
        let _ = device.write_all(&out);
    }
}

fn answer(asked: &[u8], behaviour: Behaviour) -> Result<Vec<u8>, Errno> {
    let offset = u64_at(asked, HEADER + 8);
    let size = u32_at(asked, HEADER + 16).min(behaviour.at_most);
    let fails = offset >= behaviour.fails_from;
    match u32_at(asked, 4) {
        INIT => Ok(init()),
        GETATTR => Ok(attributes()),
        // The handle in two halves, FOPEN_DIRECT_IO or not, and nothing.
        OPEN => Ok([0, 0, u32::from(!behaviour.cached), 0].map(u32::to_ne_bytes).concat()),
        READ | WRITE if fails => Err(behaviour.errno),
        READ => {
            let end = (offset + u64::from(size)).min(SIZE).min(behaviour.fails_from);
            Ok((offset..end).map(FaultyFile::byte).collect())
        }
        WRITE => {
            let room = u32::try_from(behaviour.fails_from - offset).unwrap_or(u32::MAX);
            Ok([size.min(room), 0].map(u32::to_ne_bytes).concat())
        }
        FSYNC if behaviour.fails_from < SIZE => Err(behaviour.errno),
        RELEASE | FSYNC => Ok(Vec::new()),
        // Also for a flush, which the kernel then never asks for again.
        _ => Err(Errno::NOSYS),
    }
}

/// `struct fuse_init_out` of version 7.31.
fn init() -> Vec<u8> {
    // FUSE_ASYNC_READ: whoever starts to read ahead does not wait for it.
    let words = [7, 31, 0, 1, 16 | 12 << 16, MOST, 1, 32];
    let mut out: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    out.resize(64, 0);
    out
}

/// `struct fuse_attr_out` of a regular file.
fn attributes() -> Vec<u8> {
    let mut out = vec![0_u8; 104];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &1_u64.to_ne_bytes());
    put(24, &SIZE.to_ne_bytes());
    put(76, &(libc::S_IFREG | 0o644).to_ne_bytes());
    put(80, &1_u32.to_ne_bytes());
    put(96, &4096_u32.to_ne_bytes());
    out
}
