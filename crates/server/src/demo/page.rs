//! Reads the server's own page of metrics, as Prometheus would: what the demo shows is what a dashboard would
//! show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

use rust_decimal::Decimal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: Decimal,
}

/// A page of metrics.
#[derive(Clone, Debug, Default)]
pub struct Page {
    samples: Vec<Sample>,
}

impl Page {
    /// Fetches and reads `/metrics`.
    pub async fn fetch(address: SocketAddr) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer ends with the connection, and is not sent in chunks.
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if head.split(' ').nth(1) != Some("200") {
            let line = head.lines().next().unwrap_or_default();
            return Err(std::io::Error::other(format!("/metrics at {address} answered {line:?}")));
        }
        Ok(Self::parse(body))
    }

    /// Reads the text format. Lines that are no sample with a finite value are passed over.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { samples: lines.filter_map(sample).collect() }
    }

    /// Sum of a metric over all its label sets that have these values.
    pub fn sum(&self, name: &str, having: &[(&str, &str)]) -> Decimal {
        self.by(name, &[], having).into_values().sum()
    }

    /// A counter less its reversals, summed by some of its labels. `name` is without `_total`.
    pub fn net(
        &self,
        name: &str,
        labels: &[&str],
        having: &[(&str, &str)],
    ) -> BTreeMap<Vec<String>, Decimal> {
        let mut sums = self.by(&format!("{name}_total"), labels, having);
        for (key, value) in self.by(&format!("{name}_reversed_total"), labels, having) {
            *sums.entry(key).or_default() -= value;
        }
        sums.retain(|_, value| !value.is_zero());
        sums
    }

    /// Sums of a metric by some of its labels, over the label sets that have these values.
    pub fn by(&self, name: &str, labels: &[&str], having: &[(&str, &str)]) -> BTreeMap<Vec<String>, Decimal> {
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            if having.iter().all(|(label, value)| sample.label(label) == *value) {
                let key = labels.iter().map(|label| sample.label(label).to_owned()).collect::<Vec<_>>();
                *sums.entry(key).or_insert(Decimal::ZERO) += sample.value;
            }
        }
        sums
    }
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = Vec::new();
    let value = match rest.strip_prefix('{') {
        None => rest,
        Some(mut rest) => loop {
            if let Some(after) = rest.strip_prefix('}') {
                break after;
            }
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after;
        },
    };
    let value = value.split_whitespace().next()?;
    let value = Decimal::from_str(value).or_else(|_| Decimal::from_scientific(value)).ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            _ => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP spantally_cost_total Expected cost.
# TYPE spantally_cost_total counter
spantally_cost_total{provider="fal",model="a\"b\\c",currency="USD",cause="retry"} 0.1
spantally_cost_total{provider="luma",model="",currency="USD",cause="retry"} 0.2
spantally_cost_total{provider="luma",model="",currency="USD",cause="delivered"} 1e1
spantally_cost_reversed_total{provider="luma",model="",currency="USD",cause="delivered"} 2.5
spantally_open_jobs 3
broken{
not_a_number NaN
"#;

    #[test]
    fn sums_are_exact_and_reversals_are_taken_off() {
        let page = Page::parse(TEXT);
        let by_cause = page.net("spantally_cost", &["cause"], &[("currency", "USD")]);
        let value = |cause: &str| by_cause[&vec![cause.to_owned()]].to_string();
        assert_eq!(value("retry"), "0.3");
        assert_eq!(value("delivered"), "7.5");
        assert_eq!(page.sum("spantally_open_jobs", &[]), Decimal::from(3));
        assert!(page.net("spantally_cost", &["cause"], &[("currency", "EUR")]).is_empty());
    }

    #[test]
    fn label_values_are_unescaped() {
        let page = Page::parse(TEXT);
        assert_eq!(page.sum("spantally_cost_total", &[("model", "a\"b\\c")]), Decimal::new(1, 1));
    }
}
