//! The report: one pass over the jobs, then every figure of it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_stitch::UnixNanos;

use super::backoff::Backoff;
use super::base::{By, Counts, Group, Key};
use super::forecast::{Forecast, JOBS_MIN, Scale};
use super::money::Money;
use super::period::{Moment, Period, Seen, Volume};
use super::times::Times;
use super::unknowns::{Unknown, Unknowns};
use super::what_if::{Limits, WhatIf};
use crate::cli::job_doc::JobDoc;
use crate::job_calls::JobCalls;
use crate::job_json::Rfc3339;
use crate::replay::report::count;

/// Decimals of a rate.
const RATE_DECIMALS: u32 = 6;

/// What is asked of the jobs.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub volume: Volume,
    pub days: Decimal,
    pub by: Vec<By>,
    pub limits: Limits,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub from: String,
    pub until: String,
    /// How long that is, for people; in days; and days (UTC) with a job in them.
    #[serde(skip)]
    pub length: String,
    pub seen_days: Decimal,
    pub days_with_jobs: u64,
    pub volume: Volume,
    pub days: Decimal,
    /// By what the figures of the period are multiplied, and how many jobs that makes.
    pub factor: Decimal,
    pub jobs_to_come: Decimal,
    pub total: Row,
    pub groups: Vec<GroupRow>,
    /// What makes the range wide, the widest first.
    pub unknowns: Vec<Unknown>,
    pub what_if: Vec<WhatIfRow>,
    pub backoff: Backoff,
    /// What was taken for given, in words.
    pub assumed: Vec<String>,
}

/// Jobs, as they were and as they will be.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub counts: Counts,
    pub jobs_per_day: Decimal,
    pub cost: Money,
    /// What was spent, but for jobs of which nobody knows whether they delivered, by each that did.
    pub cost_per_delivered: BTreeMap<String, Decimal>,
    pub causes: BTreeMap<String, Money>,
    pub forecast: BTreeMap<String, Forecast>,
}

#[derive(Debug, Serialize)]
pub(super) struct GroupRow {
    #[serde(flatten)]
    pub key: Key,
    #[serde(flatten)]
    pub row: Row,
}

#[derive(Debug, Serialize)]
pub(super) struct WhatIfRow {
    #[serde(flatten)]
    pub found: WhatIf,
    /// What is saved of the forecast, and how many jobs of it are lost.
    pub saved_of_forecast: Money,
    pub lost_of_forecast: Decimal,
}

impl Row {
    fn new(group: Group, seen_days: Decimal, scale: Scale) -> Self {
        let forecast = group.forecast(scale);
        let each = |(currency, cost): (&String, &super::money::Figures)| {
            let unverified = group.causes.get(currency).and_then(|causes| causes.get("unverified"));
            let unverified = unverified.map(|part| part.expected).unwrap_or_default();
            let delivered = group.delivered.get(currency).copied().unwrap_or_default();
            let each = cost.expected.saturating_sub(unverified).checked_div(Decimal::from(delivered))?;
            Some((currency.clone(), rate(each)))
        };
        let cost_per_delivered = group.cost.iter().filter_map(each).collect();
        let jobs_per_day = Decimal::from(group.counts.jobs).checked_div(seen_days).unwrap_or_default();
        Self {
            jobs_per_day: rate(jobs_per_day),
            cost_per_delivered,
            forecast,
            counts: group.counts,
            cost: group.cost,
            causes: group.causes,
        }
    }

    /// Expected forecast, for the order of a list.
    fn weight(&self) -> Decimal {
        self.forecast.values().map(|forecast| forecast.figures.expected).max().unwrap_or_default()
    }
}

fn rate(figure: Decimal) -> Decimal {
    figure.round_dp(RATE_DECIMALS).normalize()
}

/// The report in the making.
#[derive(Debug)]
pub(super) struct Counting {
    all: u64,
    seen: Seen,
    by: Vec<By>,
    total: Group,
    groups: BTreeMap<Key, Group>,
    what_if: Vec<WhatIf>,
    backoff: Backoff,
    unknowns: Unknowns,
    has_credits: bool,
}

impl Counting {
    pub(super) fn new(asked: &Asked, since: Option<Moment>, until: Option<Moment>, now_ms: i64) -> Self {
        Self {
            all: 0,
            seen: Seen::new(since, until, now_ms),
            by: asked.by.clone(),
            total: Group::default(),
            groups: BTreeMap::new(),
            what_if: asked.limits.variants().into_iter().map(WhatIf::new).collect(),
            backoff: Backoff::default(),
            unknowns: Unknowns::default(),
            has_credits: false,
        }
    }

