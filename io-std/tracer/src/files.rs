//! The files of a life: the mapping that the launcher shares, and the file that the blocks are written to.
#![allow(unsafe_code, reason = "maps a file")]
//! # Safety
//! A mapping is of the whole of a file that has its blocks already, is never unmapped, and is replaced only by
//! another of the same size in a forked child.

use crate::format::{Block, Live, MAGIC};
use crate::settings::Settings;
use crate::text::Text;
use crate::{clock, ours};
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fstat, open};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
use rustix::process::{Resource, getrlimit};

/// Room for the path of one of our files.
pub(crate) type Path = Text<512>;

/// The descriptor of the events' file, or -1; and what makes its name.
pub(crate) struct EventsFile {
    fd: AtomicI32,
    life: AtomicU32,
    /// Which file it is, to know it again.
    inode: AtomicU64,
    device: AtomicU64,
}

pub(crate) static EVENTS: EventsFile = EventsFile {
    fd: AtomicI32::new(-1),
    life: AtomicU32::new(0),
    inode: AtomicU64::new(0),
    device: AtomicU64::new(0),
};

/// `DIR/PID-N.END`.
fn path(dir: &[u8], pid: u32, life: u32, end: &[u8]) -> Path {
    Path::new().push(dir).push(b"/").number(pid).push(b"-").number(life).push(end)
}

/// The mapping of a new life, at `place` if there is one already; and its number.
pub(crate) fn map(
    settings: &Settings,
    pid: u32,
    place: Option<NonNull<Live>>,
) -> Result<(NonNull<Live>, u32), Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut life = 0;
    let (file, path) = loop {
        let path = path(settings.dir.as_bytes(), pid, life, b".live");
        match open(path.as_c_str().ok_or(Errno::NAMETOOLONG)?, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) if life < 1 << 20 => life += 1,
            opened => break (opened?, path),
        }
    };
    let mapped = map_file(&file, place);
    if let (Err(_), Some(path)) = (mapped, path.as_c_str()) {
        // There is no life; the launcher finds nothing to read.
        let _: Result<(), Errno> = rustix::fs::unlink(path);
    }
    Ok((mapped?, life))
}

fn map_file(file: &OwnedFd, place: Option<NonNull<Live>>) -> Result<NonNull<Live>, Errno> {
    let size = size_of::<Live>();
    if !fits(size as u64) {
        return Err(Errno::FBIG);
    }
    rustix::fs::ftruncate(file, size as u64)?;
    // The first blocks now: a page that finds no room later would end the program.
    fallocate(file, FallocateFlags::empty(), 0, bytes_of(FIRST_BLOCKS) as u64)?;
    let fixed = if place.is_some() { MapFlags::FIXED } else { MapFlags::empty() };
    let at = place.map_or(ptr::null_mut(), |place| place.as_ptr().cast());
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, or one in the place of the parent's, which is of the same size and ours.
    let mapping = unsafe { mmap(at, size, protection, MapFlags::SHARED | fixed, file, 0) }?;
    NonNull::new(mapping.cast::<Live>()).ok_or(Errno::NOMEM)
}

/// So many blocks have room from the beginning; the others are given it when they are needed.
pub(crate) const FIRST_BLOCKS: usize = 3;

/// The header and so many blocks.
fn bytes_of(blocks: usize) -> usize {
    offset_of!(Live, blocks) + blocks * size_of::<Block>()
}

/// Gives room to the blocks of a mapping up to the one before `to`. `false` if there is none, or the kernel (before 5.14)
/// does not say.
pub(crate) fn grow(live: &Live, from: usize, to: usize) -> bool {
    // The page that a block shares with the one before is there already.
    let begin = bytes_of(from) & !(PAGE - 1);
    let len = bytes_of(to).min(size_of::<Live>()) - begin;
    let address = ptr::from_ref(live).cast::<u8>().wrapping_add(begin).cast_mut();
    // SAFETY: inside of the mapping, of which nothing is changed but that it has pages.
    unsafe { madvise(address.cast(), len, Advice::LinuxPopulateWrite) }.is_ok()
}

