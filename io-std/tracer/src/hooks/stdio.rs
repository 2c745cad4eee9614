//! `stdio.h`, as a layer of its own: what the C library calls inside does not pass through its public names. The printf
//! and scanf families are left alone.
//!
//! None of these may be called in a signal handler, so their real functions are looked up when they are first called: there
//! are many, and most programs call a few.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came. Streams and strings are looked at only after the real function has.

use crate::format::Call;
use crate::hook::{Outcome, hooks, path};
use crate::libc::{descriptor, length};
use crate::real::Real;
use crate::record::{self, Event};
use core::ffi::{c_char, c_int, c_long, c_void};

/// `FILE *`.
type Stream = *mut c_void;

/// The descriptor of a stream that a real function has just used, or has refused to make.
fn of(stream: Stream) -> c_int {
    // SAFETY: open, or null.
    unsafe { descriptor(stream) }
}

/// The bytes of so many items.
fn items(size: usize, count: usize) -> i64 {
    i64::try_from(size.saturating_mul(count)).unwrap_or(i64::MAX)
}

/// One byte, or the end.
fn one(result: c_int) -> i64 {
    i64::from(result >= 0)
}

/// The bytes of a string that was read or written.
fn string(text: *const c_char) -> i64 {
    if text.is_null() {
        return 0;
    }
    // SAFETY: a string that the real function has read or written.
    unsafe { length(text, usize::MAX >> 1) as i64 }
}

/// The bytes of a line, or the end.
fn line(result: isize) -> i64 {
    (result as i64).max(0)
}

hooks! {
    fopen | fopen64: (name: *const c_char, mode: *const c_char) -> result: Stream
        = Fopen { fd: of(result), whose: true } path name;
    fdopen: (fd: c_int, mode: *const c_char) -> result: Stream = Fdopen { fd: fd };
    tmpfile | tmpfile64: () -> result: Stream = Tmpfile { fd: of(result), whose: true };
    popen: (command: *const c_char, mode: *const c_char) -> result: Stream
        = Popen { fd: of(result), whose: true } path command;
    fread: (room: *mut c_void, size: usize, count: usize, stream: Stream) -> result: usize
        = Fread { fd: of(stream), argument: items(size, count), result: items(size, result) };
    fread_unlocked: (room: *mut c_void, size: usize, count: usize, stream: Stream) -> result: usize
        = Fread { fd: of(stream), argument: items(size, count), result: items(size, result) };
    __fread_chk: (room: *mut c_void, bytes: usize, size: usize, count: usize, stream: Stream) -> result: usize
        = Fread { fd: of(stream), argument: items(size, count), result: items(size, result) };
    __fread_unlocked_chk: (room: *mut c_void, bytes: usize, size: usize, count: usize, stream: Stream) -> result: usize
        = Fread { fd: of(stream), argument: items(size, count), result: items(size, result) };
    fwrite: (items_: *const c_void, size: usize, count: usize, stream: Stream) -> result: usize
        = Fwrite { fd: of(stream), argument: items(size, count), result: items(size, result) };
    fwrite_unlocked: (items_: *const c_void, size: usize, count: usize, stream: Stream) -> result: usize
        = Fwrite { fd: of(stream), argument: items(size, count), result: items(size, result) };
    fflush: (stream: Stream) -> result: c_int = Fflush { fd: of(stream) };
    fflush_unlocked: (stream: Stream) -> result: c_int = Fflush { fd: of(stream) };
    fgets: (room: *mut c_char, count: c_int, stream: Stream) -> result: *mut c_char
        = Fgets { fd: of(stream), argument: i64::from(count), result: string(result) };
    fgets_unlocked: (room: *mut c_char, count: c_int, stream: Stream) -> result: *mut c_char
        = Fgets { fd: of(stream), argument: i64::from(count), result: string(result) };
    __fgets_chk: (room: *mut c_char, bytes: usize, count: c_int, stream: Stream) -> result: *mut c_char
        = Fgets { fd: of(stream), argument: i64::from(count), result: string(result) };
    __fgets_unlocked_chk: (room: *mut c_char, bytes: usize, count: c_int, stream: Stream) -> result: *mut c_char
        = Fgets { fd: of(stream), argument: i64::from(count), result: string(result) };
    fputs: (text: *const c_char, stream: Stream) -> result: c_int
        = Fputs { fd: of(stream), result: if result < 0 { 0 } else { string(text) } };
    fputs_unlocked: (text: *const c_char, stream: Stream) -> result: c_int
        = Fputs { fd: of(stream), result: if result < 0 { 0 } else { string(text) } };
    puts: (text: *const c_char) -> result: c_int
        = Puts { fd: 1, result: if result < 0 { 0 } else { string(text) + 1 } };
    fgetc | getc | _IO_getc: (stream: Stream) -> result: c_int
        = Fgetc { fd: of(stream), argument: 1, result: one(result) };
    fgetc_unlocked | getc_unlocked: (stream: Stream) -> result: c_int
        = Fgetc { fd: of(stream), argument: 1, result: one(result) };
    getchar: () -> result: c_int = Fgetc { fd: 0, argument: 1, result: one(result) };
    getchar_unlocked: () -> result: c_int = Fgetc { fd: 0, argument: 1, result: one(result) };
    fputc | putc | _IO_putc: (byte: c_int, stream: Stream) -> result: c_int
        = Fputc { fd: of(stream), argument: 1, result: one(result) };
    fputc_unlocked | putc_unlocked: (byte: c_int, stream: Stream) -> result: c_int
        = Fputc { fd: of(stream), argument: 1, result: one(result) };
    putchar: (byte: c_int) -> result: c_int
        = Putchar { fd: 1, argument: 1, result: one(result) };
    putchar_unlocked: (byte: c_int) -> result: c_int
        = Putchar { fd: 1, argument: 1, result: one(result) };
    ungetc: (byte: c_int, stream: Stream) -> result: c_int
        = Ungetc { fd: of(stream), argument: 1, result: one(result) };
    getline: (text: *mut *mut c_char, size: *mut usize, stream: Stream) -> result: isize
        = Getline { fd: of(stream), result: line(result) };
    getdelim | __getdelim: (text: *mut *mut c_char, size: *mut usize, end: c_int, stream: Stream) -> result: isize
        = Getdelim { fd: of(stream), result: line(result) };
    fseek: (stream: Stream, offset: c_long, whence: c_int) -> result: c_int
        = Fseek { fd: of(stream), argument: offset };
    fseeko | fseeko64: (stream: Stream, offset: i64, whence: c_int) -> result: c_int
        = Fseek { fd: of(stream), argument: offset };
    ftell: (stream: Stream) -> result: c_long = Ftell { fd: of(stream) };
    ftello | ftello64: (stream: Stream) -> result: i64 = Ftell { fd: of(stream) };
    rewind: (stream: Stream) -> result: () = Rewind { fd: of(stream) };
}

