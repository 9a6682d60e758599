//! One text for one set of labels, whatever the configuration was when it was written.
//!
//! A label with an empty value and no label at all are the same to whoever reads a page, and so are labels in
//! another order. If two texts stood for one set, a page would have a sample twice, and Prometheus would keep
//! one of the two. So the extra labels are written in the order of their names and only where they have a
//! value, and what an earlier process wrote otherwise is brought to that form when it is taken back.
//!
//! The common labels always stand, in front and in one order; a metric's own come last.

use std::borrow::Cow;

use super::inventory::{INVENTORY, Metric};

/// The labels that every metric about jobs has, in their order.
pub(crate) const COMMON: [&str; 5] = ["provider", "model", "operation", "service", "tenant"];

/// Labels that scrapers, formats and the overflow set give a meaning of their own.
const TAKEN: [&str; 5] = ["le", "quantile", "job", "instance", super::labels::OVERFLOW_LABEL];

/// What a label of this name would be taken for; none when it can be an extra label.
pub(crate) fn taken_by(name: &str) -> Option<String> {
    if COMMON.contains(&name) {
        return Some("every metric about jobs has it".to_owned());
    }
    if TAKEN.contains(&name) || name.starts_with("__") {
        return Some("Prometheus or OpenTelemetry gives it a meaning of its own".to_owned());
    }
    let has = |metric: &&Metric| metric.labels.iter().any(|label| label.name == name);
    INVENTORY.iter().find(has).map(|metric| format!("{} has it", metric.name))
}

/// The labels of a series of a metric in the form in which this version writes them.
pub(crate) fn of_series<'t>(metric: &Metric, text: &'t str) -> Cow<'t, str> {
    if metric.common { canonical(text, metric.labels.len()) } else { Cow::Borrowed(text) }
}

/// A text of common labels, extra ones and `own` labels of a metric in the form in which this version writes
/// it. What does not begin with the common labels is left as it is.
pub(crate) fn canonical(text: &str, own: usize) -> Cow<'_, str> {
    let pairs = pairs(text);
    let starts = |(pair, name): (&&str, &str)| name_of(pair) == name;
    let Some(end) = pairs.len().checked_sub(own).filter(|end| *end > COMMON.len()) else {
        return Cow::Borrowed(text);
    };
    if !pairs.iter().zip(COMMON).all(starts) {
        return Cow::Borrowed(text);
    }
    let extra = &pairs[COMMON.len()..end];
    let mut kept: Vec<&str> = extra.iter().copied().filter(|pair| !pair.ends_with("=\"\"")).collect();
    // Of configurations that are refused by now: no page may have a name twice.
    kept.retain(|pair| taken_by(name_of(pair)).is_none());
    kept.sort_by_key(name_of);
    kept.dedup_by_key(|pair| name_of(pair));
    if kept == extra {
        return Cow::Borrowed(text);
    }
    let parts = [&pairs[..COMMON.len()], &kept, &pairs[end..]];
    Cow::Owned(parts.concat().join(","))
}

/// Whose a set of labels is: its service and tenant, as they are written. None of what is not about jobs, or
/// is past the limit on label sets.
pub(crate) fn owner_of(text: &str) -> Option<String> {
    let pairs = pairs(text);
    let owner = pairs.get(3..5)?;
    owner.iter().zip(&COMMON[3..]).all(|(pair, name)| name_of(pair) == *name).then(|| owner.join(","))
}

/// The same of a row of the ledger.
pub(crate) fn owner(service: &str, tenant: &str) -> String {
    let mut text = String::new();
    for (name, value) in COMMON[3..].iter().zip([service, tenant]) {
        super::labels::push_label(&mut text, name, value);
    }
    text
}

fn name_of<'t>(pair: &&'t str) -> &'t str {
    pair.split('=').next().unwrap_or_default()
}

/// Each `name="value"` of a text. Quotes in values are escaped.
fn pairs(text: &str) -> Vec<&str> {
    let (mut pairs, mut start) = (Vec::with_capacity(12), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                pairs.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        pairs.push(&text[start..]);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: &str = r#"provider="fal",model="",operation="",service="",tenant="""#;

    #[test]
    fn equal_sets_are_one_text() {
        for (extra, own, kept) in [
            ("", r#",cause="retry""#, ""),
            (r#",team="""#, r#",cause="retry",basis="""#, ""),
            (r#",team="a",env="""#, "", r#",team="a""#),
            (r#",team="a,b=\"",env="c\\""#, r#",cause="retry""#, r#",env="c\\",team="a,b=\"""#),
            (r#",cause="x",team="a",team="b""#, r#",cause="retry""#, r#",team="a""#),
        ] {
            let text = [FRONT, extra, own].concat();
            let labels = own.matches('=').count();
            assert_eq!(canonical(&text, labels), [FRONT, kept, own].concat(), "{text}");
        }
    }

    #[test]
    fn what_has_no_common_labels_is_left_alone() {
        for text in ["", r#"otel_metric_overflow="true",cause="""#, r#"provider="fal",bound="min""#] {
            assert_eq!(canonical(text, 0), text);
        }
    }

    #[test]
    fn every_label_of_a_page_is_taken() {
        for name in ["tenant", "cause", "currency", "le", "job", "instance", "quantile", "__name__"] {
            assert!(taken_by(name).is_some(), "{name}");
        }
        for name in ["team", "deployment_environment_name", "cause_of"] {
            assert_eq!(taken_by(name), None);
        }
    }
}
