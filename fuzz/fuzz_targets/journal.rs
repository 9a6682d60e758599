//! cargo-fuzz: `scripts/fuzz journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spantally_fuzz::journal(data));
