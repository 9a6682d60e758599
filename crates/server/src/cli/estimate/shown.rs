//! The report for people: the answer first, then where it comes from.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use rust_decimal::Decimal;
use spantally_stitch::Cause;

use super::backoff::Spread;
use super::base::Counts;
use super::forecast::{Forecast, Range};
use super::money::{Figures, Money};
use super::period::Volume;
use super::report::{GroupRow, Report, WhatIfRow};
use super::what_if::Limits;
use crate::replay::report::{count, percent};
use crate::visible::{self, visible};

/// Rules of which something is not known that are listed.
const UNKNOWNS: usize = 10;

/// From here on cents are fine enough.
const LARGE: Decimal = Decimal::ONE_HUNDRED;

impl Report {
    /// The report, with at most `limit` groups.
    pub(super) fn human(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        self.answer(out)?;
        self.seen(out)?;
        self.by_cause(out)?;
        self.by_group(out, limit)?;
        self.not_known(out)?;
        if !self.what_if.is_empty() {
            writeln!(out, "\nWhat if, for the same jobs")?;
            self.what_if.iter().try_for_each(|row| row.human(out, &self.total.cost))?;
        }
        self.by_attempt(out)?;
        writeln!(out, "\nAssumed")?;
        self.assumed.iter().try_for_each(|line| writeln!(out, "  {line}"))
    }

    fn answer(&self, out: &mut impl Write) -> io::Result<()> {
        let load = match self.volume {
            Volume::Times(times) if times == Decimal::ONE => "The volume as it was".to_owned(),
            Volume::Times(times) => format!("{} times the volume", times.normalize()),
            Volume::JobsPerDay(jobs) => format!("{} jobs a day", jobs.normalize()),
        };
        let jobs = self.jobs_to_come.round();
        let load = format!("{load}, {} days, {jobs} jobs", self.days.normalize());
        if self.total.forecast.is_empty() {
            let known = if self.total.counts.unpriced_jobs > 0 { "no price is known" } else { "nothing" };
            writeln!(out, "{load}: {known}")?;
        }
        for (currency, forecast) in &self.total.forecast {
            let Forecast { figures, chance, range, .. } = forecast;
            let expected = amount(figures.expected);
            let (min, max) = (amount(figures.min), amount(figures.max));
            let currency = visible(currency);
            match (range, chance) {
                (Some(range), Some(chance)) => {
                    writeln!(out, "{load}: {currency} {expected} expected, {}", shown(*range))?;
                    let of = format!("{min} to {max} by what is not known, {} by chance", shown(*chance));
                    let jobs = count(self.total.counts.jobs, "job", "jobs");
                    writeln!(out, "  of that range {of} (95 %, from {jobs} in {})", self.length)?;
                }
                _ if figures.min == figures.max => {
                    writeln!(out, "{load}: {currency} {expected} expected; too few jobs for a range")?;
                }
                _ => writeln!(
                    out,
                    "{load}: {currency} {expected} expected, {min} to {max} by what is not known; too few \
                     jobs for a range by chance"
                )?,
            }
        }
        Ok(())
    }

    fn seen(&self, out: &mut impl Write) -> io::Result<()> {
        let Counts {
            jobs, attempts, turns, retries, timeout_resubmits, duplicates, timeouts, outcomes, ..
        } = &self.total.counts;
        let of_sessions = match turns {
            0 => String::new(),
            1 => " (1 of them a turn of a voice session)".to_owned(),
            turns => format!(" ({turns} of them turns of voice sessions)"),
        };
        let a_day = self.total.jobs_per_day.round_dp(1);
        let jobs = count(*jobs, "job", "jobs");
        writeln!(out, "\nSeen  {} to {}: {jobs}, {a_day} a day", self.from, self.until)?;
        let ends = outcomes.iter().map(|(outcome, jobs)| format!("{jobs} {outcome}"));
        writeln!(out, "      {}", ends.collect::<Vec<_>>().join(", "))?;
        writeln!(
            out,
            "      {}{of_sessions}: {} after a failure, {timeout_resubmits} after a submit of unknown fate, {duplicates} \
             beside one at work; {}",
            count(*attempts, "attempt", "attempts"),
            count(*retries, "was repeated", "were repeated"),
            count(*timeouts, "timed out", "timed out"),
        )
    }

