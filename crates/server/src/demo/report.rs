//! The truth beside what was found, with the differences: the demo's last word.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rust_decimal::Decimal;
use spantally_stitch::{Cause, Outcome};

use super::finding::Finding;
use super::summary::money;
use super::truth::{Totals, Truth};

/// The currency of the truth.
const CURRENCY: &str = "USD";

/// The comparison as text.
pub fn compare(truth: &Truth, finding: &Finding) -> String {
    let totals = truth.totals();
    let mut out = String::new();
    let _ = writeln!(out, "{:<34}{:>12}{:>12}{:>12}", "", "truth", "found", "difference");
    let mut row = |name: &str, truth: u64, found: u64| {
        let difference = found.cast_signed() - truth.cast_signed();
        let _ = writeln!(out, "{name:<34}{truth:>12}{found:>12}{:>12}", signed(difference));
    };
    row("spans sent / received", truth.spans + truth.repeated_spans, finding.spans);
    row("jobs", totals.jobs, finding.jobs());
    row("attempts", totals.attempts, finding.attempts());
    row("polls", totals.polls, finding.polls);
    row("webhook deliveries", totals.webhooks, finding.webhooks);
    for &outcome in Outcome::ALL {
        let count =
            |counts: &std::collections::BTreeMap<Outcome, u64>| counts.get(&outcome).copied().unwrap_or(0);
        let (truth, found) = (count(&totals.outcomes), count(&finding.outcomes));
        if truth + found > 0 {
            row(&format!("jobs {outcome}"), truth, found);
        }
    }
    for &cause in Cause::ALL {
        let count =
            |counts: &std::collections::BTreeMap<Cause, u64>| counts.get(&cause).copied().unwrap_or(0);
        let (truth, found) = (count(&totals.causes), count(&finding.causes));
        if truth + found > 0 {
            row(&format!("attempts {cause}"), truth, found);
        }
    }
    out.push_str(&money_rows(&totals, finding));
    out.push_str(&explanation(truth, &totals, finding));
    out
}

fn money_rows(totals: &Totals, finding: &Finding) -> String {
    let mut out = String::new();
    let found = finding.spend.get(CURRENCY).cloned().unwrap_or_default();
    let causes: BTreeSet<Cause> = totals.cost.keys().chain(found.by_cause.keys()).copied().collect();
    let mut row = |name: &str, truth: Decimal, found: Decimal| {
        let difference = money(found - truth);
        let sign = if found > truth { "+" } else { "" };
        let _ = writeln!(
            out,
            "{name:<34}{:>12}{:>12}{:>12}",
            money(truth),
            money(found),
            format!("{sign}{difference}")
        );
    };
    for cause in causes {
        let of = |costs: &std::collections::BTreeMap<Cause, Decimal>| {
            costs.get(&cause).copied().unwrap_or_default()
        };
        row(&format!("{CURRENCY} {cause}"), of(&totals.cost), of(&found.by_cause));
    }
    let truth: Decimal = totals.cost.values().sum();
    row(&format!("{CURRENCY} in all"), truth, found.total());
    let inside = found.bound.min <= truth && truth <= found.bound.max;
    let _ = writeln!(
        out,
        "The server puts the invoice between {} and {} {CURRENCY}; it is {}, {} these bounds.",
        money(found.bound.min),
        money(found.bound.max),
        money(truth),
        if inside { "within" } else { "OUTSIDE" }
    );
    for (currency, spend) in finding.spend.iter().filter(|(currency, _)| *currency != CURRENCY) {
        let _ = writeln!(out, "Beside that, {} {currency}.", money(spend.total()));
    }
    out
}

/// Why the two columns differ where nothing is wrong.
fn explanation(truth: &Truth, totals: &Totals, finding: &Finding) -> String {
    let hidden = truth
        .jobs
        .iter()
        .flat_map(|job| &job.attempts)
        .filter(|attempt| attempt.created && attempt.accepted == spantally_stitch::Accepted::Ambiguous);
    let hidden = hidden.count();
    let unverified = finding.outcomes.get(&Outcome::Unknown).copied().unwrap_or(0);
    let mut out = String::from("\n");
    let _ = writeln!(
        out,
        "{} of {} tasks were made behind a time-out or a 500: no span shows them, so they are a bound.",
        hidden, totals.tasks
    );
    if unverified > 0 {
        let _ = writeln!(
            out,
            "{unverified} jobs are unknown: their polls answer 200 for success and failure alike, and no span says \
             more.\nTheir money is `unverified`; an attribute with the outcome on the application's span settles it."
        );
    }
    if finding.open_jobs > 0 {
        let _ = writeln!(out, "{} jobs are still open: no span has ended them.", finding.open_jobs);
    }
    if finding.unpriced_jobs > 0 {
        let _ = writeln!(out, "{} jobs have no price: no span names their model.", finding.unpriced_jobs);
    }
    out
}

fn signed(difference: i64) -> String {
    if difference > 0 { format!("+{difference}") } else { difference.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::page::Page;
    use crate::demo::play::Pace;
    use crate::demo::traffic::{Settings, Traffic};
    use spantally_stitch::UnixNanos;

    fn truth() -> Truth {
        let start = UnixNanos(1_795_000_000_000_000_000);
        let mut traffic = Traffic::new(Settings {
            seed: 3,
            start,
            jobs_per_second: 5.0,
            pace: Pace { compress: 30 },
            noise_per_job: 0.0,
            resend_share: 0.0,
        });
        traffic.advance(start.plus_ms(30_000));
        traffic.truth().clone()
    }

    #[test]
    fn a_server_that_finds_all_of_it_differs_in_nothing() {
        let truth = truth();
        let totals = truth.totals();
        let mut page = format!("spantally_spans_received_total {}\n", truth.spans);
        for (outcome, count) in &totals.outcomes {
            let _ = writeln!(page, "spantally_jobs_total{{outcome=\"{outcome}\"}} {count}");
        }
        for (cause, count) in &totals.causes {
            let _ = writeln!(page, "spantally_attempts_total{{cause=\"{cause}\"}} {count}");
        }
        for (cause, cost) in &totals.cost {
            let _ = writeln!(page, "spantally_cost_total{{currency=\"USD\",cause=\"{cause}\"}} {cost}");
        }
        let cost: Decimal = totals.cost.values().sum();
        for bound in ["min", "max"] {
            let _ = writeln!(page, "spantally_cost_bound_total{{currency=\"USD\",bound=\"{bound}\"}} {cost}");
        }
        let _ = writeln!(page, "spantally_calls_total{{call=\"poll\"}} {}", totals.polls);
        let _ = writeln!(page, "spantally_calls_total{{call=\"webhook\"}} {}", totals.webhooks);
        let text = compare(&truth, &Finding::read(&Page::parse(&page)));
        for line in text.lines().skip(1).take_while(|line| !line.starts_with("The server")) {
            let difference = line.split_whitespace().last().unwrap_or_default();
            assert!(matches!(difference, "0" | "0.00"), "{line}");
        }
        assert!(text.contains("within these bounds"), "{text}");
    }

    #[test]
    fn a_server_that_finds_nothing_is_told_so() {
        let truth = truth();
        let text = compare(&truth, &Finding::default());
        assert!(text.contains(&format!(
            "{:>12}{:>12}{:>12}",
            truth.totals().jobs,
            0,
            format!("-{}", truth.jobs.len())
        )));
        assert!(text.contains("OUTSIDE these bounds"), "{text}");
    }
}
