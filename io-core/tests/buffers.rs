//! What a typed operation can own: where a buffer's bytes are, what a read leaves in it, and a promised descriptor.
#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "the traits are unsafe to call")]

use io_core::{Fd, IoBuf, IoBufMut, IoFd, Seekable};

/// What an operation that writes from `owner` would take.
fn taken<B: IoBuf>(mut owner: B) -> Vec<u8> {
    // SAFETY: valid, and neither moved nor touched until the bytes are copied.
    let (bytes, len) = unsafe { B::parts(&raw mut owner) };
    // SAFETY: initialised, as `parts` promises.
    unsafe { core::slice::from_raw_parts(bytes, len) }.to_vec()
}

/// Leaves `bytes` in `owner` as a read does. How much would have fitted.
fn fill<B: IoBufMut>(owner: &mut B, bytes: &[u8]) -> usize {
    // SAFETY: valid, and neither moved nor touched until the bytes are written.
    let (room, len) = unsafe { B::parts_mut(owner) };
    assert!(bytes.len() <= len);
    // SAFETY: so many fit, and the two do not overlap.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len()) };
    // SAFETY: written just now.
    unsafe { owner.set_filled(bytes.len()) };
    len
}

#[test]
fn what_lives_for_ever_is_taken_where_it_is() {
    assert_eq!(taken(b"bytes".as_slice()), b"bytes");
    assert_eq!(taken("text"), b"text");
    assert_eq!(taken(b"leaked".to_vec().leak()), b"leaked");
    let mut room: &'static mut [u8] = vec![0; 8].leak();
    assert_eq!(fill(&mut room, b"read"), 8);
    assert_eq!(room, b"read\0\0\0\0");
}

#[test]
fn arrays_and_boxes_keep_their_length() {
    let mut array = [0; 8];
    assert_eq!(fill(&mut array, b"read"), 8);
    assert_eq!(taken(array), b"read\0\0\0\0");
    let mut slice = vec![0_u8; 8].into_boxed_slice();
    assert_eq!(fill(&mut slice, b"read"), 8);
    assert_eq!(taken(slice), b"read\0\0\0\0");
}

#[test]
fn vectors_are_read_into_as_far_as_they_can_hold_and_end_where_the_read_did() {
    let mut bytes = Vec::with_capacity(8);
    bytes.extend_from_slice(b"longer");
    assert!(fill(&mut bytes, b"read") >= 8);
    assert_eq!(bytes, b"read");
    assert_eq!(taken(bytes), b"read");
}

#[cfg(feature = "heapless")]
#[test]
fn vectors_without_a_heap_do_as_those_with_one() {
    let mut bytes = heapless::Vec::<u8, 8>::from_slice(b"longer").expect("it fits");
    assert_eq!(fill(&mut bytes, b"read"), 8);
    assert_eq!(bytes.as_slice(), b"read");
    assert_eq!(taken(bytes), b"read");
}

#[test]
fn a_descriptor_that_somebody_promised_proves_no_more_than_its_number() {
    // SAFETY: nothing is done on it.
    let open = unsafe { Fd::new(7).assume_open() };
    assert_eq!((open.fd(), open.seekable()), (Fd::new(7), Seekable::Unknown));
}
