//! The ledger: what came of everything up to a position of the journal.
//!
//! A checkpoint is one transaction, so the file always shows one moment: the open state, the counters, the
//! rows of what settled, and the journal position that they include. It has its own connection and, in the
//! server, its own thread, so that it never holds up a commit. Pages are 8 KiB: most of what is written is
//! new rows of about 1 KiB, for which larger pages mean fewer writes, and some is scattered state, for
//! which they mean larger ones.
//!
//! **Append-only.** Job and charge rows are inserted and never changed: triggers refuse it. When late
//! evidence changes a settled job, the next revision is one more job row whose charges are *deltas*, so the
//! sum over all rows is right at any time and every number ever shown can be explained from the rows that
//! were there.
//!
//! **What a row costs.** A job that settles is written once for every eight spans or so, so its row is on
//! the hot path, and what counts is its bytes: each is copied three times on its way into the file. Most
//! documents of jobs are alike but for ids and times, so what they share stands once as a *form*
//! ([`FormRow`]), and a row has what fills it; the views put the two together when somebody asks. Words that
//! many jobs share stand once in a table of kinds. Charges are a short array in the row and not rows of a
//! table. Ids of jobs are random; how they are found nevertheless is told in `runs`.
//!
//! `docs/ledger.md` documents the views for those who open the file with their own tools.

mod append;
mod booked;
mod check;
mod days;
mod decimal;
mod kinds;
mod list;
mod read;
mod remove;
mod rows;
mod runs;
mod spend;
#[cfg(test)]
mod tests;
mod tombstones;
mod write;

use crate::sqlite::Schema;
pub use booked::{BookedRow, CLOCK_SKEW_NANOS};
pub use check::{Difference, LedgerCounts};
pub use days::{DAY_NANOS, DayRows};
pub use list::{JobFilter, ListedJob};
pub use read::{LedgerReader, Published, SettledRow};
pub use remove::{LedgerSize, ReadEntries, Removed, RetentionBound};
pub use rows::{ChargeRow, Checkpoint, CounterRow, Detail, FormRow, JobRow, TurnRow};
pub use spend::SpendRow;
pub use write::Ledger;

const SCHEMA: Schema = Schema {
    kind: "ledger",
    application_id: 0x5350_414C, // "SPAL"
    steps: &[include_str!("ledger/schema_1.sql")],
};
