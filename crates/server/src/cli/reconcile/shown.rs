//! The report for people, and as a table of what does not agree.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use comfy_table::CellAlignment;
use rust_decimal::Decimal;

use super::Report;
use super::compare::{Apart, Finding, Sides};
use super::policy::{PolicyRow, Says};
use super::verdict::{Verdict, Why};
use crate::cli::job_doc::CostDoc;
use crate::cli::sheet_cell;
use crate::replay::report::{count, money};
use crate::visible::{self, visible};

const COLUMNS: [&str; 18] = [
    "verdict",
    "why",
    "job_id",
    "task_id",
    "model",
    "day",
    "outcome",
    "failure_reason",
    "currency",
    "ours_min",
    "ours_expected",
    "ours_max",
    "theirs",
    "difference",
    "our_quantity",
    "their_quantity",
    "file",
    "line",
];

/// Tasks that are named for a policy.
const TICKETS: usize = 3;

impl Report {
    /// The report, with at most `limit` findings.
    pub(super) fn human(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        self.heads(out)?;
        self.totals(out)?;
        self.verdicts(out)?;
        self.policies(out)?;
        if self.findings.is_empty() {
            return writeln!(out, "\nEverything that could be compared agrees.");
        }
        writeln!(out, "\nWhat does not agree, the largest difference first:")?;
        self.findings.iter().take(limit).try_for_each(|finding| finding.human(out))?;
        let more = self.findings.len().saturating_sub(limit);
        if more > 0 {
            writeln!(out, "and {more} more: --limit, or --format csv")?;
        }
        Ok(())
    }

    fn heads(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = count(self.rows, "row", "rows");
        let jobs = count(self.jobs, "job", "jobs");
        let export = if self.export.is_empty() { "--columns" } else { &self.export };
        let by = if self.by == "task" { "task by task" } else { "by sums of a day" };
        writeln!(out, "{}: {rows} ({export}) beside {jobs}, {by}", self.provider)?;
        match &self.period {
            Some(period) => writeln!(out, "from {} to {}", period.from, period.until)?,
            None => writeln!(
                out,
                "The export has no times: give --period to hear of jobs that it has no row for."
            )?,
        }
        if self.jobs == 0 {
            writeln!(out, "There is no settled job of it: is this the right place to read jobs from?")?;
        }
        for (apart, what) in [
            (&self.outside, "not covered by the export"),
            (&self.without_task_id, "without a task id in the spans, which no row can be matched with"),
        ] {
            if apart.count > 0 {
                let tasks = count(apart.count, "task", "tasks");
                writeln!(out, "{tasks} {what}: not compared{}", apart.cost_text())?;
            }
        }
        if self.skipped_rows > 0 {
            writeln!(out, "{} could not be read:", count(self.skipped_rows, "row", "rows"))?;
            for skipped in self.skipped.iter().take(5) {
                writeln!(out, "    {}: {}", skipped.place, visible(&skipped.reason))?;
            }
        }
        Ok(())
    }

    fn totals(&self, out: &mut impl Write) -> io::Result<()> {
        if self.totals.is_empty() {
            return Ok(());
        }
        let mut table = table(&["", "ours", "at least", "at most", "theirs", "difference"], 1);
        for (currency, total) in &self.totals {
            let ours = |figure: fn(CostDoc) -> Decimal| figures(total.sides.ours.map(figure));
            table.add_row([
                visible(currency).into_owned(),
                ours(|cost| cost.expected),
                ours(|cost| cost.min),
                ours(|cost| cost.max),
                figures(total.sides.theirs),
                total.difference.map(signed).unwrap_or_default(),
            ]);
        }
        writeln!(out, "\n{}", table.trim_fmt())?;
        let unpriced = self.verdicts.get(&Verdict::Unpriced).into_iter().flat_map(|tally| &tally.cost);
        let unpriced = unpriced.filter_map(|(currency, sides)| Some((Arc::clone(currency), sides.theirs?)));
        let unpriced: BTreeMap<_, _> = unpriced.collect();
        if !unpriced.is_empty() {
            writeln!(out, "Of theirs, {} is for jobs that have no price with us.", cost_text(&unpriced))?;
        }
        Ok(())
    }

