//! The tracer's preload object: it stands in front of the C library's functions for input and output, records each
//! call in a mapping that the launcher shares, and writes the records to a file through the library.
//!
//! A call's way: `hooks/` (one declaration per function) → `record.rs` (one event, lock-free) → `buffer.rs` (blocks) →
//! `writer.rs` (a full block is one operation with a callback) → `route.rs` (which backend). `life.rs` begins it all, in
//! the constructor and in forked children; `format.rs` is what the launcher reads.
#![cfg_attr(not(feature = "uring"), no_std)]

mod buffer;
mod clock;
#[allow(unreachable_pub, reason = "the launcher's as well")]
mod counter;
mod descriptors;
mod files;
mod filter;
#[allow(missing_docs, reason = "the names of fields and variants say it")]
pub mod format;
mod hook;
mod hooks;
mod libc;
mod life;
mod local;
mod ours;
mod quiet;
mod real;
mod record;
#[cfg_attr(not(feature = "uring"), path = "ring_none.rs")]
mod ring;
mod route;
mod settings;
mod solo;
mod start;
mod text;
mod writer;
