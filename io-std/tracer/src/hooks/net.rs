//! Sockets, and pairs of descriptors.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came.

use crate::hook::hooks;
use core::ffi::{c_int, c_uint, c_void};

/// One of two descriptors that were made; -1 if they were not.
fn made(pair: *const c_int, result: c_int, which: usize) -> c_int {
    // SAFETY: room for two, which a call that succeeded has written.
    if result == 0 { unsafe { *pair.wrapping_add(which) } } else { -1 }
}

/// `struct mmsghdr`.
#[repr(C)]
struct Message {
    header: [u64; 7],
    len: c_uint,
}

/// The bytes of so many messages.
fn moved(messages: *const c_void, count: c_int) -> i64 {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 || messages.is_null() {
        return 0;
    }
    // SAFETY: the call has written the lengths of as many as it says.
    let messages = unsafe { core::slice::from_raw_parts(messages.cast::<Message>(), count) };
    messages.iter().map(|message| i64::from(message.len)).sum()
}

hooks! {
    socket: (domain: c_int, kind: c_int, protocol: c_int) -> result: c_int
        = Socket { argument: i64::from(domain), whose: true };
    connect | __connect: (fd: c_int, address: *const c_void, len: u32) -> result: c_int
        = Connect { fd: fd, argument: i64::from(len) } address (address, len);
    accept: (fd: c_int, address: *mut c_void, len: *mut u32) -> result: c_int
        = Accept { fd: fd, whose: true };
    accept4: (fd: c_int, address: *mut c_void, len: *mut u32, flags: c_int) -> result: c_int
        = Accept4 { fd: fd, argument: i64::from(flags), whose: true };
    send | __send: (fd: c_int, buf: *const c_void, count: usize, flags: c_int) -> result: isize
        = Send { fd: fd, argument: count as i64 };
    sendto: (fd: c_int, buf: *const c_void, count: usize, flags: c_int, address: *const c_void, len: u32) -> result: isize
        = SendTo { fd: fd, argument: count as i64 };
    sendmsg: (fd: c_int, message: *const c_void, flags: c_int) -> result: isize
        = SendMsg { fd: fd, argument: 1 };
    sendmmsg: (fd: c_int, messages: *mut c_void, count: c_uint, flags: c_int) -> result: c_int
        = SendMmsg { fd: fd, argument: moved(messages, result) };
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
        = RecvMmsg { fd: fd, argument: moved(messages, result) };
    socketpair: (domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> result: c_int
        = Socketpair { argument: i64::from(domain), fd: made(pair, result, 0), other: made(pair, result, 1), whose: true };
    pipe | __pipe: (pair: *mut c_int) -> result: c_int
        = Pipe { fd: made(pair, result, 0), other: made(pair, result, 1), whose: true };
    pipe2: (pair: *mut c_int, flags: c_int) -> result: c_int
        = Pipe { argument: i64::from(flags), fd: made(pair, result, 0), other: made(pair, result, 1), whose: true };
}
