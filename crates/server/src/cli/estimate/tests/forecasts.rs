//! Periods, sums, ranges.

use proptest::prelude::*;

use super::*;
use crate::cli::estimate::base::Group;
use crate::cli::estimate::forecast::{Range, Scale};
use crate::cli::estimate::money::{Figures, part};
use crate::cli::estimate::period::{DAY_MS, Moment, Seen, Volume};
use crate::cli::estimate::report::{Asked, Counting, Report};
use crate::cli::estimate::unknowns::Unknowns;
use crate::cli::estimate::what_if::Limits;

fn figures(min: &str, expected: &str, max: &str) -> Figures {
    Figures { min: dec(min), expected: dec(expected), max: dec(max) }
}

fn asked(volume: Volume, days: i64) -> Asked {
    Asked { volume, days: days.into(), by: Vec::new(), limits: Limits::default() }
}

fn report(jobs: &[JobDoc], asked: &Asked) -> Report {
    let mut counting = Counting::new(asked, None, None, 0);
    for job in jobs {
        counting.add(job, true, None);
    }
    counting.finish(asked).1.unwrap()
}

#[test]
fn a_part_of_a_job_has_the_bound_of_what_is_not_sure_in_it() {
    let sure = (0, "retry", "1", "documented");
    let unsure = (1, "delivered", "2", "assumed");
    let other = (2, "duplicate", "4", "assumed");
    for (charges, cost, attempt, expected) in [
        // The job is 3 (2 to 6): what is sure is exactly 1, the other one 2 (1 to 5).
        (&[sure, unsure][..], "2 6", 0, Some(("1", "1", "1"))),
        (&[sure, unsure], "2 6", 1, Some(("1", "2", "5"))),
        // Two are not sure. The job is 7 (2 to 9): either may be 5 less, but not below nothing, or 2 more.
        (&[sure, unsure, other], "2 9", 1, Some(("0", "2", "4"))),
        (&[sure, unsure, other], "2 9", 2, Some(("0", "4", "6"))),
        // Nobody says what makes the bound, so it may be any.
        (&[sure], "0 3", 0, Some(("0", "1", "3"))),
        (&[sure], "1 1", 1, None),
    ] {
        let job = job(0, 1, "succeeded", &[], charges, cost);
        let found = part(&job, |charge| charge.attempt == attempt).get("USD").copied();
        let expected = expected.map(|(min, expected, max)| figures(min, expected, max));
        assert_eq!(found, expected, "{charges:?} {attempt}");
    }
}

/// Charges that say their own bound leave nothing to share out: of the job, and of what is not known of it.
#[test]
fn a_part_of_a_job_has_the_bounds_of_its_charges() {
    let charges = [(0, "retry", "1", "assumed"), (1, "delivered", "2", "assumed")];
    let mut job = job(0, 1, "succeeded", &[], &charges, "2 6");
    job.charges[0].cost_min = Some(dec("0"));
    job.charges[1].cost_max = Some(dec("5"));
    let of = |attempt| part(&job, |charge| charge.attempt == attempt)["USD"];
    assert_eq!((of(0), of(1)), (figures("0", "1", "1"), figures("2", "2", "5")));
    let mut unknowns = Unknowns::default();
    job.charges[1].rule = "clips/second".to_owned();
    unknowns.add(&job);
    let rows = unknowns.finish(Decimal::TWO);
    let widths: Vec<_> = rows.iter().map(|row| (row.rules.len(), row.width, row.width_of_forecast)).collect();
    assert_eq!(widths, [(1, dec("3"), dec("6")), (1, dec("1"), dec("2"))]);
}

#[test]
fn an_unverified_charge_is_not_sure_though_it_is_documented() {
    let charges = [(0, "unverified", "2", "documented"), (1, "poll", "1", "documented")];
    let mut job = job(0, 1, "unknown", &[], &charges, "1 3");
    "unverified".clone_into(&mut job.charges[0].policy);
    let of = |attempt| part(&job, |charge| charge.attempt == attempt)["USD"];
    assert_eq!((of(0), of(1)), (figures("0", "2", "2"), figures("1", "1", "1")));
}

