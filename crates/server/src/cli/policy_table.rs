//! What a job costs at each provider when it does not simply succeed: the part of `spantally check` that a
//! team reads before it chooses one.
//!
//! Every cell is what the rate card decides for an attempt with that end, asked as pricing asks it.

use std::io::{self, Write};

use serde::Serialize;
use spantally_price::{Citation, RateCard, Terms};
use spantally_providers::IdempotencyKey;
use spantally_stitch::{Accepted, Attempt, Cause, FailureReason, Outcome, UnixNanos};

use crate::job_json::Rfc3339;
use crate::provider_files::ProviderSource;

/// An end of a job, and what it costs there.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    event: &'static str,
    /// `full`, `none`, `prorated`, `fixed`, `reported`, `unknown`, or another word where no row decides.
    charge: &'static str,
    /// `documented` by the provider, said by a `third_party`, `assumed`, or `unknown`.
    by: &'static str,
    /// The policy row, without the provider's name; empty where none decides.
    row: String,
    source: String,
    as_of: String,
    note: String,
}

/// An end that a policy decides: its name, the outcome and the reason, whether the provider took the submit,
/// and whether a cancel came before the start.
type Event = (&'static str, Outcome, Option<FailureReason>, Accepted, bool);

const EVENTS: [Event; 9] = [
    ("failed", Outcome::Failed, Some(FailureReason::ProviderError), Accepted::Yes, false),
    ("invalid input", Outcome::Rejected, Some(FailureReason::InvalidInput), Accepted::No, false),
    ("rate limited", Outcome::Failed, Some(FailureReason::RateLimit), Accepted::No, false),
    ("moderated input", Outcome::Rejected, Some(FailureReason::ModerationInput), Accepted::No, false),
    ("moderated output", Outcome::Rejected, Some(FailureReason::ModerationOutput), Accepted::Yes, false),
    ("timed out there", Outcome::Failed, Some(FailureReason::ProviderTimeout), Accepted::Yes, false),
    ("canceled queued", Outcome::Canceled, Some(FailureReason::Canceled), Accepted::Yes, true),
    ("canceled running", Outcome::Canceled, Some(FailureReason::Canceled), Accepted::Yes, false),
    ("partial", Outcome::Partial, None, Accepted::Yes, false),
];

/// Every event of a provider.
pub(super) fn cells(source: &ProviderSource) -> Vec<Cell> {
    let card = &source.loaded.card;
    let mut cells: Vec<Cell> = EVENTS.iter().map(|event| by_policy(card, event)).collect();
    let honours = source.loaded.file.idempotency_key == IdempotencyKey::Honoured;
    let duplicate = if honours { "once for a key" } else { "full" };
    let note = if honours {
        "two submits with one idempotency key are one task; without a key each task is charged"
    } else {
        "no idempotency key is documented: every task that was taken is charged by its own end"
    };
    cells.push(plain("duplicate", duplicate, if honours { "documented" } else { "assumed" }, note));
    let note = "the task may run and bill: between nothing and everything, by processors.spantally.pricing";
    cells.push(plain("submit timed out", "unknown", "assumed", note));
    for (event, cause) in [("poll", Cause::Poll), ("webhook", Cause::Webhook)] {
        let meters = card.tariffs().iter().flat_map(|tariff| &tariff.meters);
        let is_charged = meters.into_iter().any(|meter| meter.cause == Some(cause));
        let charge = if is_charged { "for each" } else { "none" };
        cells.push(plain(event, charge, if is_charged { "documented" } else { "assumed" }, ""));
    }
    cells
}

fn plain(event: &'static str, charge: &'static str, by: &'static str, note: &str) -> Cell {
    let (row, source, as_of) = Default::default();
    Cell { event, charge, by, row, source, as_of, note: note.to_owned() }
}

fn by_policy(card: &RateCard, event: &Event) -> Cell {
    let (name, outcome, reason, accepted, before_start) = *event;
    let attempt = attempt(&card.provider, outcome, reason, accepted, before_start);
    let Some(row) = card.policy_of(&attempt) else {
        return plain(name, "unknown", "unknown", "no policy row says");
    };
    let charge = match &row.terms {
        Terms::Full => "full",
        Terms::None => "none",
        Terms::Prorated(_) => "prorated",
        Terms::Fixed(_) => "fixed",
        Terms::Reported => "reported",
        Terms::Unknown { .. } => "unknown",
    };
    let by = match &row.terms {
        Terms::Unknown { .. } => "unknown",
        _ if row.citation.third_party => "third_party",
        _ => "documented",
    };
    Cell {
        event: name,
        charge,
        by,
        row: row.name.trim_start_matches(&*card.provider).trim_start_matches('/').to_owned(),
        source: row.citation.source.to_string(),
        as_of: day(&row.citation),
        note: row.citation.note.to_string(),
    }
}

fn day(citation: &Citation) -> String {
    if citation.as_of == UnixNanos(0) {
        return String::new();
    }
    Rfc3339(citation.as_of).to_string().chars().take(10).collect()
}

fn attempt(
    provider: &std::sync::Arc<str>,
    outcome: Outcome,
    failure_reason: Option<FailureReason>,
    accepted: Accepted,
    canceled_before_start: bool,
) -> Attempt {
    Attempt {
        task_id: None,
        provider: std::sync::Arc::clone(provider),
        model: "".into(),
        operation: "".into(),
        rule: "".into(),
        leg: None,
        accepted,
        outcome,
        failure_reason,
        canceled_before_start,
        cause: Cause::Failed,
        started_at: UnixNanos(0),
        ended_at: UnixNanos(0),
        calls: Vec::new(),
        joins: Vec::new(),
        facts: Vec::new(),
    }
}

/// The table: a line for each provider, a column for each event.
pub(super) fn human<'a>(
    out: &mut impl Write,
    rows: impl Iterator<Item = (&'a str, &'a [Cell])>,
) -> io::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let mut is_first = true;
    for (provider, cells) in rows {
        if is_first {
            table.set_header(std::iter::once("").chain(cells.iter().map(|cell| cell.event)));
            is_first = false;
        }
        let texts = cells.iter().map(|cell| match cell.by {
            "third_party" => format!("{}*", cell.charge),
            "assumed" => format!("{}~", cell.charge),
            _ => cell.charge.to_owned(),
        });
        table.add_row(std::iter::once(provider.to_owned()).chain(texts));
    }
    writeln!(out, "What a job costs that ended so:")?;
    writeln!(out, "{}\n", table.trim_fmt())?;
    writeln!(
        out,
        "full, none, prorated, reported: documented by the provider; * said by a third party; ~ assumed;"
    )?;
    writeln!(
        out,
        "unknown: not documented, a bound between nothing and everything. Sources and notes: --format json.\n"
    )
}
