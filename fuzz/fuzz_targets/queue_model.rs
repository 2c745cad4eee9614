//! See [`io_fuzz::queue_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| io_fuzz::queue_model::run(data));
