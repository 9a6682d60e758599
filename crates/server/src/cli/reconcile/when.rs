//! Times of an export: a moment or a day, and the period that it covers.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Serialize, Serializer};

/// When a row of an export is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A moment.
    Moment(Timestamp),
    /// A whole day.
    Day(Date),
}

/// From one moment to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Period {
    /// First moment.
    #[serde(serialize_with = "as_text")]
    pub from: Timestamp,
    /// First moment after it.
    #[serde(serialize_with = "as_text")]
    pub until: Timestamp,
}

fn as_text<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}

/// Numbers are seconds since 1970, unless they are so large that they would be thousands of years away: then
/// thousandths, millionths, or thousand millionths of one.
const SCALES: [(i64, i64); 3] =
    [(100_000_000_000, 1), (100_000_000_000_000, 1_000), (100_000_000_000_000_000, 1_000_000)];

impl When {
    /// Reads what an export says: RFC 3339, a day, a date and a time of the zone, or a number since 1970.
    pub(super) fn parse(text: &str, zone: &TimeZone) -> Option<Self> {
        let text = text.trim();
        if let Some(number) = text.parse::<Decimal>().ok().filter(|_| !text.contains(':')) {
            return moment(number).map(Self::Moment);
        }
        if text.len() == "2026-11-20".len() {
            return text.parse().ok().map(Self::Day);
        }
        // Databases write the zone as a word.
        let utc = text.strip_suffix(" UTC").map(|text| format!("{}Z", text.trim_end()));
        if let Ok(moment) = utc.as_deref().unwrap_or(text).parse() {
            return Some(Self::Moment(moment));
        }
        let local: DateTime = text.parse().ok()?;
        local.to_zoned(zone.clone()).ok().map(|zoned| Self::Moment(zoned.timestamp()))
    }

    /// The day in a zone.
    pub(super) fn day(self, zone: &TimeZone) -> Date {
        match self {
            Self::Moment(moment) => day_of(moment, zone),
            Self::Day(day) => day,
        }
    }

    /// All that it may mean: of a moment its second, as many exports write no more.
    pub(super) fn period(self, zone: &TimeZone) -> Option<Period> {
        match self {
            Self::Moment(from) => Some(Period { from, until: from.checked_add(1.second()).ok()? }),
            Self::Day(day) => Some(Period {
                from: day.to_zoned(zone.clone()).ok()?.timestamp(),
                until: day.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
            }),
        }
    }
}

impl Period {
    /// The shortest that has both.
    pub(super) fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }

    /// Whether a moment is in it.
    pub(super) fn contains(&self, moment: Timestamp) -> bool {
        (self.from..self.until).contains(&moment)
    }
}

/// The day of a moment in a zone.
pub(super) fn day_of(moment: Timestamp, zone: &TimeZone) -> Date {
    moment.to_zoned(zone.clone()).date()
}

fn moment(number: Decimal) -> Option<Timestamp> {
    let scale = |(most, scale): &(i64, i64)| (number.abs() < Decimal::from(*most)).then_some(*scale);
    let per_second = SCALES.iter().find_map(scale).unwrap_or(1_000_000_000);
    let nanos = number.checked_mul(Decimal::from(1_000_000_000 / per_second))?.to_i128()?;
    Timestamp::from_nanosecond(nanos).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn times_are_read_as_exports_write_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (text, expected) in [
            ("2026-11-20T10:00:00Z", Some("2026-11-20T10:00:00Z")),
            ("2026-11-20T10:00:00.5+02:00", Some("2026-11-20T08:00:00.5Z")),
            ("2026-11-20 10:00:00", Some("2026-11-20T09:00:00Z")),
            ("2026-11-20T10:00:00", Some("2026-11-20T09:00:00Z")),
            ("2026-11-20 10:00:00 UTC", Some("2026-11-20T10:00:00Z")),
            ("1795168800", Some("2026-11-20T10:00:00Z")),
            ("1795168800.25", Some("2026-11-20T10:00:00.25Z")),
            ("1795168800000", Some("2026-11-20T10:00:00Z")),
            ("1795168800000000", Some("2026-11-20T10:00:00Z")),
            ("1795168800000000000", Some("2026-11-20T10:00:00Z")),
            ("20.11.2026", None),
            ("yesterday", None),
            ("99999999999999999999999999", None),
            ("", None),
        ] {
            let found = When::parse(text, &zone);
            let expected = expected.map(|text| When::Moment(text.parse().unwrap()));
            assert_eq!(found, expected, "{text}");
        }
        let day = When::parse("2026-11-20", &zone).unwrap();
        assert_eq!(day, When::Day("2026-11-20".parse().unwrap()));
        let period = day.period(&zone).unwrap();
        assert_eq!(period.from.to_string(), "2026-11-19T23:00:00Z");
        assert!(period.contains(period.from) && !period.contains(period.until));
        let late = When::parse("2026-11-20T23:30:00Z", &zone).unwrap();
        assert_eq!(late.day(&zone).to_string(), "2026-11-21");
    }
}
