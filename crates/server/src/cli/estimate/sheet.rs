//! The groups as CSV: one line for each group and currency. Sums of lines are the totals; the counts of a
//! group stand in each of its lines. A group without money has a line without a currency: with zeros if it
//! is known to cost nothing, else with empty cells, for unknown is not zero.

use std::io::{self, Write};

use rust_decimal::Decimal;
use spantally_stitch::Cause;

use super::forecast::Forecast;
use super::report::{GroupRow, Report};
use crate::cli::sheet_cell;

const COLUMNS: [&str; 24] = [
    "provider",
    "model",
    "operation",
    "service",
    "tenant",
    "jobs",
    "jobs_per_day",
    "delivered",
    "attempts",
    "retries",
    "timeout_resubmits",
    "duplicates",
    "timeouts",
    "unpriced_jobs",
    "currency",
    "cost",
    "cost_per_delivered",
    "forecast_min",
    "forecast",
    "forecast_max",
    "forecast_retry_driven",
    "forecast_waste",
    "range_low",
    "range_high",
];

impl Report {
    pub(super) fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        for group in &self.groups {
            let currencies = group.row.forecast.iter().map(|(currency, forecast)| Some((currency, forecast)));
            let none = group.row.forecast.is_empty().then_some(None);
            for money in currencies.chain(none) {
                let cells = cells(group, money);
                writeln!(out, "{}", cells.each_ref().map(|cell| sheet_cell(cell)).join(","))?;
            }
        }
        Ok(())
    }
}

fn cells(group: &GroupRow, money: Option<(&String, &Forecast)>) -> [String; COLUMNS.len()] {
    let GroupRow { key, row } = group;
    let counts = &row.counts;
    let is_free = money.is_none() && counts.unpriced_jobs == 0;
    let missing = if is_free { "0" } else { "" };
    let text = |figure: Option<Decimal>| figure.map_or(missing.to_owned(), |figure| figure.to_string());
    let figure = |of: fn(&Forecast) -> Decimal| text(money.map(|(_, forecast)| of(forecast)));
    let currency = money.map(|(currency, _)| currency);
    let range = money.and_then(|(_, forecast)| forecast.range);
    [
        key.provider.clone(),
        key.model.clone(),
        key.operation.clone(),
        key.service.clone().unwrap_or_default(),
        key.tenant.clone().unwrap_or_default(),
        counts.jobs.to_string(),
        row.jobs_per_day.to_string(),
        counts.delivered().to_string(),
        counts.attempts.to_string(),
        counts.retries.to_string(),
        counts.timeout_resubmits.to_string(),
        counts.duplicates.to_string(),
        counts.timeouts.to_string(),
        counts.unpriced_jobs.to_string(),
        currency.cloned().unwrap_or_default(),
        text(currency.and_then(|currency| Some(row.cost.get(currency)?.expected))),
        text(currency.and_then(|currency| row.cost_per_delivered.get(currency).copied())),
        figure(|forecast| forecast.figures.min),
        figure(|forecast| forecast.figures.expected),
        figure(|forecast| forecast.figures.max),
        figure(|forecast| forecast.part(Cause::is_retry_driven)),
        figure(|forecast| forecast.part(Cause::is_waste)),
        text(range.map(|range| range.low)),
        text(range.map(|range| range.high)),
    ]
}
