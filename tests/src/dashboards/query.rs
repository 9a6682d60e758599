//! PromQL from metric names and labels.
//!
//! A later revision may lower what a job cost: the amount goes to a second counter, `..._reversed_total`.
//! What a user wants to see is the difference, so [`Net`] always asks for both.

use std::fmt::Write as _;

use super::palette::PAST_LIMIT;

/// Labels by which every query follows the variables.
pub const FOLLOWED: [&str; 7] = ["job", "instance", "provider", "model", "operation", "service", "tenant"];

/// A selector that follows the variables and has further matchers.
pub fn selector(metric: &str, matchers: &str) -> String {
    following(&FOLLOWED, metric, matchers)
}

/// The same for a metric that has no label but those of the scrape.
pub fn own(metric: &str, matchers: &str) -> String {
    following(&FOLLOWED[..2], metric, matchers)
}

/// The same for a metric that knows its provider and no more.
pub fn of_provider(metric: &str, matchers: &str) -> String {
    following(&FOLLOWED[..3], metric, matchers)
}

/// Series whose labels stay apart by `by`: those past the limit of label sets have none of the common labels,
/// and are named so, since an empty label is one that no span tells.
pub fn apart(by: &[&str], series: &str) -> String {
    let common = by.iter().filter(|label| FOLLOWED[2..].contains(label));
    common.fold(series.to_owned(), |series, label| {
        format!("label_replace({series}, \"{label}\", \"{PAST_LIMIT}\", \"otel_metric_overflow\", \"true\")")
    })
}

/// The same, given as one text and added up.
fn summed(by: &str, series: &str) -> String {
    let labels: Vec<&str> = by.split(", ").collect();
    format!("sum by ({by}) ({})", apart(&labels, series))
}

fn following(labels: &[&str], metric: &str, matchers: &str) -> String {
    let mut text = format!("{metric}{{");
    for (index, label) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // writing to a String cannot fail
        let _ = write!(text, "{comma}{label}=~\"${label}\"");
    }
    if !matchers.is_empty() {
        text.push(',');
        text.push_str(matchers);
    }
    text.push('}');
    text
}

/// How a counter's growth is taken.
#[derive(Clone, Copy, Debug)]
pub enum Growth {
    /// What was added within the dashboard's time range.
    InRange,
    /// The same, as long before as the variable *Compare with* says.
    InRangeBefore,
    /// Per second, over the panel's resolution.
    PerSecond,
    /// Per second, over three hours: ratios of what is rare are a comb over less.
    Lately,
    /// Per second, over the quarter of an hour that the alert on retry storms looks at.
    AsInStorms,
    /// Per hour, over the panel's resolution.
    PerHour,
}

/// Growth of a counter less the growth of its reversals.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    /// Metric name without `_total`.
    pub metric: &'static str,
    /// Matchers beside the variables, for example `cause="retry"`.
    pub matchers: &'static str,
    /// How growth is taken.
    pub growth: Growth,
    /// Labels that stay; none sums everything up.
    pub by: &'static [&'static str],
}

impl Net {
    /// The query.
    pub fn query(self) -> String {
        let reversed = format!("{}_reversed", self.metric);
        let sides = format!("{} - {}", self.side(self.metric), self.side(&reversed));
        match self.growth {
            Growth::PerHour => format!("({sides}) * 3600"),
            Growth::InRange
            | Growth::InRangeBefore
            | Growth::PerSecond
            | Growth::Lately
            | Growth::AsInStorms => sides,
        }
    }

    fn side(self, metric: &str) -> String {
        let by = if self.by.is_empty() { String::new() } else { format!(" by ({})", self.by.join(", ")) };
        let (function, range) = match self.growth {
            Growth::InRange => ("increase", "[$__range]"),
            Growth::InRangeBefore => ("increase", "[$__range] offset $compare"),
            Growth::PerSecond | Growth::PerHour => ("rate", "[$__rate_interval]"),
            Growth::Lately => ("rate", "[3h]"),
            Growth::AsInStorms => ("rate", "[15m]"),
        };
        let counter = selector(&format!("{metric}_total"), self.matchers);
        let grown = apart(self.by, &format!("{function}({counter}{range})"));
        format!("sum{by} ({grown})")
    }
}

