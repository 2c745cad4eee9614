//! See [`io_fuzz::encode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| io_fuzz::encode::run(data));