#[test]
fn what_is_not_known_adds_up_to_the_width_of_the_total() {
    let both = [(0, "failed", "1", "assumed"), (1, "delivered", "2", "assumed")];
    let mut several = job(0, 1, "succeeded", &[], &both, "1 6");
    "clips/failed".clone_into(&mut several.charges[0].policy);
    let one = |cost| job(0, 1, "failed", &[], &[(0, "failed", "1", "assumed")], cost);
    let jobs = [several, one("0 1"), one("0 3"), delivered(0, "5")];
    let report = report(&jobs, &asked(Volume::JobsPerDay(dec("4")), 10));
    let rows = report.unknowns.iter().map(|row| {
        let figures = [row.width, row.width_of_forecast, row.cheapest_job].map(|figure| figure.to_string());
        (row.rules.join(" and "), row.jobs, figures.join(" "))
    });
    // Ten times as many jobs are to come.
    let two = "clips/clip by clips/failed and clips/clip by clips/success".to_owned();
    let alone = "clips/clip by clips/success".to_owned();
    assert_eq!(rows.collect::<Vec<_>>(), [(two, 1, "5 50 6".to_owned()), (alone, 2, "4 40 1".to_owned())]);
    let Figures { min, max, .. } = report.total.cost["USD"];
    assert_eq!(max - min, dec("9"));
}

#[test]
fn the_range_by_chance_is_that_of_the_jobs_that_differ() {
    // 15 jobs at 1 and 15 at 3: mean 2, sum of squares around it 30, variance of the mean 30 / 30 / 29. Ten
    // times as many are 300 jobs: 600, off by 300 x sqrt(30 / 870 x (1 + 30 / 300)) x 2.045 = 119.484594.
    let mut group = Group::default();
    (0..30).for_each(|number| group.add(&delivered(number, if number % 2 == 0 { "1" } else { "3" })));
    let scale = Scale { factor: dec("10"), days: dec("10"), seen_days: dec("1") };
    let forecast = &group.forecast(scale)["USD"];
    assert_eq!(forecast.figures, figures("600", "600", "600"));
    let range = Range { low: dec("480.515406"), high: dec("719.484594") };
    assert_eq!((forecast.chance, forecast.range), (Some(range), Some(range)));
}

#[test]
fn what_is_not_known_and_chance_make_the_range_together() {
    // All alike, 1 (0 to 2): chance does nothing, and not to the bounds either.
    let mut group = Group::default();
    let unsure = job(0, 1, "succeeded", &[], &[(0, "delivered", "1", "assumed")], "0 2");
    (0..30).for_each(|_| group.add(&unsure));
    let scale = Scale { factor: dec("2"), days: dec("2"), seen_days: dec("1") };
    let forecast = &group.forecast(scale)["USD"];
    assert_eq!(forecast.figures, figures("0", "60", "120"));
    assert_eq!(forecast.chance, Some(Range { low: dec("60"), high: dec("60") }));
    assert_eq!(forecast.range, Some(Range { low: dec("0"), high: dec("120") }));
}

#[test]
fn a_bad_day_is_one_witness_and_not_as_many_as_its_jobs() {
    // Seven days of five jobs at 1, on the last one at 4: 50 in all. The days are away from their share of it
    // by 12.857143 and six times -2.142857: squares 192.857143, x 7 / 6 / 35^2 = 0.183673 for the mean, where
    // jobs alone have 0.032413. Seven more days: 35 x sqrt(0.183673 x 2) x 2.447 = 51.908709.
    let mut group = Group::default();
    for number in 0..35 {
        let day = number / 5;
        group.add(&delivered(day * DAY_MS + number, if day == 6 { "4" } else { "1" }));
    }
    let scale = Scale { factor: dec("1"), days: dec("7"), seen_days: dec("7") };
    let chance = group.forecast(scale)["USD"].chance.unwrap();
    assert_eq!((chance.low, chance.high), (dec("0"), dec("101.908709")));
}

