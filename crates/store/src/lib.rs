//! What Spantally keeps on disk: the journal and the ledger, two SQLite files in one directory.
//!
//! The **journal** ([`Journal`], [`SqliteJournal`]) takes what was received before it is acknowledged: one
//! row a group of requests, one flush a row, nothing read until the next start. The **ledger** ([`Ledger`])
//! takes what came of it every few seconds, in one transaction: counters, rows of jobs, and the [`Seq`] up to
//! which the journal is thereby applied. Most evidence is needed for hours, for what may come late, and
//! never again; so it is not copied from file to file: the journal keeps it, and only what outlives the
//! journal's rows is carried over into the ledger. A start reads the ledger, then the journal; no
//! transaction ever spans both files.
//!
//! They are two files because a checkpoint in the journal's own file would stop every commit for its
//! length, and because people open the ledger with their own tools ([`LedgerReader`] is ours), which would
//! keep the journal's write-ahead log from being used again.
//!
//! [`DataDir`] is the directory and the lock that keeps a second process out of it. The bytes of a journal
//! row and of a state blob are the caller's: this crate depends on no other of ours.
//!
//! Read on in [`journal`], then [`ledger`].

mod dir;
mod error;
mod fault;
mod files;
mod full;
pub mod journal;
pub mod ledger;
mod pair;
mod place;
mod seq;
mod sqlite;

pub use dir::DataDir;
pub use error::StoreError;
pub use fault::Fault;
pub use journal::{Dropped, Durability, Journal, JournalCopy, JournalOptions, JournalSync, SqliteJournal};
pub use ledger::{
    BookedRow, CLOCK_SKEW_NANOS, ChargeRow, Checkpoint, CounterRow, DAY_NANOS, DayRows, Detail, Difference,
    FormRow, JobFilter, JobRow, Ledger, LedgerCounts, LedgerReader, LedgerSize, ListedJob, Published,
    ReadEntries, Removed, RetentionBound, SettledRow, SpendRow, TurnRow,
};
pub use pair::check_pair;
pub use seq::Seq;
