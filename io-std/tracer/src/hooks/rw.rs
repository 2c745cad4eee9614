//! Reading, writing, positions, and what makes a file's bytes last.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came.

use crate::hook::hooks;
use core::ffi::{c_int, c_uint, c_void};

hooks! {
    read | __read: (fd: c_int, buf: *mut c_void, count: usize) -> result: isize
        = Read { fd: fd, argument: count as i64 };
    __read_chk: (fd: c_int, buf: *mut c_void, count: usize, room: usize) -> result: isize
        = Read { fd: fd, argument: count as i64 };
    write | __write: (fd: c_int, buf: *const c_void, count: usize) -> result: isize
        = Write { fd: fd, argument: count as i64 };
    pread | pread64 | __pread64: (fd: c_int, buf: *mut c_void, count: usize, offset: i64) -> result: isize
        = Pread { fd: fd, argument: offset };
    __pread_chk | __pread64_chk: (fd: c_int, buf: *mut c_void, count: usize, offset: i64, room: usize) -> result: isize
        = Pread { fd: fd, argument: offset };
    pwrite | pwrite64 | __pwrite64: (fd: c_int, buf: *const c_void, count: usize, offset: i64) -> result: isize
        = Pwrite { fd: fd, argument: offset };
    readv: (fd: c_int, vectors: *const c_void, count: c_int) -> result: isize
        = Readv { fd: fd, argument: i64::from(count) };
    writev: (fd: c_int, vectors: *const c_void, count: c_int) -> result: isize
        = Writev { fd: fd, argument: i64::from(count) };
    preadv | preadv64: (fd: c_int, vectors: *const c_void, count: c_int, offset: i64) -> result: isize
        = Preadv { fd: fd, argument: offset };
    pwritev | pwritev64: (fd: c_int, vectors: *const c_void, count: c_int, offset: i64) -> result: isize
        = Pwritev { fd: fd, argument: offset };
    preadv2 | preadv64v2: (fd: c_int, vectors: *const c_void, count: c_int, offset: i64, flags: c_int) -> result: isize
        = Preadv2 { fd: fd, argument: offset };
    pwritev2 | pwritev64v2: (fd: c_int, vectors: *const c_void, count: c_int, offset: i64, flags: c_int) -> result: isize
        = Pwritev2 { fd: fd, argument: offset };
    lseek | lseek64 | __lseek: (fd: c_int, offset: i64, whence: c_int) -> result: i64
        = Lseek { fd: fd, argument: offset };
    fsync: (fd: c_int) -> result: c_int = Fsync { fd: fd };
    fdatasync: (fd: c_int) -> result: c_int = Fdatasync { fd: fd };
    ftruncate | ftruncate64: (fd: c_int, length: i64) -> result: c_int
        = Ftruncate { fd: fd, argument: length };
    sendfile | sendfile64: (out: c_int, input: c_int, offset: *mut i64, count: usize) -> result: isize
        = Sendfile { fd: input, other: out, argument: count as i64 };
    copy_file_range: (input: c_int, from: *mut i64, out: c_int, to: *mut i64, count: usize, flags: c_uint) -> result: isize
        = CopyFileRange { fd: input, other: out, argument: count as i64 };
}
