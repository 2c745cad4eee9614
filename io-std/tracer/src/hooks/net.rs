//! Sockets.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came.

use crate::hook::hooks;
use core::ffi::{c_int, c_uint, c_void};

hooks! {
    socket: (domain: c_int, kind: c_int, protocol: c_int) -> result: c_int
        = Socket { argument: i64::from(domain), whose: true };
    connect: (fd: c_int, address: *const c_void, len: u32) -> result: c_int
        = Connect { fd: fd, argument: i64::from(len) } address (address, len);
    accept: (fd: c_int, address: *mut c_void, len: *mut u32) -> result: c_int
        = Accept { fd: fd, whose: true };
    accept4: (fd: c_int, address: *mut c_void, len: *mut u32, flags: c_int) -> result: c_int
        = Accept4 { fd: fd, argument: i64::from(flags), whose: true };
    send: (fd: c_int, buf: *const c_void, count: usize, flags: c_int) -> result: isize
        = Send { fd: fd, argument: count as i64 };
    sendto: (fd: c_int, buf: *const c_void, count: usize, flags: c_int, address: *const c_void, len: u32) -> result: isize
        = SendTo { fd: fd, argument: count as i64 };
    sendmsg: (fd: c_int, message: *const c_void, flags: c_int) -> result: isize
        = SendMsg { fd: fd, argument: 1 };
    sendmmsg: (fd: c_int, messages: *mut c_void, count: c_uint, flags: c_int) -> result: c_int
        = SendMmsg { fd: fd, argument: i64::from(count) };
    recv: (fd: c_int, buf: *mut c_void, count: usize, flags: c_int) -> result: isize
        = Recv { fd: fd, argument: count as i64 };
    __recv_chk: (fd: c_int, buf: *mut c_void, count: usize, room: usize, flags: c_int) -> result: isize
        = Recv { fd: fd, argument: count as i64 };
    recvfrom: (fd: c_int, buf: *mut c_void, count: usize, flags: c_int, address: *mut c_void, len: *mut u32) -> result: isize
        = RecvFrom { fd: fd, argument: count as i64 };
    __recvfrom_chk: (fd: c_int, buf: *mut c_void, count: usize, room: usize, flags: c_int, address: *mut c_void, len: *mut u32) -> result: isize
        = RecvFrom { fd: fd, argument: count as i64 };
    recvmsg: (fd: c_int, message: *mut c_void, flags: c_int) -> result: isize
        = RecvMsg { fd: fd, argument: 1 };
    recvmmsg: (fd: c_int, messages: *mut c_void, count: c_uint, flags: c_int, timeout: *mut c_void) -> result: c_int
        = RecvMmsg { fd: fd, argument: i64::from(count) };
}
