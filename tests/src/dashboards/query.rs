//! PromQL from metric names and labels.
//!
//! A later revision may lower what a job cost: the amount goes to a second counter, `..._reversed_total`.
//! What a user wants to see is the difference, so [`Net`] always asks for both.

use std::fmt::Write as _;

/// Labels by which every query follows the variables.
pub const FOLLOWED: [&str; 5] = ["job", "instance", "provider", "model", "service"];

/// A selector that follows the variables and has further matchers.
pub fn selector(metric: &str, matchers: &str) -> String {
    let mut text = format!("{metric}{{");
    for (index, label) in FOLLOWED.iter().enumerate() {
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
    /// Per second, over the panel's resolution.
    PerSecond,
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
            Growth::InRange | Growth::PerSecond => sides,
        }
    }

    fn side(self, metric: &str) -> String {
        let by = if self.by.is_empty() { String::new() } else { format!(" by ({})", self.by.join(", ")) };
        let (function, range) = match self.growth {
            Growth::InRange => ("increase", "$__range"),
            Growth::PerSecond | Growth::PerHour => ("rate", "$__rate_interval"),
        };
        let counter = selector(&format!("{metric}_total"), self.matchers);
        format!("sum{by} ({function}({counter}[{range}]))")
    }
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
            format!("sum by (provider) (rate({metric}{{{followed},cause=\"retry\"}}[$__rate_interval]))")
        };
        let expected =
            format!("({} - {}) * 3600", side("spantally_cost_total"), side("spantally_cost_reversed_total"));
        assert_eq!(net.query(), expected);
    }
}
