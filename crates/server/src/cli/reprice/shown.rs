//! The report for people, and as a table of the jobs that change.

use std::collections::BTreeSet;
use std::io::{self, Write};

use rust_decimal::Decimal;

use super::{Apart, Change, Figures, Report, Repriced, Skipped};
use crate::cli::sheet_cell;
use crate::replay::report::{count, money};
use crate::visible::{self, visible};

const COLUMNS: [&str; 15] = [
    "job_id",
    "provider",
    "model",
    "outcome",
    "currency",
    "before",
    "after",
    "difference",
    "before_min",
    "before_max",
    "after_min",
    "after_max",
    "unpriced_before",
    "unpriced_after",
    "skipped",
];

impl Report {
    /// The report, with at most `limit` jobs.
    pub(super) fn human(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        self.heads(out)?;
        let mut totals = table(&["", "before", "after", "difference"]);
        for (currency, sum) in &self.totals {
            totals.add_row(cells(&[&visible(currency)], sum));
        }
        writeln!(out, "\n{}", totals.trim_fmt())?;
        if !self.models.is_empty() {
            let mut models = table(&["provider", "model", "jobs", "", "before", "after", "difference"]);
            for row in &self.models {
                let names = [
                    &visible::name(&row.provider),
                    &*visible::name(&row.model),
                    &row.jobs.to_string(),
                    &visible(&row.currency),
                ];
                models.add_row(cells(&names, &row.money));
            }
            writeln!(out, "\n{}", models.trim_fmt())?;
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        self.changes.iter().take(limit).try_for_each(|change| change.human(out))?;
        let more = self.changes.len().saturating_sub(limit);
        if more > 0 {
            writeln!(out, "and {more} more: --limit, or --format jsonl")?;
        }
        Ok(())
    }

    /// How many jobs change, and what is in no sum.
    fn heads(&self, out: &mut impl Write) -> io::Result<()> {
        let all = count(self.jobs as u64, "job", "jobs");
        writeln!(out, "{} of {all} would cost something else.", self.changed)?;
        for (reasons, apart) in &self.price_lost {
            let cost = apart.cost_text(" before");
            writeln!(out, "{} would have no price ({reasons}){cost}; in no sum below.", apart.jobs_text())?;
        }
        for (reasons, apart) in &self.price_found {
            let cost = apart.cost_text(" after");
            let jobs = apart.jobs_text();
            writeln!(out, "{jobs} without a price ({reasons}) would have one{cost}; in no sum below.")?;
        }
        if let Some(first) = self.skipped.first() {
            let Skipped { job_id, reason } = first;
            let skipped = count(self.skipped.len() as u64, "job", "jobs");
            writeln!(out, "{skipped} cannot be priced again, the first is {job_id}: {}", visible(reason))?;
        }
        Ok(())
    }

    /// One line for each job that changes and currency, then one for each job that cannot be priced again. A
    /// cell of a figure that is not known is empty.
    pub(super) fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        let changes = self.changes.iter().map(Change::cells);
        let skipped = self.skipped.iter().map(|skipped| {
            let mut cells = [const { String::new() }; COLUMNS.len()];
            cells[0].clone_from(&skipped.job_id);
            cells[COLUMNS.len() - 1].clone_from(&skipped.reason);
            cells
        });
        for cells in changes.chain(skipped) {
            writeln!(out, "{}", cells.each_ref().map(|cell| sheet_cell(cell)).join(","))?;
        }
        Ok(())
    }
}

impl Apart {
    fn jobs_text(&self) -> String {
        count(self.jobs as u64, "job", "jobs")
    }

    /// What they cost on the side that has a price, as an insertion.
    fn cost_text(&self, side: &str) -> String {
        if self.cost.is_empty() {
            return String::new();
        }
        let costs =
            self.cost.iter().map(|(currency, figures)| format!("{} {}", shown(*figures), visible(currency)));
        format!(": {}{side}", costs.collect::<Vec<_>>().join(", "))
    }
}

impl Change {
    fn human(&self, out: &mut impl Write) -> io::Result<()> {
        let id: String = self.job_id.chars().take(12).collect();
        let side = |figures: Option<Figures>, own: &[String], other: &[String]| {
            let reasons: BTreeSet<&str> = own.iter().map(String::as_str).collect();
            let reasons = reasons.into_iter().collect::<Vec<_>>().join(", ");
            match figures {
                Some(figures) if self.difference.is_none() && own != other && !own.is_empty() => {
                    format!("{} and no price ({reasons})", shown(figures))
                }
                Some(figures) => shown(figures),
                None => format!("no price ({reasons})"),
            }
        };
        let before = side(self.before, &self.unpriced_before, &self.unpriced_after);
        let after = side(self.after, &self.unpriced_after, &self.unpriced_before);
        let difference = self.difference.map(|difference| format!(" ({:+})", difference.normalize()));
        writeln!(
            out,
            "{id} {} {} {}: {before} -> {after} {}{}",
            visible::name(&self.provider),
            visible::name(&self.model),
            self.outcome,
            visible(&self.currency),
            difference.unwrap_or_default(),
        )?;
        if self.rules_before != self.rules_after {
            writeln!(out, "    before: {}", visible(&self.rules_before.join(", ")))?;
            writeln!(out, "    after:  {}", visible(&self.rules_after.join(", ")))?;
        }
        Ok(())
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let cell = |side: Option<Figures>, figure: fn(Figures) -> Decimal| {
            side.map(|figures| figure(figures).to_string()).unwrap_or_default()
        };
        [
            self.job_id.clone(),
            self.provider.clone(),
            self.model.clone(),
            self.outcome.clone(),
            self.currency.to_string(),
            cell(self.before, |figures| figures.expected),
            cell(self.after, |figures| figures.expected),
            self.difference.map(|difference| difference.to_string()).unwrap_or_default(),
            cell(self.before, |figures| figures.min),
            cell(self.before, |figures| figures.max),
            cell(self.after, |figures| figures.min),
            cell(self.after, |figures| figures.max),
            self.unpriced_before.join(" "),
            self.unpriced_after.join(" "),
            String::new(),
        ]
    }
}

fn shown(figures: Figures) -> String {
    let Figures { min, expected, max } = figures;
    if min == max {
        money(expected)
    } else {
        format!("{} ({} to {})", money(expected), money(min), money(max))
    }
}

fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header.to_vec());
    table
}

fn cells(first: &[&str], sum: &Repriced) -> Vec<String> {
    let figures = [shown(sum.before), shown(sum.after), format!("{:+}", sum.difference.normalize())];
    first.iter().map(|&cell| cell.to_owned()).chain(figures).collect()
}
