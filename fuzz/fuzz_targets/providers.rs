//! cargo-fuzz: `scripts/fuzz providers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spantally_fuzz::providers(data));
