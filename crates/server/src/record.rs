//! The bytes of a journal row: batches in, the same batches out.
//!
//! Every span worth keeping goes through [`encode`] before it is acknowledged, so the encoder is written by
//! hand over borrowed values into one buffer, and what many spans share (client, endpoint, client library,
//! words) stands once in a row. Reading back happens at start only and goes through the generated messages
//! of `proto/journal.proto`, where the layout is documented.
//!
//! [`encode_carried`] and [`decode_carried`] are the same for the spans of one open job, as checkpoints
//! keep them, with the times at which they came. [`encode_tie`] and [`decode_tie`] are for what was matched.
//!
//! A row also names the extra labels whose values its clients have, so that a later process, whose
//! configuration may order them otherwise, reads each value by its name ([`encode_labelled`],
//! [`decode_labelled`]).
//!
//! Bytes that this version did not write are never trusted: [`decode`] gives a [`RecordError`], not a
//! panic. Fields of a newer version are passed over; values of a newer version (a role that is not known
//! here) are errors, since a span that is read wrongly would be billed wrongly.
//!
//! Next in the flow: [`crate::commit`], which writes the bytes.

mod codes;
mod decode;
mod encode;
mod table;
#[cfg(test)]
mod tests;
mod tie;

pub use decode::{RecordError, decode};
pub(crate) use decode::{decode_carried, decode_labelled};
pub use encode::encode;
pub(crate) use encode::{encode_carried, encode_labelled};
pub use tie::{decode_tie, encode_tie};
