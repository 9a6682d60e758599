//! Whether the evidence that is still there makes the jobs that the ledger has.
//!
//! Of a job that may still be revised all evidence is there. So each job whose last call is younger than the
//! retention must come out again with the content that its newest revision has, with the spans and tasks that
//! its document names, at the cost that its revisions add up to; and nothing else may come out. Where the
//! last turn was cut off, what was due in it may be booked or not.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use spantally_price::Cards;
use spantally_stitch::{Job, JobId, Settings, State, UnixNanos};
use spantally_store::{ChargeRow, JournalCopy, LedgerReader, SettledRow, StoreError};

use super::named::{self, Named};
use super::slices::{SLICE, read_slice};
use super::{Report, done};
use crate::commit::CommitMessage;
use crate::core::checkpoint::{BOUNDS_META, CUT_META, OUTAGES_META, TRIMMED_META, TURN_META, parse_outages};
use crate::core::rebuild::{Rebuild, missing_charges};
use crate::record;

pub(super) fn check(
    ledger: &LedgerReader,
    journal: Option<&JournalCopy>,
    (settings, cards): (&Settings, &Arc<Cards>),
    report: &mut Report,
) -> Result<(), StoreError> {
    let now = UnixNanos(ledger.number(TURN_META)?);
    let mut newest = HashMap::<JobId, SettledRow>::new();
    let mut moments = Vec::new();
    ledger.load_settled(since(now, settings).0, |row| {
        moments.push(row.settled_at);
        newest.entry(JobId(row.job_id)).or_insert(row);
    })?;
    let positions = (ledger.applied()?, done(ledger)?);
    let cut_at = (ledger.number(CUT_META)? != 0).then_some(now);
    let rebuild = Rebuild::new(settings, positions, &ledger.load_turns()?, moments, cut_at);
    let Some(mut rebuild) = rebuild else {
        report.differs("turn", "turns of the ledger", "not readable", "times and marks");
        return Ok(());
    };
    let outages = ledger.load_meta(OUTAGES_META)?.unwrap_or_default();
    let outages = std::str::from_utf8(&outages).ok().and_then(parse_outages);
    let mut tombstones = Vec::new();
    ledger.load_tombstones(|mark| tombstones.push(mark))?;
    rebuild.note(outages.as_deref().unwrap_or_default(), &tombstones);
    let mut broken = Vec::new();
    if outages.is_none() {
        broken.push((OUTAGES_META.to_owned(), "not readable".to_owned()));
    }
    if ledger.load_meta(BOUNDS_META)?.is_some_and(|text| !rebuild.note_bounds(&text)) {
        broken.push((BOUNDS_META.to_owned(), "not readable".to_owned()));
    }
    ledger.load_state(|number, bytes| {
        if let Err(error) = rebuild.restore(number, bytes) {
            broken.push((format!("open state {number:#x}"), error));
        }
    })?;
    if let Some(journal) = journal {
        read_journal(journal, positions, &mut rebuild, &mut broken)?;
    } else if positions.0 > positions.1 {
        broken.push(("journal.db".to_owned(), "is not there".to_owned()));
    }
    let is_whole = broken.is_empty();
    for (at, error) in broken {
        report.differs("evidence", at, error, "evidence that can be read");
    }
    // Without some of the evidence everything else would differ too.
    if is_whole {
        compare(ledger, rebuild, (settings, cards, now), newest, report)?;
    }
    Ok(())
}

fn read_journal(
    journal: &JournalCopy,
    (applied, done): (spantally_store::Seq, spantally_store::Seq),
    rebuild: &mut Rebuild,
    broken: &mut Vec<(String, String)>,
) -> Result<(), StoreError> {
    let mut expected = done.0 + 1;
    journal.visit(&mut |seq, bytes| {
        if seq <= done {
            return ControlFlow::Continue(());
        }
        if seq.0 != expected {
            broken.push((format!("journal row {expected}"), "is missing".to_owned()));
        }
        expected = seq.0 + 1;
        let batches = bytes.and_then(|bytes| record::decode(bytes).map_err(|error| error.to_string()));
        match batches {
            Ok(batches) => rebuild.group(CommitMessage { seq, batches }),
            Err(error) => broken.push((format!("journal row {seq}"), error)),
        }
        ControlFlow::Continue(())
    })?;
    if expected <= applied.0 {
        broken.push((format!("journal row {expected}"), "is missing".to_owned()));
    }
    Ok(())
}

/// What the ledger has of a job in rows since a moment.
#[derive(Default)]
struct Kept {
    revisions: u32,
    charges: Vec<ChargeRow>,
    /// What the newest document names; none when it is not readable.
    named: Option<Named>,
}

