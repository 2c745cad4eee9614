//! [`Entries`]: the submission entries of this process's ring, which a script can change on their way.
#![allow(unsafe_code, reason = "changes what a thread has written for the kernel")]
//! # Safety
//! The entries are the kernel's memory, mapped by the ring for as long as it lives; no Rust reference into them exists
//! while the thread that writes them waits for the end of a system call, and only then are they touched here.

use super::not_here;
use core::ptr;
use io_core::Errno;
use std::fs;

/// Where the entries begin in a ring's descriptor (`IORING_OFF_SQES`).
const OFFSET: &str = "10000000";
/// Bytes of an entry (`struct io_uring_sqe`).
const SIZE: usize = 64;
/// Where an entry has its opcode, its length and its flags, and the opcodes of a no-op and of a cancel.
const OPCODE: usize = 0;
const LEN: usize = 24;
const FLAGS: usize = 28;
const NOP: u8 = 0;
const CANCEL: u8 = 14;
/// The no-op's result is its length (`IORING_NOP_INJECT_RESULT`, Linux 6.10).
const INJECT: u32 = 1;

/// The entries of the one ring of this process.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    base: usize,
    count: usize,
}

impl Entries {
    /// Looks for them. The ring must live for as long as they are used.
    ///
    /// # Panics
    /// If there is no ring, or there are several.
    #[must_use]
    pub fn of_the_ring() -> Entries {
        let maps = fs::read_to_string("/proc/self/maps").expect("the mappings");
        let ours = |line: &&str| line.contains("[io_uring]") && line.contains(OFFSET);
        let found: Vec<_> = maps.lines().filter(ours).collect();
        let [line] = found[..] else { panic!("one ring's entries, but {found:?}") };
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (begin, end) = range.expect("a range of addresses");
        let address = |text| usize::from_str_radix(text, 16).expect("an address");
        let (base, end) = (address(begin), address(end));
        Entries { base, count: (end - base) / SIZE }
    }

    /// Puts a no-op in the place of each cancel that waits to be submitted: its result, which is the cancel's answer,
    /// is this. How many there were.
    #[must_use]
    pub fn answer_cancels(&self, answer: Option<Errno>) -> u32 {
        (0..self.count).map(|i| u32::from(self.answer(i, answer))).sum()
    }

    fn answer(&self, i: usize, answer: Option<Errno>) -> bool {
        let entry: *mut u8 = ptr::with_exposed_provenance_mut(self.base + i * SIZE);
        // SAFETY: inside the mapping, and whoever writes there waits for us.
        let opcode = unsafe { entry.wrapping_add(OPCODE).read_volatile() };
        if opcode != CANCEL {
            return false;
        }
        let len = answer.map_or(0, |errno| -errno.raw());
        // SAFETY: as above; entries and their fields are aligned.
        unsafe { entry.wrapping_add(LEN).cast::<i32>().write_volatile(len) };
        // SAFETY: as above.
        unsafe { entry.wrapping_add(FLAGS).cast::<u32>().write_volatile(INJECT) };
        // SAFETY: as above.
        unsafe { entry.wrapping_add(OPCODE).write_volatile(NOP) };
        true
    }
}

/// Lets the kernel give up what the one ring of this process does with `fd`, without a word to the thread that
/// submitted it (`IORING_REGISTER_SYNC_CANCEL`, Linux 6.0). From the thread that owns the ring.
///
/// # Panics
/// If there was nothing to give up.
pub fn give_up(fd: io_core::Fd) {
    #[repr(C)]
    struct Request {
        word: u64,
        fd: i32,
        flags: u32,
        timeout: [i64; 2],
        rest: [u64; 4],
    }
    const REGISTER: i32 = 24;
    const ALL_OF_FD: u32 = 1 | 2;
    let (ring, flags) = (ring(), ALL_OF_FD);
    let request = Request { word: 0, fd: fd.raw(), flags, timeout: [-1; 2], rest: [0; 4] };
    // SAFETY: reads a local, which is the struct that this call wants.
    let given = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring, REGISTER, &raw const request, 1)
    };
    if given < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        not_here("a kernel without a cancel that waits");
    }
    // With `ALL` it is how many there were.
    assert_eq!(given, 1, "a cancel that waits: {}", std::io::Error::last_os_error());
}

/// The number of the one ring of this process.
fn ring() -> i32 {
    let numbers = fs::read_dir("/proc/self/fd").expect("the descriptors").flatten();
    let is_ring = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]")
    };
    let mut found = numbers.filter(is_ring);
    let ring = found.next().expect("a ring");
    assert!(found.next().is_none(), "one ring");
    ring.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number")
}
