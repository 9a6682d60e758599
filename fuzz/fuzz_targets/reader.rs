//! cargo-fuzz: `scripts/fuzz reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spantally_fuzz::reader(data));
