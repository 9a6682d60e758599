//! Jobs as lines of text: what a file expects, what was found, and the difference.
//!
//! A line is words (compared in order) and `key=value` pairs (compared only if the file names the key
//! anywhere). So a file says what it is about, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::tokens;

/// The words and pairs of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// What stands without `=`.
    pub words: Vec<String>,
    /// What stands with `=`.
    pub values: BTreeMap<String, String>,
}

/// A job: its own line, then its attempts, then its money.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// The lines under it.
    pub rest: Vec<Line>,
    /// `job OUTCOME`.
    pub job: Line,
}

/// Keys that count even where the file is silent: which spans an attempt has.
const ALWAYS: [&str; 8] = ["submit", "poll", "result", "cancel", "webhook", "download", "sync", "session"];
/// Lines of money count only if the file has one of their kind.
const OPTIONAL_LINES: [&str; 2] = ["cost", "unpriced"];

impl Line {
    /// Reads `word word key=value`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut line = Self::default();
        for token in tokens(text)? {
            match token.split_once('=') {
                Some((key, value)) => {
                    let value = if ALWAYS.contains(&key) { labels(value)? } else { value.to_owned() };
                    line.values.insert(key.to_owned(), value);
                }
                None => line.words.push(token),
            }
        }
        Ok(line)
    }

    /// A line of words.
    pub fn of(words: &[&str]) -> Self {
        Self { words: words.iter().map(|&word| word.to_owned()).collect(), values: BTreeMap::new() }
    }

    /// Adds a pair; an empty value is `-`.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        self.values.insert(key.to_owned(), if value.is_empty() { "-".to_owned() } else { value });
        self
    }

    fn text(&self) -> String {
        let words = self.words.iter().map(|word| format!("{word:<9}"));
        let values = self.values.iter().map(|(key, value)| format!("{key}={value}"));
        words.chain(values).collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }
}

/// `p1..p3` to `p1,p2,p3`, sorted.
fn labels(value: &str) -> Result<String, String> {
    let mut found = Vec::new();
    for part in value.split(',') {
        let Some((from, to)) = part.split_once("..") else {
            found.push(part.to_owned());
            continue;
        };
        let number =
            |label: &str| label.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
        let (Some(first), Some(last)) = (number(from), number(to)) else {
            return Err(format!("`{part}`: expected a range of labels such as p1..p9"));
        };
        let stem = from.trim_end_matches(|c: char| c.is_ascii_digit());
        found.extend((first..=last).map(|number| format!("{stem}{number}")));
    }
    Ok(join(found))
}

/// Labels in one order, whatever order they came in.
pub fn join(mut labels: Vec<String>) -> String {
    labels.sort();
    labels.join(",")
}

/// Leaves in `found` only what `expected` speaks of, so that the two can be compared.
pub fn reduce(found: &mut [Block], expected: &[Block]) {
    let lines = || expected.iter().flat_map(|block| std::iter::once(&block.job).chain(&block.rest));
    let job_keys: BTreeSet<&str> =
        expected.iter().flat_map(|block| block.job.values.keys()).map(String::as_str).collect();
    let keys: BTreeSet<&str> = expected
        .iter()
        .flat_map(|block| &block.rest)
        .flat_map(|line| line.values.keys())
        .map(String::as_str)
        .chain(ALWAYS)
        .collect();
    let kinds: BTreeSet<&str> = lines().filter_map(|line| line.words.first()).map(String::as_str).collect();
    for block in found.iter_mut() {
        block.job.values.retain(|key, _| job_keys.contains(key.as_str()));
        block.rest.retain(|line| {
            let kind = line.words.first().map_or("", String::as_str);
            !OPTIONAL_LINES.contains(&kind) || kinds.contains(kind)
        });
        for line in &mut block.rest {
            line.values.retain(|key, _| keys.contains(key.as_str()));
        }
    }
    found.sort();
}

fn text(blocks: &[Block]) -> Vec<String> {
    let mut lines = Vec::new();
    for block in blocks {
        lines.push(format!("=> {}", block.job.text()));
        lines.extend(block.rest.iter().map(|line| format!("     {}", line.text())));
    }
    lines
}

/// How `found` differs from `expected`, a line each; none when it does not.
pub fn difference(expected: &[Block], found: &[Block]) -> Option<String> {
    if expected == found {
        return None;
    }
    let (left, right) = (text(expected), text(found));
    let mut common = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i][j] = if left[i] == right[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < left.len() || j < right.len() {
        let (mark, line) = if i < left.len() && j < right.len() && left[i] == right[j] {
            (i, j) = (i + 1, j + 1);
            (" ", &left[i - 1])
        } else if j == right.len() || (i < left.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ("-", &left[i - 1])
        } else {
            j += 1;
            ("+", &right[j - 1])
        };
        out.extend(["  ", mark, " ", line, "\n"]);
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn block(job: &str, rest: &[&str]) -> Block {
        let rest = rest.iter().map(|line| Line::parse(line).unwrap()).collect();
        Block { job: Line::parse(job).unwrap(), rest }
    }

    #[test]
    fn only_what_the_file_speaks_of_is_compared() {
        let expected = [block("job failed", &["attempt yes failed submit=s poll=p1..p2 outcome=failed"])];
        let attempt = "attempt yes failed poll=p2,p1 submit=s outcome=failed model=m";
        let mut found = vec![block("job failed reason=quality", &[attempt, "cost failed 1 1 1 USD"])];
        reduce(&mut found, &expected);
        assert_eq!(difference(&expected, &found), None);
    }

    #[test]
    fn spans_always_count_and_a_difference_shows_both_sides() {
        let expected = [block("job failed", &["attempt yes failed submit=s"])];
        let mut found = vec![block("job failed", &["attempt yes failed poll=p submit=s"])];
        reduce(&mut found, &expected);
        let shown = difference(&expected, &found).unwrap();
        assert!(shown.contains("  - ") && shown.contains("  + ") && shown.contains("poll=p"), "{shown}");
    }
}
