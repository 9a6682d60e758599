//! What a span costs the server, as a multiple of two reference servers.
//!
//! `cargo run --release -p spantally-bench`. Each repeat runs every server in turn, as its own process with
//! the same load: [`load`] encodes it ([`wire`]), [`drive`] sends it ([`codec`]), [`process`] starts servers
//! and reads their CPU from `/proc`, [`reference`] is the two to compare with, [`report`] does the sums. Only
//! ratios within a repeat are a result: the same binary on the same machine varies by tens of percent from
//! one minute to the next.
//!
//! Beside that comparison there are `matrix` (other ways of sending), `growth` (much that is open, many
//! series) and `soak` (a long run at a pace). `cargo bench` has the reading without a network.

pub mod certificate;
pub mod codec;
pub mod drive;
pub mod growth;
pub mod load;
pub mod matrix;
pub mod measure;
pub mod page;
pub mod process;
pub mod reference;
pub mod report;
pub mod soak;
pub mod wire;