    /// Takes a settled job, whatever the order. `is_asked_for` says whether it counts if it is of the period.
    pub(super) fn add(&mut self, job: &JobDoc, is_asked_for: bool, calls: Option<&JobCalls>) {
        self.all += 1;
        if !self.seen.takes(job) || !is_asked_for {
            return;
        }
        let times = calls.and_then(|calls| Times::of(calls, job.attempts.len()));
        self.total.add(job);
        self.groups.entry(Key::of(job, &self.by)).or_default().add(job);
        self.what_if.iter_mut().for_each(|what_if| what_if.add(job, times.as_deref()));
        self.backoff.add(job, times.as_deref());
        self.unknowns.add(job);
        self.has_credits |= job.charges.iter().any(|charge| charge.unit == "credit");
    }

    /// How many jobs there were of any kind, and the report unless none of them counts.
    pub(super) fn finish(self, asked: &Asked) -> (u64, Option<Report>) {
        (self.all, self.report(asked))
    }

    fn report(mut self, asked: &Asked) -> Option<Report> {
        let period = self.seen.period().filter(|_| self.total.counts.jobs > 0)?;
        let factor = asked.volume.factor(asked.days, period, self.total.counts.jobs)?;
        let seen_days = period.days();
        let scale = Scale { factor, days: asked.days, seen_days };
        let assumed = self.assumed(asked, period);
        self.backoff.finish();
        let groups = self.groups.into_iter();
        let groups = groups.map(|(key, group)| GroupRow { key, row: Row::new(group, seen_days, scale) });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.row.weight(), group.row.counts.jobs)));
        let what_if = self.what_if.into_iter().map(|mut found| {
            found.finish();
            let saved = found.saved.iter().map(|(currency, saved)| (currency.clone(), saved.scaled(factor)));
            WhatIfRow {
                saved_of_forecast: saved.collect(),
                lost_of_forecast: rate(Decimal::from(found.lost).saturating_mul(factor)),
                found,
            }
        });
        Some(Report {
            from: time(period.from),
            until: time(period.until),
            length: length(period),
            seen_days: rate(seen_days),
            days_with_jobs: self.total.days(),
            volume: asked.volume,
            days: asked.days,
            factor,
            jobs_to_come: rate(Decimal::from(self.total.counts.jobs).saturating_mul(factor)),
            what_if: what_if.collect(),
            total: Row::new(self.total, seen_days, scale),
            groups,
            unknowns: self.unknowns.finish(factor),
            backoff: self.backoff,
            assumed,
        })
    }

    fn assumed(&self, asked: &Asked, period: Period) -> Vec<String> {
        let Counts { jobs, attempts, rate_limited, unpriced_jobs, .. } = &self.total.counts;
        let mut assumed = vec![
            "Failures, retries, prices and the mix of jobs stay as they were.".to_owned(),
            "Each job costs what it cost, however many there are: a price list has no volume discount, and a \
             free allowance of an account and month is not taken off."
                .to_owned(),
        ];
        if self.has_credits {
            assumed.push(
                "Credits are bought in the packs of now: a larger, cheaper pack is not assumed.".to_owned(),
            );
        }
        if *rate_limited > 0 {
            assumed.push(format!(
                "Rate limits grow with the volume: {rate_limited} of {} met one.",
                count(*attempts, "attempt", "attempts")
            ));
        }
        if matches!(asked.volume, Volume::Times(_)) {
            let (days, length) = (period.days(), length(period));
            if days < Decimal::ONE {
                assumed.push(format!(
                    "All hours are like the {length} that were seen; if not, say --jobs-per-day."
                ));
            } else if days < Decimal::from(7) {
                assumed.push(format!("All days are like the {length} that were seen, less than a week."));
            }
        }
        if *unpriced_jobs > 0 {
            assumed.push(format!(
                "{unpriced_jobs} of {} have an attempt without a price, whose cost is in no figure: it comes \
                 on top.",
                count(*jobs, "job", "jobs")
            ));
        }
        if self.total.with_cost < JOBS_MIN {
            assumed.push(format!(
                "{} with a known cost are too few to say what chance does: {JOBS_MIN} are needed.",
                count(self.total.with_cost, "job", "jobs")
            ));
        }
        assumed
    }
}

fn time(ms: i64) -> String {
    Rfc3339(UnixNanos(ms.unsigned_abs().saturating_mul(1_000_000))).to_string()
}

/// How long it is, in the largest unit of which there are two.
fn length(period: Period) -> String {
    let seconds = period.until.saturating_sub(period.from) / 1000;
    let units = [(86_400, "days"), (3_600, "h"), (60, "min")];
    let largest = units.into_iter().find(|(length, _)| seconds >= 2 * length);
    largest.map_or_else(|| format!("{seconds} s"), |(length, unit)| format!("{} {unit}", seconds / length))
}