    fn verdicts(&self, out: &mut impl Write) -> io::Result<()> {
        let what = if self.by == "task" { "tasks" } else { "sums" };
        let mut table = table(&["", what, "", "ours", "theirs"], 1);
        for verdict in Verdict::ALL {
            let Some(tally) = self.verdicts.get(&verdict) else { continue };
            let mut first = [verdict.text().to_owned(), tally.count.to_string()];
            if tally.cost.is_empty() {
                table.add_row(first.clone());
            }
            for (currency, Sides { ours, theirs }) in &tally.cost {
                let [name, number] = std::mem::take(&mut first);
                let ours = figures(ours.map(|cost| cost.expected));
                table.add_row([name, number, visible(currency).into_owned(), ours, figures(*theirs)]);
            }
        }
        writeln!(out, "\n{}", table.trim_fmt())?;
        if self.without_task_id.count > 0 && self.verdicts.contains_key(&Verdict::OnlyTheirs) {
            writeln!(out, "A row that is only theirs may be of a task whose id no span shows.")?;
        }
        Ok(())
    }

    fn policies(&self, out: &mut impl Write) -> io::Result<()> {
        if self.policies.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nDoes {} do what our rules say?", self.provider)?;
        self.policies.iter().try_for_each(|row| row.human(out))
    }

    /// One line for each finding. A cell of a figure that is not known is empty.
    pub(super) fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        for finding in &self.findings {
            let cells = finding.cells();
            writeln!(out, "{}", cells.each_ref().map(|cell| sheet_cell(cell)).join(","))?;
        }
        Ok(())
    }
}

impl PolicyRow {
    fn human(&self, out: &mut impl Write) -> io::Result<()> {
        let reason = self.failure_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let end = format!("{} ({}{reason})", self.policy, self.outcome);
        let jobs = count(self.tasks, "job", "jobs");
        let cost = cost_text(&self.cost);
        let line = match (self.says, self.refuted) {
            (Says::Free, Some(0)) => format!("{end} is free: so in {jobs}"),
            (Says::Free, refuted) => {
                format!("{end} is free: refuted by {} of {jobs}, {cost} billed", refuted.unwrap_or_default())
            }
            (Says::Charged, Some(0)) if self.other_amount == 0 => format!("{end} is charged: so in {jobs}"),
            (Says::Charged, Some(0)) => {
                format!("{end} is charged: so in {jobs}, {} of another amount", self.other_amount)
            }
            (Says::Charged, refuted) => {
                let refuted = refuted.unwrap_or_default();
                format!("{end} is charged: refuted by {refuted} of {jobs}, {cost} that was not billed")
            }
            (Says::Unknown, _) if self.billed == 0 => {
                format!("{end}: nobody knows; it was free in {jobs}")
            }
            (Says::Unknown, _) => {
                format!("{end}: nobody knows; billed in {} of {jobs}, {cost}", self.billed)
            }
        };
        writeln!(out, "  {}", visible(&line))?;
        if self.tickets.is_empty() {
            return Ok(());
        }
        if !self.source.is_empty() {
            writeln!(out, "      by {}, read {}", visible(&self.source), self.as_of)?;
        }
        let named = self.tickets.iter().take(TICKETS).map(|ticket| visible(&ticket.task_id));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = self.tickets.len().saturating_sub(TICKETS);
        let more = if more > 0 { format!(" and {more} more: --format json") } else { String::new() };
        writeln!(out, "      {named}{more}")
    }
}

