//! Recorded spans through the same core as live ones, with the times of the recording.
//!
//! A recording is a file of encoded export requests. [`input`] opens it and takes compression off,
//! [`framing`] tells where one request ends, [`run`] reads them through [`crate::intake::read_batch`] into a
//! [`crate::core::Core`], whose clock is the latest end of any span seen so far. So a recording gives the
//! jobs that a server would have found while it was made. [`summary`] adds the jobs up; [`report`] is that
//! as a page for people.
//!
//! What cannot be read is a [`Problem`]: counted, told at the end, and no reason to give up the rest.

pub mod foreign;
pub mod framing;
pub mod input;
pub mod report;
pub mod run;
pub mod summary;

#[cfg(test)]
mod tests;

pub use framing::{Framing, Problem, Recording};
pub use run::{Found, Replay};
pub use summary::Summary;
