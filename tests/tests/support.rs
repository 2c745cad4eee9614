//! The fixtures of this repository's backends.
#![allow(dead_code, reason = "each test target uses some of them")]

pub(crate) mod epoll;
pub(crate) mod pool;
pub(crate) mod uring;
