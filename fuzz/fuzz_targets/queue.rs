//! cargo-fuzz: `scripts/fuzz queue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spantally_fuzz::queue(data));