static FCLOSE: Real = Real::new("fclose\0");
static PCLOSE: Real = Real::new("pclose\0");
static FREOPEN: Real = Real::new("freopen\0");

type Close = unsafe extern "C" fn(Stream) -> c_int;
type Reopen = unsafe extern "C" fn(*const c_char, *const c_char, Stream) -> Stream;

/// A close, whose descriptor is asked for before.
fn close(real: &Real, call: Call, stream: Stream) -> c_int {
    let begin = record::begin();
    let fd = if begin == 0 { -1 } else { of(stream) };
    // SAFETY: that is the type of both.
    let Some(real) = (unsafe { real.get::<Close>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(stream) };
    if begin != 0 {
        record::record(&Event { fd, whose: true, ..Event::of(call, begin, result.outcome()) }, &[]);
    }
    result
}

/// `fclose`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn fclose(stream: Stream) -> c_int {
    close(&FCLOSE, Call::Fclose, stream)
}

/// `pclose`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn pclose(stream: Stream) -> c_int {
    close(&PCLOSE, Call::Pclose, stream)
}

/// `freopen`: the event has the new descriptor, and the old one beside it.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn freopen(name: *const c_char, mode: *const c_char, stream: Stream) -> Stream {
    let begin = record::begin();
    let other = if begin == 0 { -1 } else { of(stream) };
    // SAFETY: that is its type.
    let Some(real) = (unsafe { FREOPEN.get::<Reopen>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(name, mode, stream) };
    if begin != 0 {
        let outcome = result.outcome();
        let base = Event::of(Call::Freopen, begin, outcome);
        let event = Event { fd: of(result), other, whose: true, ..base };
        // SAFETY: the real function has read it.
        record::record(&event, unsafe { path(name, outcome) });
    }
    result
}

/// The same: files are large here anyway.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn freopen64(name: *const c_char, mode: *const c_char, stream: Stream) -> Stream {
    // SAFETY: our caller's promise.
    unsafe { freopen(name, mode, stream) }
}
