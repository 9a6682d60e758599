//! JSON that is not OTLP traces, and what it is instead.
//!
//! Such a file is easily taken for the right one: the Collector writes logs and metrics in the same way, and
//! tracing backends give out JSON of their own. In all of them OTLP would ignore every key, and the report
//! would say that there was nothing.

use std::fmt;

/// The key that an OTLP/JSON trace request has.
const EXPECTED: &str = "resourceSpans";

/// Keys by which other JSON is known, and what it is.
const KNOWN: [(&str, &str); 8] = [
    ("resourceLogs", "these are OTLP logs"),
    ("resourceMetrics", "these are OTLP metrics"),
    ("resourceProfiles", "these are OTLP profiles"),
    ("resource_spans", "OTLP/JSON has its keys in lowerCamelCase"),
    ("batches", "this is a trace as Grafana Tempo gives it out"),
    ("trace", "this is a trace as Grafana Tempo gives it out"),
    ("data", "this is a trace as Jaeger gives it out"),
    ("job_id", "this is a job that Spantally found, not the spans that it was found in"),
];

/// Keys that are named.
const NAMED: usize = 8;

/// An object of another kind, by its keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Foreign {
    keys: Vec<String>,
}

impl Foreign {
    /// Of an object with these keys; none if it may be a trace request. An empty one is: it has no span.
    pub(super) fn of(keys: Vec<String>) -> Option<Self> {
        (!keys.is_empty() && !keys.iter().any(|key| key == EXPECTED)).then_some(Self { keys })
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.keys.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if self.keys.len() > NAMED { ", …" } else { "" };
        write!(
            f,
            "expected an OTLP trace request, which has the key {EXPECTED}; found the keys {named}{more}"
        )?;
        let known = KNOWN.iter().find(|(key, _)| self.keys.iter().any(|own| own == key));
        known.map_or(Ok(()), |(_, words)| write!(f, " ({words})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_json_is_told_by_its_keys() {
        for (keys, expected) in [
            (&[][..], None),
            (&["resourceSpans"][..], None),
            (&["resourceSpans", "own"][..], None),
            (&["resourceLogs"][..], Some("found the keys resourceLogs (these are OTLP logs)")),
            (
                &["data", "total"][..],
                Some("found the keys data, total (this is a trace as Jaeger gives it out)"),
            ),
            (&["resource_spans"][..], Some("(OTLP/JSON has its keys in lowerCamelCase)")),
            (&["own"][..], Some("found the keys own")),
        ] {
            let found = Foreign::of(keys.iter().map(|&key| key.to_owned()).collect());
            let found = found.map(|foreign| foreign.to_string());
            match expected {
                None => assert_eq!(found, None),
                Some(words) => {
                    assert!(found.as_deref().is_some_and(|text| text.ends_with(words)), "{found:?}");
                }
            }
        }
    }
}
