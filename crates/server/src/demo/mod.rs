//! The demo: an imagined company whose services generate media, so that there is something to see at once.
//!
//! [`traffic`] makes a seeded stream of OTLP requests and the truth about them, out of who the company is
//! ([`fleet`]), what it asks for ([`catalog`]), how jobs go ([`scenario`]), how one is acted out ([`play`],
//! [`voice`], [`noise`]) and what instrumentation makes of it ([`recorder`]). `spantally demo` sends it over
//! real OTLP/gRPC and shows what the server says; tests feed it to the core as fast as that goes.

pub mod catalog;
pub mod fleet;
pub mod noise;
pub mod play;
pub mod recorder;
pub mod rng;
pub mod scenario;
#[cfg(test)]
mod tests;
pub mod traffic;
pub mod truth;
pub mod voice;
