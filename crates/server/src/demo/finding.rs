//! What the server found, read from its page of metrics: the same sums that its dashboards show.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use spantally_stitch::{Cause, Outcome};

use super::page::Page;

/// Least and most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Least.
    pub min: Decimal,
    /// Most.
    pub max: Decimal,
}

/// Money in one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Expected cost of settled jobs by cause.
    pub by_cause: BTreeMap<Cause, Decimal>,
    /// Least and most that settled jobs may have cost.
    pub bound: Range,
    /// What may still appear on the invoice, at most.
    pub exposure: Decimal,
}

impl Spend {
    /// Of all causes together.
    pub fn total(&self) -> Decimal {
        self.by_cause.values().sum()
    }

    /// Of the causes that a predicate picks.
    pub fn of(&self, pick: impl Fn(Cause) -> bool) -> Decimal {
        self.by_cause.iter().filter(|(cause, _)| pick(**cause)).map(|(_, cost)| *cost).sum()
    }
}

/// What the server found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Spans received.
    pub spans: u64,
    /// Settled jobs by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Attempts of settled jobs by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Polls of settled jobs.
    pub polls: u64,
    /// Webhook deliveries of settled jobs.
    pub webhooks: u64,
    /// Jobs that have not settled.
    pub open_jobs: u64,
    /// Settled jobs with an attempt that has no price.
    pub unpriced_jobs: u64,
    /// Money by currency.
    pub spend: BTreeMap<String, Spend>,
}

impl Finding {
    /// Reads the page.
    pub fn read(page: &Page) -> Self {
        let net = |name: &str, label: &str| count_by(page, name, label, &[]);
        let calls =
            |call: &str| count_by(page, "spantally_calls", "call", &[("call", call)]).into_values().sum();
        Self {
            spans: count(page.sum("spantally_spans_received_total", &[])),
            outcomes: parsed(net("spantally_jobs", "outcome"), Outcome::parse),
            causes: parsed(net("spantally_attempts", "cause"), Cause::parse),
            polls: calls("poll"),
            webhooks: calls("webhook"),
            open_jobs: count(page.sum("spantally_open_jobs", &[])),
            unpriced_jobs: net("spantally_unpriced_jobs", "reason").into_values().sum(),
            spend: spend(page),
        }
    }

    /// Settled jobs.
    pub fn jobs(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Attempts of settled jobs.
    pub fn attempts(&self) -> u64 {
        self.causes.values().sum()
    }
}

fn count(value: Decimal) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn count_by(page: &Page, name: &str, label: &str, having: &[(&str, &str)]) -> BTreeMap<String, u64> {
    let sums = page.net(name, &[label], having).into_iter();
    sums.map(|(key, value)| (key.concat(), count(value))).collect()
}

fn parsed<K: Ord>(counts: BTreeMap<String, u64>, parse: impl Fn(&str) -> Option<K>) -> BTreeMap<K, u64> {
    counts.into_iter().filter_map(|(word, count)| Some((parse(&word)?, count))).collect()
}

fn spend(page: &Page) -> BTreeMap<String, Spend> {
    let mut spend = BTreeMap::<String, Spend>::new();
    for (key, cost) in page.net("spantally_cost", &["currency", "cause"], &[]) {
        if let [currency, cause] = &key[..]
            && let Some(cause) = Cause::parse(cause)
        {
            spend.entry(currency.clone()).or_default().by_cause.insert(cause, cost);
        }
    }
    for (key, value) in page.net("spantally_cost_bound", &["currency", "bound"], &[]) {
        if let [currency, bound] = &key[..] {
            let range = &mut spend.entry(currency.clone()).or_default().bound;
            *if bound == "min" { &mut range.min } else { &mut range.max } = value;
        }
    }
    for (key, value) in page.by("spantally_exposure", &["currency"], &[("bound", "max")]) {
        if !value.is_zero() {
            spend.entry(key.concat()).or_default().exposure = value;
        }
    }
    spend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_what_a_dashboard_shows() {
        let page = Page::parse(
            r#"spantally_spans_received_total{transport="grpc"} 90
spantally_jobs_total{provider="fal",outcome="succeeded"} 4
spantally_jobs_total{provider="luma",outcome="succeeded"} 2
spantally_jobs_reversed_total{provider="luma",outcome="succeeded"} 1
spantally_jobs_total{provider="luma",outcome="unknown"} 3
spantally_attempts_total{provider="fal",cause="retry",accepted="no"} 2
spantally_attempts_total{provider="fal",cause="delivered",accepted="yes"} 5
spantally_calls_total{call="poll",status="2xx"} 40
spantally_calls_total{call="poll",status="5xx"} 2
spantally_cost_total{currency="USD",cause="delivered",basis="documented"} 1.5
spantally_cost_total{currency="USD",cause="duplicate",basis="documented"} 0.25
spantally_cost_total{currency="USD",cause="unverified",basis="assumed"} 0.25
spantally_cost_bound_total{currency="USD",bound="min"} 1.6
spantally_cost_bound_total{currency="USD",bound="max"} 3
spantally_exposure{currency="USD",bound="max"} 0.7
"#,
        );
        let finding = Finding::read(&page);
        assert_eq!((finding.spans, finding.jobs(), finding.attempts(), finding.polls), (90, 8, 7, 42));
        assert_eq!(finding.outcomes[&Outcome::Succeeded], 5);
        let usd = &finding.spend["USD"];
        assert_eq!(usd.total(), Decimal::from(2));
        assert_eq!(usd.of(Cause::is_waste), Decimal::new(25, 2));
        assert_eq!(usd.bound, Range { min: Decimal::new(16, 1), max: Decimal::from(3) });
        assert_eq!(usd.exposure, Decimal::new(7, 1));
    }
}
