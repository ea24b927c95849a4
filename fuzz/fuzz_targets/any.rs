//! Any bytes, whose format is found.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assay_fuzz::load(bytes, None));
