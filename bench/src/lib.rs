//! What a span costs the server, as a multiple of two reference servers.
//!
//! `cargo run --release -p spantally-bench`. Each repeat runs every server in turn, as its own process with
//! the same load: [`load`] encodes it ([`wire`]), [`drive`] sends it ([`codec`]), [`process`] starts servers
//! and reads their CPU from `/proc`, [`reference`] is the two to compare with, [`report`] does the sums. Only
//! ratios within a repeat are a result: the same binary on the same machine varies by tens of percent from
//! one minute to the next.

pub mod codec;
pub mod drive;
pub mod load;
pub mod process;
pub mod reference;
pub mod report;
pub mod wire;