#[test]
fn of_few_jobs_there_is_no_range_and_it_is_said() {
    let jobs = |count: i64| (0..count).map(|number| delivered(number, "1")).collect::<Vec<_>>();
    for (count, has_range) in [(29, false), (30, true)] {
        let report = report(&jobs(count), &asked(Volume::Times(dec("1")), 30));
        assert_eq!(report.total.forecast["USD"].range.is_some(), has_range, "{count}");
        let says = report.assumed.iter().any(|line| line.contains("too few to say what chance does"));
        assert_eq!(says, !has_range, "{count}");
    }
}

#[test]
fn the_period_is_no_longer_than_the_source_shows() {
    let (since, until) = (Some(Moment::At(DAY)), Some(Moment::At(DAY + 10_000)));
    // starts of jobs, which last a second | since, until | from, until, jobs in it
    for (starts, since, until, expected) in [
        (&[2_000, 5_000][..], None, None, Some((2_000, 6_000, 2))),
        (&[2_000, 5_000], since, until, Some((2_000, 6_000, 2))),
        (&[2_000, 5_000, 20_000], since, until, Some((2_000, 10_000, 2))),
        (&[2_000, 5_000, 20_000], Some(Moment::At(DAY + 4_000)), until, Some((4_000, 10_000, 1))),
        (&[2_000, 5_000], Some(Moment::Before(3_000)), None, Some((3_000, 6_000, 1))),
        (&[20_000], since, until, None),
        (&[], None, None, None),
    ] {
        let mut seen = Seen::new(since, until, DAY + 6_000);
        let jobs = starts.iter().filter(|start| seen.takes(&delivered(**start, "1"))).count();
        let found = seen.period().map(|period| (period.from - DAY, period.until - DAY, jobs));
        assert_eq!(found, expected, "{starts:?} {since:?} {until:?}");
    }
}

#[test]
fn moments_are_days_times_or_how_long_ago() {
    for (text, expected) in [
        ("2026-11-20", Some(Moment::At(DAY))),
        ("2026-11-20T00:00:01Z", Some(Moment::At(DAY + 1000))),
        ("7d", Some(Moment::Before(7 * DAY_MS))),
        ("yesterday", None),
        ("2026-13-20", None),
    ] {
        assert_eq!(Moment::parse(text).ok(), expected, "{text}");
    }
}

#[test]
fn jobs_a_day_stand_in_for_the_pace_that_was_seen() {
    // Two jobs for 3 within a minute; 100 a day for 30 days are 3000 jobs, so 4500.
    let jobs = [delivered(0, "1"), delivered(59_000, "2")];
    let report = report(&jobs, &asked(Volume::JobsPerDay(dec("100")), 30));
    assert_eq!((report.factor, report.jobs_to_come), (dec("1500"), dec("3000")));
    assert_eq!(report.total.forecast["USD"].figures.expected, dec("4500"));
    assert!(!report.assumed.iter().any(|line| line.contains("hours are like")), "{:?}", report.assumed);
}

#[test]
fn a_job_without_a_price_is_counted_and_no_zero() {
    let mut none = delivered(500, "1");
    none.cost.clear();
    none.charges.clear();
    none.unpriced = serde_json::from_value(json!([{"attempt":0,"reason":"no_price"}])).unwrap();
    let jobs = [delivered(0, "1"), none];
    let report = report(&jobs, &asked(Volume::Times(dec("1")), 1));
    assert_eq!((report.total.counts.jobs, report.total.counts.unpriced_jobs), (2, 1));
    assert!(report.assumed.iter().any(|line| line.starts_with("1 of 2 jobs have")), "{:?}", report.assumed);
}

/// What failed is paid by what was delivered; what nobody knows of is neither.
#[test]
fn a_delivered_job_costs_what_failed_as_well() {
    let failed = [(0, "failed", "2", "documented")];
    let failed = job(0, 1_000, "failed", &["yes failed failed 0 t"], &failed, "2 2");
    let unknown = [(0, "unverified", "4", "assumed")];
    let unknown = job(0, 1_000, "unknown", &["yes unknown unverified 0 t"], &unknown, "0 4");
    let jobs = [delivered(0, "3"), delivered(0, "5"), failed, unknown];
    let report = report(&jobs, &asked(Volume::Times(dec("1")), 1));
    assert_eq!(report.total.cost["USD"].expected, dec("14"));
    assert_eq!(report.total.cost_per_delivered["USD"], dec("5"));
    let none = self::report(&jobs[2..], &asked(Volume::Times(dec("1")), 1));
    assert!(none.total.cost_per_delivered.is_empty(), "nothing was delivered");
}