/// Growth of a counter within the time range, less its reversals.
pub fn in_range(metric: &'static str, matchers: &'static str, by: &'static [&'static str]) -> String {
    Net { metric, matchers, growth: Growth::InRange, by }.query()
}

/// Growth of a counter over time, less its reversals, in an hour.
pub fn per_hour(metric: &'static str, matchers: &'static str, by: &'static [&'static str]) -> String {
    Net { metric, matchers, growth: Growth::PerHour, by }.query()
}

/// Growth of a counter over time, less its reversals, in a second: for ratios.
pub fn per_second(metric: &'static str, matchers: &'static str, by: &'static [&'static str]) -> String {
    Net { metric, matchers, growth: Growth::PerSecond, by }.query()
}

/// Growth of a counter over three hours, less its reversals, in a second: for ratios of what is rare.
pub fn lately(metric: &'static str, matchers: &'static str, by: &'static [&'static str]) -> String {
    Net { metric, matchers, growth: Growth::Lately, by }.query()
}

/// Growth of a counter over a quarter of an hour, less its reversals, in a second: what the alert on retry
/// storms counts.
pub fn as_in_storms(metric: &'static str, matchers: &'static str, by: &'static [&'static str]) -> String {
    Net { metric, matchers, growth: Growth::AsInStorms, by }.query()
}

/// A quantile of a histogram over time, of the series that further matchers leave, by the labels given.
/// Where nothing was observed it is NaN, which would break the line of a graph: the comparison leaves it out.
pub fn quantile(q: &str, histogram: &str, matchers: &str, window: &str, by: &str) -> String {
    let buckets = selector(&format!("{histogram}_bucket"), matchers);
    let by = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
    format!("histogram_quantile({q}, {}) >= 0", summed(&by, &format!("rate({buckets}[{window}])")))
}

/// The buckets of a histogram within a time. OpenMetrics writes `1.0`, people read `1`.
pub fn buckets(histogram: &str, window: &str) -> String {
    let buckets = selector(&format!("{histogram}_bucket"), "");
    let growth = format!("increase({buckets}[{window}])");
    format!("sum by (le) (label_replace({growth}, \"le\", \"$1\", \"le\", \"(.+)[.]0\"))")
}

/// The mean of a histogram over time, by the labels that are given.
pub fn mean(histogram: &str, window: &str, by: &str) -> String {
    let part = |part: &str| {
        let counter = selector(&format!("{histogram}_{part}"), "");
        summed(by, &format!("rate({counter}[{window}])"))
    };
    ratio(&part("sum"), &format!("{} > 0", part("count")))
}

/// One query over another; 0 over 0 is shown as no value, not as 0.
pub fn ratio(part: &str, whole: &str) -> String {
    format!("({part}) / ({whole})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_net_query_takes_reversals_away() {
        let net = Net {
            metric: "spantally_cost",
            matchers: "cause=\"retry\"",
            growth: Growth::PerHour,
            by: &["provider"],
        };
        let followed: Vec<String> = FOLLOWED.map(|label| format!("{label}=~\"${label}\"")).to_vec();
        let followed = followed.join(",");
        let side = |metric: &str| {
            let grown = format!("rate({metric}{{{followed},cause=\"retry\"}}[$__rate_interval])");
            format!(
                "sum by (provider) (label_replace({grown}, \"provider\", \"others past the label limit\", \
                 \"otel_metric_overflow\", \"true\"))"
            )
        };
        let expected =
            format!("({} - {}) * 3600", side("spantally_cost_total"), side("spantally_cost_reversed_total"));
        assert_eq!(net.query(), expected);
    }
}
