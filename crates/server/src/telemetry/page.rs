//! Reading a page of metrics in Prometheus text: ours, as it is pushed.

use opentelemetry::KeyValue;

/// Gives name, text of the labels and value of every sample to `visit`, but for the buckets of histograms,
/// which are not pushed. What is no sample is passed over.
pub(super) fn visit_samples(page: &[u8], mut visit: impl FnMut(&str, &str, f64)) {
    for line in String::from_utf8_lossy(page).lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, labels, value)) = read_sample(line)
            && !name.ends_with("_bucket")
        {
            visit(name, labels, value);
        }
    }
}

fn read_sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_at(labels_len(rest)?),
        None => ("", rest),
    };
    let value = rest.trim_start_matches('}').split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Bytes of labels up to the brace that closes them: one within quotes does not.
fn labels_len(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.bytes().position(|byte| {
        let is_quote = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_quoted ^= is_quote;
        byte == b'}' && !is_quoted
    })
}

/// The labels of a sample, out of their text.
pub(super) fn read_labels(mut rest: &str) -> Option<Vec<KeyValue>> {
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = unquote(after)?;
        labels.push(KeyValue::new(label.to_owned(), value));
        rest = after.trim_start_matches(',');
    }
    Some(labels)
}

/// The text up to its closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_sample_by_sample() {
        let page = "# HELP a_total A.\na_total{x=\"1\",y=\"b\\\"}c\\\\d\\ne\"} 2.5\nb 3\nc{} NaN 7\n\
                    broken{x=\"\nd_bucket{le=\"1\"} 5\n";
        let mut samples = Vec::new();
        visit_samples(page.as_bytes(), |name, labels, value| {
            samples.push((name.to_owned(), read_labels(labels), value.to_string()));
        });
        let labels = vec![KeyValue::new("x", "1"), KeyValue::new("y", "b\"}c\\d\ne")];
        let sample = |name: &str, labels, value: &str| (name.to_owned(), Some(labels), value.to_owned());
        let expected =
            [sample("a_total", labels, "2.5"), sample("b", vec![], "3"), sample("c", vec![], "NaN")];
        assert_eq!(samples, expected);
    }
}