    fn by_cause(&self, out: &mut impl Write) -> io::Result<()> {
        if self.total.forecast.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nForecast by cause")?;
        let mut table = table(&["  cause", "currency", "seen", "forecast", "share"], &[2, 3, 4]);
        for (currency, forecast) in &self.total.forecast {
            let share =
                |part: Decimal| part.checked_div(forecast.figures.expected).map_or("-".to_owned(), percent);
            let seen = self.total.causes.get(currency);
            let mut causes: Vec<_> = forecast.causes.iter().collect();
            causes.sort_by_key(|(_, part)| std::cmp::Reverse(part.expected));
            for (cause, part) in causes {
                let seen = seen.and_then(|seen| seen.get(cause)).map(|seen| amount(seen.expected));
                table.add_row([
                    format!("  {cause}"),
                    visible(currency).into_owned(),
                    seen.unwrap_or_default(),
                    with_bound(*part),
                    share(part.expected),
                ]);
            }
            for (name, is_in) in
                [("retry-driven", Cause::is_retry_driven as fn(Cause) -> bool), ("waste", Cause::is_waste)]
            {
                let part = forecast.part(is_in);
                let seen = String::new();
                let currency = visible(currency).into_owned();
                table.add_row([format!("  of it {name}"), currency, seen, amount(part), share(part)]);
            }
        }
        writeln!(out, "{}", table.trim_fmt())
    }

