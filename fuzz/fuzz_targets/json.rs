//! cargo-fuzz: `scripts/fuzz json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spantally_fuzz::json(data));
