//! See [`io_fuzz::schedule`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| io_fuzz::schedule::run(data));
