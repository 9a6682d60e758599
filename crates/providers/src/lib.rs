//! The provider file format, and what it compiles to: a recogniser (span to call) and a rate card.
//!
//! Pure: text goes in, rules come out; reading files is the server's work.

mod span;

pub use span::{AttributeKeys, SpanKind, SpanStatus, SpanView, Value};
