//! The demo: an imagined company whose services generate media, so that there is something to see at once.
//!
//! [`traffic`] makes a seeded stream of OTLP requests and the truth about them, out of who the company is
//! ([`fleet`]), what it asks for ([`catalog`]), how jobs go ([`scenario`]), how one is acted out ([`play`],
//! [`voice`], [`noise`]) and what instrumentation makes of it ([`recorder`]). `spantally demo` sends it over
//! real OTLP/gRPC ([`sender`]), reads what the server makes of it from the server's own metrics ([`page`],
//! [`finding`]), shows it ([`summary`]) and in the end lays it beside the [`truth`] ([`report`]); [`show`]
//! runs all that. Tests feed the traffic to the core as fast as that goes.

pub mod catalog;
pub mod finding;
pub mod fleet;
pub mod noise;
pub mod page;
pub mod play;
pub mod recorder;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod sender;
pub mod show;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod traffic;
pub mod truth;
pub mod voice;
