//! cargo-fuzz: `scripts/fuzz headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spantally_fuzz::headers(data));
