//! The time that jobs are taken from, and how much more of it the forecast is for.
//!
//! `--since` and `--until` bound it, by the start of a job. Beyond what the source has there is no idle time
//! but nothing known: a ledger of three days does not make thirty of them cheap. So the period begins at the
//! first job that counts, unless an earlier job shows that the source reaches further back, and ends with the
//! last call of the last one, unless a later job does.

use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use serde::Serialize;

use super::super::jobs::duration_ms;
use crate::cli::job_doc::{JobDoc, unix_ms};

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;
/// Decimals of what a figure is multiplied by: so few that products stay exact, so many that the error is
/// below one unit in a thousand million.
const FACTOR_DECIMALS: u32 = 12;

/// A moment on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Milliseconds since 1970.
    At(i64),
    /// Milliseconds before the end of what there is.
    Before(i64),
}

impl Moment {
    /// Reads a day, a time, or how long ago it was.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(time.as_millisecond()));
        }
        let is_day =
            text.parse::<civil::Date>().is_ok() && text.starts_with(|first: char| first.is_ascii_digit());
        if let Some(midnight) = is_day.then(|| unix_ms(&format!("{text}T00:00:00Z"))).flatten() {
            return Ok(Self::At(midnight));
        }
        let expected = "expected a day (2026-11-20), a time (2026-11-20T10:00:00Z), or how long ago (7d)";
        duration_ms(text).map(Self::Before).map_err(|_| expected.to_owned())
    }

    fn unix_ms(self, now_ms: i64) -> i64 {
        match self {
            Self::At(ms) => ms,
            Self::Before(ms) => now_ms.saturating_sub(ms),
        }
    }
}

/// The period as jobs come in, in any order.
#[derive(Debug)]
pub(super) struct Seen {
    since: i64,
    until: i64,
    is_earlier: bool,
    is_later: bool,
    first: i64,
    last: i64,
}

impl Seen {
    pub(super) fn new(since: Option<Moment>, until: Option<Moment>, now_ms: i64) -> Self {
        let since = since.map_or(i64::MIN, |since| since.unix_ms(now_ms));
        let until = until.map_or(i64::MAX, |until| until.unix_ms(now_ms));
        Self { since, until, is_earlier: false, is_later: false, first: i64::MAX, last: i64::MIN }
    }

    /// Notes a job, whether or not it is asked for otherwise. Whether it is of the period.
    pub(super) fn takes(&mut self, job: &JobDoc) -> bool {
        let start = job.started_ms();
        self.is_earlier |= start < self.since;
        self.is_later |= start >= self.until;
        let is_in = (self.since..self.until).contains(&start);
        if is_in {
            self.first = self.first.min(start);
            self.last = self.last.max(start).max(unix_ms(&job.ended_at).unwrap_or(start));
        }
        is_in
    }

    /// The period; none without a job in it.
    pub(super) fn period(&self) -> Option<Period> {
        if self.first > self.last {
            return None;
        }
        let from = if self.is_earlier { self.since } else { self.first };
        let until = if self.is_later { self.until } else { self.last };
        // One call may have taken no time at all.
        Some(Period { from, until: until.max(from.saturating_add(1)) })
    }
}

/// The time that jobs were taken from, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub from: i64,
    pub until: i64,
}

impl Period {
    pub(super) fn days(self) -> Decimal {
        let ms = Decimal::from(self.until.saturating_sub(self.from));
        ms.checked_div(Decimal::from(DAY_MS)).unwrap_or_default()
    }
}

/// How many jobs there will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Volume {
    /// So many times as many a day as there were.
    Times(Decimal),
    /// So many a day.
    JobsPerDay(Decimal),
}

impl Volume {
    /// By what the figures of the period are multiplied for so many days; none past the range of decimals.
    pub(super) fn factor(self, days: Decimal, period: Period, jobs: u64) -> Option<Decimal> {
        let factor = match self {
            Self::Times(times) => {
                let ms = times.checked_mul(days)?.checked_mul(Decimal::from(DAY_MS))?;
                ms.checked_div(Decimal::from(period.until.saturating_sub(period.from)))?
            }
            Self::JobsPerDay(a_day) => a_day.checked_mul(days)?.checked_div(Decimal::from(jobs))?,
        };
        Some(factor.round_dp(FACTOR_DECIMALS).normalize())
    }
}
