//! Sizes and places that other code relies on.

use core::mem::offset_of;
use core::pin::Pin;
use io_core::op::IoVec;
use io_core::{Fd, IoAwaitable, IoBackend, Op, OpenFd, Stat, SubmitContext, Timed};
use io_pool_backend::LocalPool;

#[test]
fn an_operation_is_at_most_128_bytes() {
    assert!(size_of::<IoAwaitable>() <= 128, "{}", size_of::<IoAwaitable>());
    assert!(size_of::<IoAwaitable<Pin<&LocalPool>>>() <= 128);
    assert!(size_of::<IoAwaitable<Pin<&dyn IoBackend>>>() <= 128);
    assert!(size_of::<SubmitContext>() <= 120, "{}", size_of::<SubmitContext>());
    assert!(size_of::<Op>() <= 40, "{}", size_of::<Op>());
}

#[test]
fn an_operation_with_a_deadline_is_at_most_192_bytes() {
    assert!(size_of::<Timed<IoAwaitable>>() <= 192, "{}", size_of::<Timed<IoAwaitable>>());
    assert!(size_of::<Timed<IoAwaitable<Pin<&LocalPool>>>>() <= 192);
}

#[test]
fn the_low_bits_of_a_context_are_free() {
    assert!(align_of::<SubmitContext>() >= 8);
    assert!(align_of::<IoAwaitable>() >= 8);
}

#[test]
fn the_kernels_structs_are_the_kernels() {
    assert_eq!(size_of::<Stat>(), size_of::<libc::statx>());
    assert_eq!(offset_of!(Stat, size), offset_of!(libc::statx, stx_size));
    assert_eq!(offset_of!(Stat, mtime), offset_of!(libc::statx, stx_mtime));
    assert_eq!(offset_of!(Stat, mnt_id), offset_of!(libc::statx, stx_mnt_id));
    assert_eq!(size_of::<IoVec>(), size_of::<libc::iovec>());
    assert_eq!(offset_of!(IoVec, base), offset_of!(libc::iovec, iov_base));
    assert_eq!(offset_of!(IoVec, len), offset_of!(libc::iovec, iov_len));
}

#[test]
fn a_descriptor_is_a_number() {
    assert_eq!(size_of::<Fd>(), 4);
    assert_eq!(size_of::<OpenFd>(), 4);
}