#[derive(Clone, Debug)]
struct Made {
    start: i64,
    model: u8,
    /// By cause: which, what is expected in millionths, what it may be less, what it may be more.
    charges: Vec<(usize, i64, i64, i64)>,
}

fn made() -> impl Strategy<Value = Made> {
    let charge = (0..4_usize, 0..50_000_000_i64, 0..1_000_i64, 0..1_000_i64);
    (0..5 * DAY_MS, 0..3_u8, proptest::collection::vec(charge, 0..4))
        .prop_map(|(start, model, charges)| Made { start: start + DAY_MS, model, charges })
}

fn made_job(made: &Made) -> JobDoc {
    const CAUSES: [&str; 4] = ["delivered", "retry", "duplicate", "unverified"];
    let millionths = |figure: i64| Decimal::new(figure, 6).to_string();
    let texts: Vec<_> = made.charges.iter().map(|charge| millionths(charge.1)).collect();
    let charges = made.charges.iter().zip(&texts).enumerate();
    let charges: Vec<ChargeText> =
        charges.map(|(place, (charge, text))| (place, CAUSES[charge.0], text.as_str(), "assumed")).collect();
    let of = |figure: fn(&(usize, i64, i64, i64)) -> i64| millionths(made.charges.iter().map(figure).sum());
    let cost = format!("{} {}", of(|charge| (charge.1 - charge.2).max(0)), of(|charge| charge.1 + charge.3));
    let cost = if charges.is_empty() { "" } else { &cost };
    let mut job = job(made.start, made.start + 1, "succeeded", &[], &charges, cost);
    job.model = made.model.to_string();
    job
}

proptest! {
    /// Causes and groups add up to the total, before and after; the same volume for the same days is what was
    /// booked, to the last digit; the order of jobs changes nothing.
    #[test]
    fn nothing_is_lost_on_the_way(made in proptest::collection::vec(made(), 1..60), times in 1..40_i64) {
        let days = |day: i64| Some(Moment::At(DAY + day * DAY_MS));
        let run = |jobs: &mut dyn Iterator<Item = JobDoc>, times: Decimal| {
            let asked = asked(Volume::Times(times), 5);
            let mut counting = Counting::new(&asked, days(1), days(6), 0);
            // One before and one after, so that the source is seen to reach over the five days.
            [delivered(0, "7"), delivered(6 * DAY_MS, "7")].into_iter().chain(jobs)
                .for_each(|job| counting.add(&job, true, None));
            counting.finish(&asked).1.unwrap()
        };
        let same = run(&mut made.iter().map(made_job), Decimal::ONE);
        prop_assert_eq!(same.factor, Decimal::ONE);
        prop_assert_eq!(same.total.counts.jobs, made.len() as u64);
        for (currency, forecast) in &same.total.forecast {
            prop_assert_eq!(forecast.figures, same.total.cost[currency]);
        }
        let more = run(&mut made.iter().map(made_job), Decimal::new(times, 1));
        for (currency, forecast) in &more.total.forecast {
            let expected = forecast.figures.expected;
            let causes: Decimal = forecast.causes.values().map(|part| part.expected).sum();
            let groups = more.groups.iter().filter_map(|group| group.row.forecast.get(currency));
            let groups: Decimal = groups.map(|forecast| forecast.figures.expected).sum();
            let booked: i64 = made.iter().flat_map(|job| &job.charges).map(|charge| charge.1).sum();
            prop_assert_eq!(expected, Decimal::new(booked, 6) * Decimal::new(times, 1));
            prop_assert_eq!((causes, groups), (expected, expected));
        }
        let back = run(&mut made.iter().rev().map(made_job), Decimal::new(times, 1));
        prop_assert_eq!(serde_json::to_string(&more).unwrap(), serde_json::to_string(&back).unwrap());
    }
}