impl Finding {
    fn human(&self, out: &mut impl Write) -> io::Result<()> {
        let id: String = self.job_id.chars().take(12).collect();
        let who = [id.as_str(), &self.task_id].join(" ");
        let day = self.day.as_deref().unwrap_or_default();
        let model = visible::name(&self.model);
        let ours = match self.ours {
            Some(CostDoc { min, expected, max }) if min == max => money(expected),
            Some(CostDoc { min, expected, max }) => {
                format!("{} ({} to {})", money(expected), money(min), money(max))
            }
            None if self.verdict == Verdict::OnlyTheirs => "no job".to_owned(),
            None => "no price".to_owned(),
        };
        let theirs = self.theirs.map_or_else(|| "not told".to_owned(), money);
        let difference = self.difference.map(|difference| format!(" ({})", signed(difference)));
        let why = self.why.map(|why| format!(", {}", why_text(why))).unwrap_or_default();
        let currency = visible(&self.currency);
        let task = visible(who.trim()).into_owned();
        let names = [day, task.as_str(), &*model, self.outcome.as_str()];
        let names = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
        writeln!(
            out,
            "  {names}: ours {ours}, theirs {theirs} {currency}{}{why}",
            difference.unwrap_or_default()
        )?;
        let quantities = self.our_quantity.zip(self.their_quantity).filter(|(ours, theirs)| ours != theirs);
        if let Some((ours, theirs)) = quantities {
            writeln!(out, "      quantity: ours {}, theirs {}", ours.normalize(), theirs.normalize())?;
        }
        Ok(())
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let number = |figure: Option<Decimal>| figure.map(|figure| figure.to_string()).unwrap_or_default();
        let ours = |figure: fn(CostDoc) -> Decimal| number(self.ours.map(figure));
        let place = self.row.as_ref();
        [
            self.verdict.as_str().to_owned(),
            self.why.map(|why| why.as_str().to_owned()).unwrap_or_default(),
            self.job_id.clone(),
            self.task_id.clone(),
            self.model.clone(),
            self.day.clone().unwrap_or_default(),
            self.outcome.clone(),
            self.failure_reason.clone().unwrap_or_default(),
            self.currency.to_string(),
            ours(|cost| cost.min),
            ours(|cost| cost.expected),
            ours(|cost| cost.max),
            number(self.theirs),
            number(self.difference),
            number(self.our_quantity),
            number(self.their_quantity),
            place.map(|place| place.file.clone()).unwrap_or_default(),
            place.map(|place| place.line.to_string()).unwrap_or_default(),
        ]
    }
}

impl Apart {
    fn cost_text(&self) -> String {
        let figure = |(currency, cost): (&String, &CostDoc)| {
            format!("{} to {} {}", money(cost.min), money(cost.max), visible(currency))
        };
        let figures = self.cost.iter().filter(|(_, cost)| !cost.max.is_zero()).map(figure);
        let figures = figures.collect::<Vec<_>>().join(", ");
        if figures.is_empty() { figures } else { format!(" ({figures})") }
    }
}

fn why_text(why: Why) -> &'static str {
    match why {
        Why::Policy => "we took it for free",
        Why::Quantity => "another quantity",
        Why::Price => "another price",
        Why::QuantityAndPrice => "another quantity and another price",
        Why::Discount => "their discount",
        Why::Unknown => "the export does not tell why",
        Why::ClaimedTwice => "another job has this task too",
    }
}

fn cost_text(cost: &BTreeMap<Arc<str>, Decimal>) -> String {
    let figures = cost.iter().filter(|(currency, _)| !currency.is_empty());
    let figures = figures.map(|(currency, cost)| format!("{} {}", money(*cost), visible(currency)));
    let figures = figures.collect::<Vec<_>>().join(", ");
    if figures.is_empty() { "no cost told".to_owned() } else { figures }
}

fn signed(difference: Decimal) -> String {
    let sign = if difference.is_sign_negative() && !difference.is_zero() { "" } else { "+" };
    format!("{sign}{}", money(difference))
}

fn figures(figure: Option<Decimal>) -> String {
    figure.map_or_else(|| "-".to_owned(), money)
}

/// A table whose first `left` columns are text.
fn table(header: &[&str], left: usize) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header.to_vec());
    for column in left..header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
