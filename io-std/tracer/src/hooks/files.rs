//! What works on paths.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came. `open` and its kin are variadic in C; the argument that may be missing is in a
//! register all the same, and handed on unread.

use crate::hook::hooks;
use core::ffi::{c_char, c_int, c_uint, c_void};

/// `AT_FDCWD`.
const CWD: c_int = -100;

hooks! {
    open | open64 | __open | __open64: (path: *const c_char, flags: c_int, mode: c_uint) -> result: c_int
        = Open { fd: CWD, argument: i64::from(flags), whose: true } path path;
    __open_2 | __open64_2: (path: *const c_char, flags: c_int) -> result: c_int
        = Open { fd: CWD, argument: i64::from(flags), whose: true } path path;
    openat | openat64: (dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> result: c_int
        = OpenAt { fd: dir, argument: i64::from(flags), whose: true } path path;
    __openat_2 | __openat64_2: (dir: c_int, path: *const c_char, flags: c_int) -> result: c_int
        = OpenAt { fd: dir, argument: i64::from(flags), whose: true } path path;
    creat | creat64: (path: *const c_char, mode: c_uint) -> result: c_int
        = Creat { fd: CWD, whose: true } path path;
    truncate | truncate64: (path: *const c_char, length: i64) -> result: c_int
        = Truncate { fd: CWD, argument: length } path path;
    fstat | fstat64: (fd: c_int, status: *mut c_void) -> result: c_int = Fstat { fd: fd };
    __fxstat | __fxstat64: (version: c_int, fd: c_int, status: *mut c_void) -> result: c_int
        = Fstat { fd: fd };
    stat | stat64: (path: *const c_char, status: *mut c_void) -> result: c_int
        = Stat { fd: CWD } path path;
    __xstat | __xstat64: (version: c_int, path: *const c_char, status: *mut c_void) -> result: c_int
        = Stat { fd: CWD } path path;
    lstat | lstat64: (path: *const c_char, status: *mut c_void) -> result: c_int
        = Lstat { fd: CWD } path path;
    __lxstat | __lxstat64: (version: c_int, path: *const c_char, status: *mut c_void) -> result: c_int
        = Lstat { fd: CWD } path path;
    fstatat | fstatat64: (dir: c_int, path: *const c_char, status: *mut c_void, flags: c_int) -> result: c_int
        = Fstatat { fd: dir, argument: i64::from(flags) } path path;
    __fxstatat | __fxstatat64: (version: c_int, dir: c_int, path: *const c_char, status: *mut c_void, flags: c_int) -> result: c_int
        = Fstatat { fd: dir, argument: i64::from(flags) } path path;
    statx: (dir: c_int, path: *const c_char, flags: c_int, mask: c_uint, status: *mut c_void) -> result: c_int
        = Statx { fd: dir, argument: i64::from(flags) } path path;
    unlink: (path: *const c_char) -> result: c_int = Unlink { fd: CWD } path path;
    unlinkat: (dir: c_int, path: *const c_char, flags: c_int) -> result: c_int
        = UnlinkAt { fd: dir, argument: i64::from(flags) } path path;
    rename: (old: *const c_char, new: *const c_char) -> result: c_int
        = Rename { fd: CWD, other: CWD } paths (old, new);
    renameat: (from: c_int, old: *const c_char, to: c_int, new: *const c_char) -> result: c_int
        = RenameAt { fd: from, other: to } paths (old, new);
    renameat2: (from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: c_uint) -> result: c_int
        = RenameAt2 { fd: from, other: to, argument: i64::from(flags) } paths (old, new);
    mkdir: (path: *const c_char, mode: c_uint) -> result: c_int = Mkdir { fd: CWD } path path;
    mkdirat: (dir: c_int, path: *const c_char, mode: c_uint) -> result: c_int
        = MkdirAt { fd: dir } path path;
}
