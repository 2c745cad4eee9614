//! Parking under loom: `cfg(io_loom)`, run by `.ci/loom`. A wake-up that is lost is a deadlock, which loom finds.
#![cfg(io_loom)]

#[path = "loom/explore.rs"]
mod explore;
#[path = "loom/park.rs"]
mod park;