/// What cannot be read is told elsewhere.
fn kept_since(ledger: &LedgerReader, since: UnixNanos) -> Result<HashMap<JobId, Kept>, StoreError> {
    let mut kept = HashMap::<JobId, Kept>::new();
    let Some((mut from, last)) = ledger.row_range(since.0)? else { return Ok(kept) };
    while from <= last {
        let slice = (from, last.min(from + SLICE - 1));
        let read = |rows, found: &mut Vec<_>| {
            ledger.visit_jobs(rows, true, |row, job| {
                let id = JobId(job.job_id);
                found.push((row, (id, named::of_document(&job.detail.into_text()))));
                ControlFlow::Continue(())
            })
        };
        let mut jobs = HashMap::new();
        for (row, (id, named)) in read_slice(slice, read, |_, _| {})? {
            jobs.insert(row, id);
            let kept = kept.entry(id).or_default();
            kept.revisions += 1;
            kept.named = named;
        }
        let read = |rows, found: &mut Vec<_>| {
            ledger.visit_charges(rows, |row, charge| {
                found.push((row, charge));
                ControlFlow::Continue(())
            })
        };
        for (row, charge) in read_slice(slice, read, |_, _| {})? {
            if let Some(id) = jobs.get(&row) {
                kept.entry(*id).or_default().charges.push(charge);
            }
        }
        from = slice.1 + 1;
    }
    Ok(kept)
}

fn compare(
    ledger: &LedgerReader,
    rebuild: Rebuild,
    (settings, cards, now): (&Settings, &Arc<Cards>, UnixNanos),
    newest: HashMap<JobId, SettledRow>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let removed_until = UnixNanos(ledger.number("removed_until")?);
    let (mut rebuilt, before, spans) = rebuild.finish(now);
    report.checked.spans = spans;
    let mut kept = kept_since(ledger, since(now, settings))?;
    // At the bounds on memory jobs are forgotten before their time.
    let is_crowded = spans > settings.max_spans as u64 / 10 * 9;
    let trimmed_at = ledger.number(TRIMMED_META)?;
    let mut rows: Vec<_> = newest.into_iter().collect();
    rows.sort_unstable_by_key(|(id, _)| *id);
    for (id, row) in rows {
        let is_retained = UnixNanos(row.ended_at).plus_ms(settings.retention_ms) > now;
        let is_known = is_retained && !is_crowded && row.settled_at > trimmed_at;
        let is_superseded = row.state == State::Superseded.as_str();
        let live = (!is_superseded).then_some(row.digest);
        // As it was before a turn that was cut off: what was due of it then is not booked.
        let is_due = before.as_ref().is_some_and(|told| told.get(&id).map(|job| job.digest) == live);
        let at = format!("job {id}, revision {}", row.revision);
        let Some(found) = rebuilt.remove(&id) else {
            if is_known && !is_superseded && !is_due {
                report.differs("evidence", at, row.state, "no such job, by its spans");
            }
            continue;
        };
        report.checked.rebuilt_jobs += 1;
        if live != Some(found.digest) {
            if is_due {
                continue;
            }
            let expected = format!("{} by its spans", described(&found.job));
            report.differs("evidence", at, format!("{}, with other content", row.state), expected);
            continue;
        }
        let Some(kept) = kept.remove(&id) else { continue };
        if kept.named.is_some_and(|named| named != named::of_job(&found.job)) {
            report.differs("document", &*at, "other spans or tasks", "those of its evidence");
        }
        // Of a job with older revisions not all charges are at hand.
        if kept.revisions == row.revision {
            compare_prices(&at, &found.job, kept.charges, cards, report);
        }
    }
    let was_told = |id: &JobId| before.as_ref().is_none_or(|told| told.contains_key(id));
    for (id, found) in rebuilt.into_iter().filter(|(id, _)| was_told(id)) {
        // What began before the oldest row that is left was counted as late. A row that cannot be read is
        // told of by now.
        let is_missing = ledger.published(id.0).is_ok_and(|known| known.is_none());
        if found.job.started_at > removed_until && is_missing {
            let expected = format!("{} by its spans", described(&found.job));
            report.differs("evidence", format!("job {id}"), "not in the ledger", expected);
        }
    }
    Ok(())
}

fn compare_prices(at: &str, job: &Job, charged: Vec<ChargeRow>, cards: &Arc<Cards>, report: &mut Report) {
    for charge in missing_charges(job, cards, charged) {
        let ChargeRow { attempt, unit, cause, rule, .. } = &charge;
        let more = charge.cost_expected.normalize();
        report.differs(
            "price",
            format!("{at}, attempt {attempt} {unit} {cause} {rule}"),
            "what its rows add up to",
            format!("{more} more by its spans and the prices in use"),
        );
    }
}

fn described(job: &Job) -> String {
    format!("{} with {} attempts", job.outcome.as_str(), job.attempts.len())
}

/// No job that may still be revised was settled before.
fn since(now: UnixNanos, settings: &Settings) -> UnixNanos {
    now.minus_ms(settings.retention_ms.saturating_add(settings.absolute_timeout_ms))
}
