//! The journal: what was received, on disk before it is acknowledged.
//!
//! It is used in one way only. [`append`](Journal::append) writes a group and returns once it is durable;
//! [`drop_to`](Journal::drop_to) gives back the room of what a checkpoint has made unnecessary;
//! [`replay`](Journal::replay) runs once, at start. The trait is this small so that a preallocated log can
//! take the place of SQLite if the cost aim asks for it.
//!
//! What SQLite does here, and why ([`SqliteJournal`]):
//!
//! - **Write-ahead log, `synchronous=FULL`**: one flush a group, and the file is whole after any crash.
//!   Relaxed it is `NORMAL`: no flush a group, and still whole.
//! - **16 KiB pages, exclusive**: groups are tens to hundreds of KiB, so few large pages cost least;
//!   exclusive mode does without shared memory.
//! - **No automatic checkpoint**: copying the log into the file takes 15 to 25 ms per 16 MiB. `drop_to`
//!   does it, after the acknowledgements are out; `append` only where nothing is dropped meanwhile.
//! - **Primed**: a new journal is filled once to its usual size and emptied. From then on the usual load
//!   overwrites the file's own pages, and a full disk does not stop commits.
//! - **A checksum and a version in each row**: what was damaged is found, not applied.
//!
//! After the last row is applied one row stays: its number is how the file remembers where to go on.

mod copy;
mod sqlite;
mod sync;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::error::StoreError;
use crate::seq::Seq;
pub use copy::{Checked, JournalCopy};
pub(crate) use sqlite::SCHEMA;
pub use sqlite::SqliteJournal;
pub use sync::JournalSync;

/// A durable queue of groups of requests.
pub trait Journal: Send {
    /// Writes a group and returns its position once it is durable. After an error nothing was written, and
    /// the same group may be given again.
    fn append(&mut self, batch: &[u8]) -> Result<Seq, StoreError>;

    /// Gives every group after a position to `visit`, in order, until it breaks. A group that was never
    /// acknowledged may be among them when the process was killed between the write and the answer.
    fn replay(
        &mut self,
        after: Seq,
        visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// How many bytes hold rows, and how many may; zeros when it does not know.
    fn bytes(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Gives back some of the room of the groups up to `applied`, in a slice that takes some milliseconds.
    /// To be called after each group and when idle, also when `applied` has not moved, until it says
    /// [`Dropped::All`].
    fn drop_to(&mut self, applied: Seq) -> Result<Dropped, StoreError>;
}

/// Whether [`Journal::drop_to`] is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// There is nothing left to do.
    All,
    /// There is more: call again.
    Some,
}

/// What is so when an append has returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The group is on the disk: neither a crash of the process nor a loss of power takes it.
    #[default]
    Strict,
    /// The operating system has the group: a crash of the process does not take it, a loss of power takes
    /// what came after the last [`JournalSync::sync`].
    Relaxed,
}

impl Durability {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Relaxed];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
        }
    }
}

/// Sizes of a journal, and what it promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Size in bytes that a new journal is filled to, so that a full disk does not stop commits while no
    /// more than this waits for a checkpoint. Its write-ahead log takes about 18 MiB beside it.
    pub primed_bytes: u64,
    /// Size in bytes that it may grow to when checkpoints do not keep up; past it commits are refused.
    pub max_bytes: u64,
    /// What an append promises.
    pub durability: Durability,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { primed_bytes: 64 << 20, max_bytes: 8 << 30, durability: Durability::Strict }
    }
}
