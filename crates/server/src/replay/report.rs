//! The summary as a page that a person can act on: what was spent, what of it was wasted and by whom, what is
//! not known and how to know it.
//!
//! Sections without content are left out. Lists are cut to what fits a screen; `--format json` has them
//! whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use rust_decimal::Decimal;

use super::summary::{
    CauseRow, FailureRow, Finding, GroupRow, Money, PartRow, PollRow, SampledRow, Summary, UnpricedRow,
    UnrecognisedRow, UnverifiedRow, WastefulRow,
};
use crate::visible::{self, visible};

/// Models and jobs that are listed.
const MODELS: usize = 10;
const WASTEFUL: usize = 5;
const UNPRICED: usize = 10;

/// What an empty model is shown as.
const NO_NAME: &str = "(not in the spans)";

/// Writes the page, with colours when it goes to a terminal. `files` are the recordings as they were given on
/// the command line, for the commands that the page proposes.
pub fn page(summary: &Summary, files: &str, color: bool) -> String {
    let mut page = Page { text: String::new(), color };
    page.overview(summary);
    page.sampled(summary);
    page.causes(summary);
    page.groups("Spend by provider", &summary.providers, usize::MAX);
    page.groups("Spend by model", &summary.models, MODELS);
    page.findings(summary);
    page.polls(summary);
    page.failures(summary);
    page.unpriced(summary);
    page.unrecognised(summary);
    page.unverified(summary);
    page.wasteful(summary, files);
    page.joins(summary);
    page.text
}

/// Money for the eye: four decimals, which is what unit prices have.
pub(crate) fn money(amount: Decimal) -> String {
    format!("{:.4}", amount.round_dp(4))
}

/// A share from 0 to 1 as percent.
pub(crate) fn percent(share: Decimal) -> String {
    format!("{:.1} %", (share * Decimal::ONE_HUNDRED).round_dp(1))
}

/// A figure with its bound, where there is one.
pub(crate) fn with_bound(money: &Money) -> String {
    let expected = self::money(money.expected);
    if money.min == money.max {
        return expected;
    }
    format!("{expected} ({} to {})", self::money(money.min), self::money(money.max))
}

/// How many of something, in words.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn jobs(number: u64) -> String {
    count(number, "job", "jobs")
}

/// A model's name, as a table has room for it.
fn name(text: &str) -> Cow<'_, str> {
    if text.is_empty() { NO_NAME.into() } else { visible::name(text) }
}

struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn line(&mut self, line: impl Display) {
        self.text.push_str(line.to_string().trim_end());
        self.text.push('\n');
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn heading(&mut self, text: &str) {
        let heading = self.styled(Style::new().bold(), text);
        self.line("");
        self.line(heading);
    }

    /// Something that asks to be looked at.
    fn advice(&mut self, text: &str) {
        let advice = self.styled(AnsiColor::Yellow.on_default(), text);
        self.line(format!("  {advice}"));
    }

    /// Columns in `left` begin with text; all others hold figures.
    fn table(&mut self, header: &[&str], left: &[usize], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.to_vec());
        for row in rows {
            table.add_row(row.iter().map(|cell| visible(cell)));
        }
        for column in (0..header.len()).filter(|column| !left.contains(column)) {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.trim_fmt().lines() {
            self.line(format!(" {line}"));
        }
    }

    fn overview(&mut self, summary: &Summary) {
        let spans = &summary.spans;
        if let (Some(from), Some(until)) = (&summary.from, &summary.until) {
            self.line(format!("Period  {from} to {until}"));
        }
        let surplus = if spans.surplus > 0 { format!(", {} surplus", spans.surplus) } else { String::new() };
        self.line(format!(
            "Spans   {} read: {} of generation, {} ignored, {} duplicate, {} late{surplus}, {} rejected",
            spans.received, spans.accepted, spans.ignored, spans.duplicate, spans.late, spans.rejected
        ));
        if !summary.rejected.is_empty() {
            let reasons = summary.rejected.iter().map(|(reason, spans)| format!("{spans} {reason}"));
            self.line(format!("        rejected: {}", reasons.collect::<Vec<_>>().join(", ")));
        }
        let outcomes: Vec<_> =
            summary.outcomes.iter().map(|(outcome, jobs)| format!("{jobs} {outcome}")).collect();
        let attempts = count(summary.attempts, "attempt", "attempts");
        self.line(format!("Calls   {} in {attempts}", summary.calls));
        let outcomes = if outcomes.is_empty() { String::new() } else { format!(": {}", outcomes.join(", ")) };
        self.line(format!("Jobs    {}{outcomes}", summary.jobs));
        for (currency, cost) in &summary.cost {
            let total = self.styled(Style::new().bold(), &with_bound(cost));
            self.line(format!("Spend   {} {total}", visible(currency)));
        }
        match (summary.jobs, spans.received, spans.ignored) {
            (0, 0, _) => self.advice("No span in what was read."),
            (0, _, 1..) => {
                self.advice(
                    "No call to a provider that the provider files know: `spantally check` lists them.",
                );
            }
            _ => {}
        }
    }

    fn causes(&mut self, summary: &Summary) {
        if summary.causes.is_empty() {
            return;
        }
        self.heading("Spend by cause");
        let cause = |row: &CauseRow| {
            vec![
                row.cause.to_owned(),
                row.currency.to_string(),
                money(row.cost),
                percent(row.share),
                row.jobs.to_string(),
            ]
        };
        let part = |name: &str, row: &PartRow| {
            vec![
                name.to_owned(),
                row.currency.to_string(),
                money(row.cost),
                percent(row.share),
                row.jobs.to_string(),
            ]
        };
        let mut rows: Vec<_> = summary.causes.iter().map(cause).collect();
        rows.push(vec![String::new()]);
        rows.extend(summary.retry_driven.iter().map(|row| part("of it retry-driven", row)));
        rows.extend(summary.waste.iter().map(|row| part("of it waste", row)));
        self.table(&["cause", "currency", "cost", "share", "jobs"], &[0, 1], rows);
    }

    fn groups(&mut self, heading: &str, groups: &[GroupRow], limit: usize) {
        if groups.is_empty() {
            return;
        }
        self.heading(heading);
        let has_model = groups.iter().any(|group| group.model.is_some());
        let mut header = vec!["provider"];
        header.extend(has_model.then_some("model"));
        header.extend(["jobs", "delivered", "unknown", "currency", "cost", "per delivered job"]);
        let mut rows = Vec::new();
        for group in groups.iter().take(limit) {
            let mut names = vec![group.provider.to_string()];
            names.extend(group.model.as_deref().map(|model| name(model).into_owned()));
            let counts = [group.jobs, group.delivered, group.unverified].map(|count| count.to_string());
            let costs = group.cost.iter().map(|(currency, cost)| {
                let per = group.cost_per_delivered.get(currency).map_or("-".to_owned(), |per| money(*per));
                [currency.to_string(), money(cost.expected), per]
            });
            let mut costs: Vec<_> = costs.collect();
            if costs.is_empty() {
                costs.push(["-", "-", "-"].map(str::to_owned));
            }
            rows.extend(costs.into_iter().map(|cost| {
                names.iter().cloned().chain(counts.iter().cloned()).chain(cost).collect::<Vec<_>>()
            }));
        }
        let left: &[usize] = if has_model { &[0, 1, 5] } else { &[0, 4] };
        self.table(&header, left, rows);
        if groups.len() > limit {
            self.line(format!("  and {} more: --format json has them all", groups.len() - limit));
        }
    }

    fn findings(&mut self, summary: &Summary) {
        let findings = [
            ("duplicates", &summary.duplicates),
            ("failed but billed", &summary.failed_but_billed),
            ("ambiguous submits", &summary.ambiguous_submits),
        ];
        if findings.iter().all(|(_, finding)| finding.attempts == 0) {
            return;
        }
        self.heading("To look at");
        let mut rows = Vec::new();
        for (name, finding) in findings.into_iter().filter(|(_, finding)| finding.attempts > 0) {
            let Finding { attempts, jobs, cost } = finding;
            rows.push(vec![name.to_owned(), attempts.to_string(), jobs.to_string(), costs(cost)]);
        }
        self.table(&["finding", "attempts", "jobs", "cost (least to most)"], &[0, 3], rows);
        if summary.ambiguous_submits.attempts > 0 {
            self.advice("Ambiguous submits may have run. The invoice tells; an idempotency key prevents it.");
        }
    }

    fn polls(&mut self, summary: &Summary) {
        if summary.polls.is_empty() {
            return;
        }
        self.heading("Polls a job");
        let row = |row: &PollRow| {
            let figures = [row.jobs, row.median, row.p95, row.max].map(|figure| figure.to_string());
            [row.provider.to_string()].into_iter().chain(figures).collect()
        };
        let rows = summary.polls.iter().map(row).collect();
        self.table(&["provider", "jobs polled", "median", "95 %", "most"], &[0], rows);
    }

    fn failures(&mut self, summary: &Summary) {
        if summary.failures.is_empty() {
            return;
        }
        self.heading("Failures by reason");
        let row =
            |row: &FailureRow| vec![row.reason.to_owned(), row.attempts.to_string(), row.jobs.to_string()];
        let rows = summary.failures.iter().map(row).collect();
        self.table(&["reason", "attempts", "jobs"], &[0], rows);
    }

    fn unpriced(&mut self, summary: &Summary) {
        if summary.unpriced.is_empty() {
            return;
        }
        self.heading("Without a price");
        let row = |row: &UnpricedRow| {
            let model = name(&row.model).into_owned();
            vec![row.provider.to_string(), model, row.reason.to_owned(), row.jobs.to_string()]
        };
        let rows = summary.unpriced.iter().take(UNPRICED).map(row).collect();
        self.table(&["provider", "model", "reason", "jobs"], &[0, 1, 2], rows);
        if summary.unpriced.len() > UNPRICED {
            let more = summary.unpriced.len() - UNPRICED;
            self.line(format!("  and {more} more: --format json has them all"));
        }
        self.advice("Their cost is not in any figure above. A provider file in --providers DIR adds prices.");
    }

    fn unrecognised(&mut self, summary: &Summary) {
        if summary.unrecognised.is_empty() {
            return;
        }
        self.heading("Requests that no rule takes");
        let row = |row: &UnrecognisedRow| {
            vec![row.provider.clone(), row.method.to_owned(), row.requests.to_string()]
        };
        let rows = summary.unrecognised.iter().map(row).collect();
        self.table(&["provider", "method", "requests"], &[0, 1], rows);
        self.advice("They are in no job and no figure above. A provider file in --providers DIR adds calls,");
        self.advice("and says under `other` which requests are none.");
    }

    fn sampled(&mut self, summary: &Summary) {
        if summary.sampled.is_empty() {
            return;
        }
        self.heading("Sampled calls");
        let row =
            |row: &SampledRow| vec![row.provider.to_string(), row.service.to_string(), row.calls.to_string()];
        let rows = summary.sampled.iter().map(row).collect();
        self.table(&["provider", "service", "calls"], &[0, 1], rows);
        self.advice("Their spans say that others were left out: every figure here is less than the truth.");
        self.advice("Send all spans of generation calls: docs/instrumentation.md, \"Sampled streams\".");
    }

    fn unverified(&mut self, summary: &Summary) {
        let number: u64 = summary.unverified.iter().map(|row| row.jobs).sum();
        if number == 0 {
            return;
        }
        self.heading("Outcome not in the spans");
        let row =
            |row: &UnverifiedRow| vec![row.provider.to_string(), row.jobs.to_string(), costs(&row.cost)];
        let rows = summary.unverified.iter().map(row).collect();
        self.table(&["provider", "jobs", "cost (least to most)"], &[0, 2], rows);
        self.advice(&format!(
            "The spans of {} do not tell how it ended. One step settles it: set spantally.task.status",
            jobs(number)
        ));
        self.advice(
            "to the status in the provider's answer, on the span of the last poll or on one above it.",
        );
    }

    fn wasteful(&mut self, summary: &Summary, files: &str) {
        if summary.wasteful.is_empty() {
            return;
        }
        self.heading("Most wasteful jobs");
        let row = |row: &WastefulRow| {
            vec![
                row.job_id.clone(),
                row.provider.to_string(),
                name(&row.model).into_owned(),
                row.outcome.to_owned(),
                format!("{} {}", row.currency, money(row.waste)),
                row.causes.join(", "),
            ]
        };
        let rows = summary.wasteful.iter().take(WASTEFUL).map(row).collect();
        self.table(&["job", "provider", "model", "outcome", "waste", "why"], &[0, 1, 2, 3, 5], rows);
        if let Some(first) = summary.wasteful.first() {
            let id = first.job_id.get(..12).unwrap_or(&first.job_id);
            self.line(format!("  What happened:  spantally explain {id} --from {files}"));
        }
    }

    fn joins(&mut self, summary: &Summary) {
        if summary.joins.is_empty() {
            return;
        }
        self.heading("How calls were joined to jobs");
        let mut by_confidence = Vec::<(&str, u64, Vec<String>)>::new();
        for row in &summary.joins {
            let text = format!("{} {}", row.joins, row.rule);
            match by_confidence.last_mut().filter(|(confidence, ..)| *confidence == row.confidence) {
                Some((_, joins, rules)) => {
                    *joins += row.joins;
                    rules.push(text);
                }
                None => by_confidence.push((row.confidence, row.joins, vec![text])),
            }
        }
        let row = |(confidence, joins, rules): (&str, u64, Vec<String>)| {
            vec![confidence.to_owned(), joins.to_string(), rules.join(", ")]
        };
        let rows = by_confidence.into_iter().map(row).collect();
        self.table(&["confidence", "joins", "by rule"], &[0, 2], rows);
    }
}

/// Money of every currency in one cell.
fn costs(cost: &BTreeMap<Arc<str>, Money>) -> String {
    if cost.is_empty() {
        return "no price".to_owned();
    }
    let costs = cost.iter().map(|(currency, cost)| format!("{currency} {}", with_bound(cost)));
    costs.collect::<Vec<_>>().join(", ")
}
