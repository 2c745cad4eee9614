//! See [`io_fuzz::state_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| io_fuzz::state_model::run(data));