/// At least a page, of which the mapping is a multiple.
const PAGE: usize = 4096;

/// Whether the program's limit allows a file of this size: beyond it a write is a signal.
pub(crate) fn fits(size: u64) -> bool {
    getrlimit(Resource::Fsize).current.is_none_or(|limit| size <= limit)
}

/// Says whose mapping it is. The magic word comes last: who finds it finds the rest.
pub(crate) fn sign(live: &Live, pid: u32, began: u64) {
    let header = &live.header;
    header.pid.store(pid, Ordering::Relaxed);
    let parent = rustix::process::Pid::as_raw(rustix::process::getppid());
    header.parent.store(parent.cast_unsigned(), Ordering::Relaxed);
    header.began.store(began, Ordering::Relaxed);
    header.clock.store(clock::kind(), Ordering::Relaxed);
    let mut room = [core::mem::MaybeUninit::<u8>::uninit(); 1024];
    if let Ok((program, _)) =
        rustix::fs::readlinkat_raw(rustix::fs::CWD, c"/proc/self/exe", &mut room)
    {
        for (word, bytes) in header.program.iter().zip(program.chunks(4)) {
            let mut four = [0; 4];
            four.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            word.store(u32::from_le_bytes(four), Ordering::Relaxed);
        }
        let len = u32::try_from(program.len()).unwrap_or(0);
        header.program_len.store(len, Ordering::Relaxed);
    }
    header.magic.store(MAGIC, Ordering::Release);
}

impl EventsFile {
    /// Opens the file of a new life.
    pub(crate) fn begin(&self, settings: &Settings, pid: u32, life: u32) {
        self.life.store(life, Ordering::Relaxed);
        let old = self.fd.swap(-1, Ordering::Relaxed);
        if old >= 0 {
            close(old);
        }
        // Without it nothing is written, which the route then says.
        let _: Result<(), Errno> = self.open(settings, pid);
    }

    /// Opens it, at first or again.
    pub(crate) fn open(&self, settings: &Settings, pid: u32) -> Result<(), Errno> {
        let life = self.life.load(Ordering::Relaxed);
        let path = path(settings.spool.as_bytes(), pid, life, b".events");
        let path = path.as_c_str().ok_or(Errno::NAMETOOLONG)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let file = open(path, flags, Mode::RUSR | Mode::WUSR)?;
        let status = fstat(&file)?;
        self.inode.store(status.st_ino, Ordering::Relaxed);
        self.device.store(status.st_dev, Ordering::Relaxed);
        let fd = ours::lift(&file);
        self.fd.store(fd, Ordering::Relaxed);
        if fd < 0 { Err(Errno::MFILE) } else { Ok(()) }
    }

    /// Takes another number, from the floor on, if there is one. The old one is closed by who calls this.
    pub(crate) fn move_away(&self) {
        self.fd.store(borrow(self.fd()).map_or(-1, ours::lift), Ordering::Relaxed);
    }

    /// Somebody else closes it.
    pub(crate) fn forget(&self) {
        self.fd.store(-1, Ordering::Relaxed);
    }

    /// Whether the number still leads to our file. The program may have closed it behind our back, and opened
    /// another.
    pub(crate) fn is_ours(&self) -> bool {
        borrow(self.fd()).is_some_and(|fd| {
            fstat(fd).is_ok_and(|status| {
                status.st_ino == self.inode.load(Ordering::Relaxed)
                    && status.st_dev == self.device.load(Ordering::Relaxed)
            })
        })
    }

    /// The descriptor, or -1.
    pub(crate) fn fd(&self) -> i32 {
        self.fd.load(Ordering::Relaxed)
    }
}

/// Closes a number of ours.
fn close(fd: i32) {
    // SAFETY: our own descriptor, or nobody's: the call says so.
    unsafe { rustix::io::close(fd) };
}

/// A number of ours, borrowed.
pub(crate) fn borrow(fd: i32) -> Option<BorrowedFd<'static>> {
    // SAFETY: not -1; whether it is open, the call that it is used for says.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}