    fn by_group(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        writeln!(out, "\nForecast by group")?;
        let mut table = table(
            &[
                "  group",
                "jobs/day",
                "delivered",
                "attempts/job",
                "retries",
                "resubmits",
                "duplicates",
                "timeouts",
                "per delivered",
                "forecast",
                "range",
            ],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9],
        );
        for group in self.groups.iter().take(limit) {
            group.rows().into_iter().for_each(|row| {
                table.add_row(row);
            });
        }
        writeln!(out, "{}", table.trim_fmt())?;
        match self.groups.len().saturating_sub(limit) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more: --limit, or --format jsonl"),
        }
    }

    fn not_known(&self, out: &mut impl Write) -> io::Result<()> {
        if self.unknowns.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nWhat is not known, the widest first")?;
        let header =
            ["  rule by policy", "jobs", "currency", "width", "of the forecast", "a job of it, at most"];
        let mut table = table(&header, &[1, 3, 4, 5]);
        for row in self.unknowns.iter().take(UNKNOWNS) {
            table.add_row([
                format!("  {}", visible(&row.rules.join(" and "))),
                row.jobs.to_string(),
                visible(&row.currency).into_owned(),
                amount(row.width),
                amount(row.width_of_forecast),
                amount(row.cheapest_job),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        match self.unknowns.len().saturating_sub(UNKNOWNS) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more: --format json"),
        }
    }

    fn by_attempt(&self, out: &mut impl Write) -> io::Result<()> {
        if self.backoff.jobs == 0 {
            return Ok(());
        }
        writeln!(out, "\nBack-off in use")?;
        let header = ["  attempt", "attempts", "delivered", "cost", "waits", "median", "from", "to"];
        let mut attempts = table(&header, &[1, 2, 4, 5, 6, 7]);
        for nth in &self.backoff.attempts {
            let [median, min, max] = nth.wait_seconds.map_or(["-", "-", "-"].map(str::to_owned), spread);
            attempts.add_row([
                format!("  {}", nth.attempt),
                nth.attempts.to_string(),
                share(nth.delivered, nth.attempts),
                costs(&nth.cost),
                nth.waited.to_string(),
                median,
                min,
                max,
            ]);
        }
        writeln!(out, "{}", attempts.trim_fmt())?;
        if !self.backoff.waits.is_empty() {
            let header = ["  wait before the submit", "attempts", "delivered", "cost of the others"];
            let mut waits = table(&header, &[1, 2]);
            for after in &self.backoff.waits {
                waits.add_row([
                    format!("  {}", after.wait),
                    after.attempts.to_string(),
                    share(after.delivered, after.attempts),
                    costs(&after.cost_of_the_others),
                ]);
            }
            writeln!(out, "\n{}", waits.trim_fmt())?;
        }
        if self.backoff.without_times > 0 {
            writeln!(
                out,
                "  {} with several attempts: their calls have no times here; recordings have them (--from)",
                count(self.backoff.without_times, "job", "jobs")
            )?;
        }
        Ok(())
    }
}

impl GroupRow {
    /// One line for each currency.
    fn rows(&self) -> Vec<Vec<String>> {
        let Self { key, row } = self;
        let counts = &row.counts;
        let names = [Some(&key.provider), Some(&key.model), Some(&key.operation), key.service.as_ref()];
        let names = names.into_iter().chain([key.tenant.as_ref()]).flatten().filter(|name| !name.is_empty());
        let names = names.map(|name| visible::name(name)).collect::<Vec<_>>().join(" ");
        let per_job = counts.attempts_per_job();
        let head = [
            format!("  {names}"),
            row.jobs_per_day.round_dp(1).to_string(),
            share(counts.delivered(), counts.jobs),
            per_job.map(|each| each.round_dp(2).to_string()).unwrap_or_default(),
            counts.retries.to_string(),
            counts.timeout_resubmits.to_string(),
            counts.duplicates.to_string(),
            counts.timeouts.to_string(),
        ];
        let line = |money: [String; 3]| head.iter().cloned().chain(money).collect::<Vec<_>>();
        let mut rows = Vec::new();
        for (currency, Forecast { figures, range, .. }) in &row.forecast {
            let each = row.cost_per_delivered.get(currency).map_or("-".to_owned(), |each| amount(*each));
            let range = match range {
                Some(range) => shown(*range),
                None if figures.min == figures.max => "too few jobs".to_owned(),
                None => {
                    let (min, max) = (amount(figures.min), amount(figures.max));
                    format!("{min} to {max}, and chance: too few jobs")
                }
            };
            rows.push(line([each, format!("{} {}", visible(currency), amount(figures.expected)), range]));
        }
        if rows.is_empty() {
            let known = if counts.unpriced_jobs > 0 { "no price" } else { "nothing" };
            rows.push(line(["-".to_owned(), known.to_owned(), String::new()]));
        }
        rows
    }
}

impl WhatIfRow {
    fn human(&self, out: &mut impl Write, cost: &Money) -> io::Result<()> {
        let found = &self.found;
        writeln!(out, "  {}", name(found.limits))?;
        if found.saved.is_empty() {
            write!(out, "    saves nothing")?;
        } else {
            write!(out, "    saves {} of {}", costs(&found.saved), costs(cost))?;
            write!(out, "; of the forecast {}", costs(&self.saved_of_forecast))?;
        }
        let may = if found.may_be_lost > 0 {
            format!(", and maybe {} more", found.may_be_lost)
        } else {
            String::new()
        };
        write!(out, "\n    loses {} that delivered{may}", count(found.lost, "job", "jobs"))?;
        if !found.saved_per_lost_job.is_empty() {
            let each = found.saved_per_lost_job.iter();
            let each = each.map(|(currency, each)| format!("{} {}", visible(currency), amount(*each)));
            write!(out, ": {} saved for each", each.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(out)?;
        let attempts = count(found.attempts_not_made, "attempt", "attempts");
        writeln!(out, "    {attempts} and {} fewer", count_signed(found.polls_saved))?;
        if let Some(delay) = found.delay_seconds {
            let tasks = count(found.delayed, "polled task", "polled tasks");
            let word = if delay < Decimal::ZERO { "sooner" } else { "later" };
            writeln!(out, "    {tasks} seen {} s {word} on average", delay.abs())?;
        }
        if !found.spent_on_given_up.is_empty() {
            let cost = costs(&found.spent_on_given_up);
            writeln!(out, "    tasks that are given up cost {cost} all the same")?;
        }
        if found.not_judged > 0 {
            writeln!(
                out,
                "    {} not judged: their calls have no times here; recordings have them (--from)",
                count(found.not_judged, "job", "jobs")
            )?;
        }
        Ok(())
    }
}

fn count_signed(polls: i64) -> String {
    format!("{polls} {}", if polls == 1 { "poll" } else { "polls" })
}

fn name(limits: Limits) -> String {
    let seconds = |ms: i64| Decimal::new(ms, 3).normalize();
    let Limits { max_attempts, timeout_ms, poll_every_ms } = limits;
    let parts = [
        max_attempts.map(|attempts| format!("at most {}", count(attempts as u64, "attempt", "attempts"))),
        timeout_ms.map(|ms| format!("tasks given up after {} s", seconds(ms))),
        poll_every_ms.map(|ms| format!("polls every {} s", seconds(ms))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn spread(Spread { min, median, max }: Spread) -> [String; 3] {
    [median, min, max].map(|seconds| format!("{seconds:.1} s"))
}

/// Cents from a hundred on, four decimals below.
fn amount(figure: Decimal) -> String {
    let places = if figure.abs() < LARGE { 4 } else { 2 };
    let rounded = figure.round_dp(places);
    format!("{rounded:.*}", places as usize)
}

fn with_bound(Figures { min, expected, max }: Figures) -> String {
    let expected = amount(expected);
    if min == max { expected } else { format!("{expected} ({} to {})", amount(min), amount(max)) }
}

fn costs(money: &Money) -> String {
    if money.is_empty() {
        return "-".to_owned();
    }
    let costs =
        money.iter().map(|(currency, figures)| format!("{} {}", visible(currency), with_bound(*figures)));
    costs.collect::<Vec<_>>().join(", ")
}

fn shown(Range { low, high }: Range) -> String {
    format!("{} to {}", amount(low), amount(high))
}

fn share(part: u64, of: u64) -> String {
    Decimal::from(part).checked_div(Decimal::from(of)).map_or("-".to_owned(), percent)
}

fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
