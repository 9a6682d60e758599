//! Calendar periods in a time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use spantally_stitch::UnixNanos;

/// How long a budget's period is. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodKind {
    /// From midnight to midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first of a month.
    Month,
    /// From the first of January, April, July, October.
    Quarter,
    /// From the first of January.
    Year,
}

impl PeriodKind {
    /// Every value.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Start, and end (which is the start of the next), of the period that holds a moment.
    pub(super) fn around(self, moment: UnixNanos, zone: &TimeZone) -> (UnixNanos, UnixNanos) {
        let found = Timestamp::from_nanosecond(i128::from(moment.0)).and_then(|at| {
            let first = self.first_day(at.to_zoned(zone.clone()).date())?;
            let next = first.checked_add(self.length())?;
            Ok((midnight(first, zone)?, midnight(next, zone)?))
        });
        // Nanoseconds since 1970 in 64 bits end in 2554, far within the calendar: a day is never missing.
        found.unwrap_or((moment, UnixNanos(u64::MAX)))
    }

    fn first_day(self, day: Date) -> Result<Date, jiff::Error> {
        match self {
            Self::Day => Ok(day),
            Self::Week => day.checked_sub(Span::new().days(i64::from(day.weekday().to_monday_zero_offset()))),
            Self::Month => Ok(day.first_of_month()),
            Self::Quarter => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1),
            Self::Year => Ok(day.first_of_year()),
        }
    }

    fn length(self) -> Span {
        match self {
            Self::Day => Span::new().days(1),
            Self::Week => Span::new().weeks(1),
            Self::Month => Span::new().months(1),
            Self::Quarter => Span::new().months(3),
            Self::Year => Span::new().years(1),
        }
    }
}

/// The first moment of a day, which in some places is not 0:00 when clocks change.
fn midnight(day: Date, zone: &TimeZone) -> Result<UnixNanos, jiff::Error> {
    let nanos = day.to_zoned(zone.clone())?.start_of_day()?.timestamp().as_nanosecond();
    Ok(UnixNanos(u64::try_from(nanos).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixNanos {
        UnixNanos(text.parse::<Timestamp>().unwrap().as_nanosecond().try_into().unwrap())
    }

    #[test]
    fn periods_follow_the_calendar_of_their_place() {
        for (kind, zone, moment, start, end) in [
            (PeriodKind::Day, "UTC", "2026-11-25T15:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
            (PeriodKind::Week, "UTC", "2026-11-25T15:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (
                PeriodKind::Month,
                "UTC",
                "2026-02-28T23:59:59Z",
                "2026-02-01T00:00:00Z",
                "2026-03-01T00:00:00Z",
            ),
            (
                PeriodKind::Quarter,
                "UTC",
                "2026-12-31T00:00:00Z",
                "2026-10-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (PeriodKind::Year, "UTC", "2028-02-29T00:00:00Z", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z"),
            // Already the next month in Berlin, which is an hour ahead in winter.
            (
                PeriodKind::Month,
                "Europe/Berlin",
                "2026-11-30T23:30:00Z",
                "2026-11-30T23:00:00Z",
                "2026-12-31T23:00:00Z",
            ),
            // The day on which clocks went forward has 23 hours.
            (
                PeriodKind::Day,
                "America/New_York",
                "2026-03-08T12:00:00Z",
                "2026-03-08T05:00:00Z",
                "2026-03-09T04:00:00Z",
            ),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            assert_eq!(kind.around(at(moment), &zone), (at(start), at(end)), "{kind:?} {moment}");
        }
    }

    #[test]
    fn a_moment_is_in_the_period_that_begins_with_it() {
        let (start, end) = PeriodKind::Month.around(at("2026-11-01T00:00:00Z"), &TimeZone::UTC);
        assert_eq!((start, end), (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")));
        assert_eq!(PeriodKind::Month.around(end, &TimeZone::UTC).0, end);
    }
}
