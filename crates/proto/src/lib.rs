//! Generated protobuf messages of Spantally.
//!
//! The schemas are in `proto/` at the root of the workspace; what is generated from them is committed, so
//! that a build needs no protobuf compiler. `cargo test -p spantally-proto` regenerates and compares; with
//! `SPANTALLY_REGENERATE=1` it writes instead.

/// What the journal keeps. Written and read by `crates/server/src/record.rs`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod journal {
    include!("generated/spantally.journal.v1.rs");
}
