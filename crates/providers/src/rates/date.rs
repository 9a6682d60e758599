//! Days, as provider files write them: `2026-11-20`, from midnight UTC.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use spantally_stitch::UnixNanos;

/// A day; its value is its first moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub UnixNanos);

const NANOS_PER_DAY: u64 = 86_400_000_000_000;

impl Day {
    /// A day written as `2026-11-20`, from 1970 on.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = |len: usize| {
            let part = parts.next().filter(|part| part.len() == len)?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u64>().ok())?
        };
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        let is_last = parts.next().is_none();
        let good = is_last && (1970..=2500).contains(&year) && (1..=12).contains(&month);
        if !good || day == 0 || day > days_in(year, month) {
            return None;
        }
        let days = days_before_year(year) - days_before_year(1970)
            + (1..month).map(|month| days_in(year, month)).sum::<u64>()
            + day
            - 1;
        Some(Self(UnixNanos(days * NANOS_PER_DAY)))
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before_year(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a day such as 2026-11-20")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_the_epoch() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("1970-12-31", Some(364)),
            ("2000-02-29", Some(11_016)),
            ("2000-03-01", Some(11_017)),
            ("2026-11-20", Some(20_777)),
            ("2100-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-11-00", None),
            ("1969-12-31", None),
            ("2026-11-20T00:00:00Z", None),
            ("26-11-20", None),
            ("", None),
            ("2026-11-20-1", None),
        ] {
            let expected = days.map(|days: u64| Day(UnixNanos(days * NANOS_PER_DAY)));
            assert_eq!(Day::parse(text), expected, "{text}");
        }
    }
}
