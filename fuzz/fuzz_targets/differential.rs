//! See [`io_fuzz::differential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| io_fuzz::differential::run(data));
