//! Does everything on disk agree? What `spantally verify` asks.
//!
//! Three things say what was spent, each kept by itself: the *counters* behind `/metrics`, the *ledger's*
//! rows, and the *evidence* from which both were made. Each is worked out from the others:
//!
//! 1. [`spantally_store::LedgerReader::check`]: the file is whole, rows have no gaps, revisions follow one
//!    another, the index finds them;
//! 2. [`rows`]: each job's document says what its row and its charges say;
//! 3. [`counters`]: each counter is the sum of what the rows booked and, by currency, unit and cause, of the
//!    charges; what the retention removed counts by the sums that were kept of it;
//! 4. [`evidence`]: the evidence that is still there (the journal's rows and the open state) makes the same
//!    jobs, with the spans and tasks that their documents name, at the same prices.
//!
//! Everything is read at one moment of the ledger and from a copy of the journal, so a server may run.

mod counters;
mod evidence;
mod named;
mod rows;
mod slices;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use spantally_price::Cards;
use spantally_stitch::Settings;
use spantally_store::{Difference, JournalCopy, LedgerReader, Seq, StoreError};

/// Differences that are shown; the rest is counted.
const SHOWN_MAX: usize = 200;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How much was looked at.
    pub checked: Checked,
    /// What differs, the first of it.
    pub differences: Vec<Found>,
    /// How much differs in all.
    pub count: u64,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Rows of the ledger.
    pub rows: u64,
    /// Rows that the retention removed; of them only sums are left.
    pub removed_rows: u64,
    /// Charges in the rows.
    pub charges: u64,
    /// Counters.
    pub counters: u64,
    /// Spans in the journal and the open state.
    pub spans: u64,
    /// Jobs of the ledger that were made again from their spans.
    pub rebuilt_jobs: u64,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Where.
    pub at: String,
    /// What is there.
    pub found: String,
    /// What should be, by everything else.
    pub expected: String,
}

impl Report {
    fn tell(&mut self, Difference { kind, at, found, expected }: Difference) {
        self.count += 1;
        if self.differences.len() < SHOWN_MAX {
            self.differences.push(Found { kind, at, found, expected });
        }
    }

    /// A row of the ledger whose contents cannot be read.
    fn unreadable(&mut self, row: u64, error: &StoreError) {
        self.differs("row", format!("row {row}"), error, "a row that can be read");
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers have text and numbers of their own to give")]
    fn differs(
        &mut self,
        kind: &'static str,
        at: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
    ) {
        let (found, expected) = (found.to_string(), expected.to_string());
        self.tell(Difference { kind, at: at.into(), found, expected });
    }
}

/// Looks at everything in a data directory.
///
/// # Errors
/// There is no ledger, a file cannot be read, or the journal cannot be copied.
pub fn verify(directory: &Path, settings: &Settings, cards: &Arc<Cards>) -> Result<Report, StoreError> {
    let ledger = LedgerReader::open(directory)?;
    let (moment, journal) = at_one_moment(&ledger, directory)?;
    let mut report = Report::default();
    verify_ledger(&ledger, &mut report)?;
    evidence::check(&ledger, journal.as_ref(), (settings, cards), &mut report)?;
    drop(moment);
    Ok(report)
}

/// The ledger by itself: everything but the evidence.
pub(crate) fn verify_ledger(ledger: &LedgerReader, report: &mut Report) -> Result<(), StoreError> {
    let counts = ledger.check(&mut |difference| report.tell(difference))?;
    report.checked.rows = counts.rows;
    report.checked.counters = counts.counters;
    report.checked.removed_rows = ledger.number("removed_to")?;
    let totals = rows::check(ledger, report)?;
    counters::check(ledger, &totals, report)
}

/// How often a ledger and a journal are taken that do not go together.
const TRIES: usize = 5;

/// A moment of the ledger and a copy of the journal that has every row which the ledger needs: the server may
/// have dropped some in between.
fn at_one_moment<'l>(
    ledger: &'l LedgerReader,
    directory: &Path,
) -> Result<(impl Sized + use<'l>, Option<JournalCopy>), StoreError> {
    for _ in 1..TRIES {
        let moment = ledger.hold()?;
        let journal = JournalCopy::take(directory)?;
        let first = journal.as_ref().map(JournalCopy::first).transpose()?.flatten();
        let needed = done(ledger)?.0 + 1;
        if first.is_none_or(|first| first <= Seq(needed)) {
            return Ok((moment, journal));
        }
        drop(moment);
    }
    Ok((ledger.hold()?, JournalCopy::take(directory)?))
}

fn done(ledger: &LedgerReader) -> Result<Seq, StoreError> {
    ledger.number("done").map(Seq)
}
