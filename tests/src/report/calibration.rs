//! Of the joins that were said to be this sure, how many are right.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use spantally_stitch::{Confidence, Job};

use super::{Owners, judged};
use crate::truth::Truth;

/// Joins counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All.
    pub joins: usize,
    /// Those that joined what belongs together.
    pub right: usize,
}

impl Count {
    fn add(&mut self, right: bool) {
        self.joins += 1;
        self.right += usize::from(right);
    }

    /// The share that is right; none of nothing.
    pub fn share(self) -> Option<f64> {
        (self.joins > 0).then(|| self.right as f64 / self.joins as f64)
    }
}

/// How right joins are, by what was said of them.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// By the word.
    pub by_confidence: BTreeMap<Confidence, Count>,
    /// By the margin, in classes of nats; those without one apart.
    pub by_margin: BTreeMap<usize, Count>,
    /// By rule.
    pub by_rule: BTreeMap<&'static str, Count>,
}

/// Lower bounds of the classes of margins, in nats.
const MARGINS: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0];

impl Calibration {
    /// Adds the joins of a capture's jobs.
    pub fn add<'j>(&mut self, truth: &Truth, jobs: impl Iterator<Item = &'j Job>) {
        let owners = Owners::new(truth);
        for job in jobs {
            for found in judged(&owners, job) {
                self.by_confidence.entry(found.join.confidence).or_default().add(found.right);
                self.by_rule.entry(found.join.rule.as_str()).or_default().add(found.right);
                if let Some(margin) = found.join.margin {
                    let class = MARGINS.iter().rposition(|&bound| margin >= bound).unwrap_or_default();
                    self.by_margin.entry(class).or_default().add(found.right);
                }
            }
        }
    }

    /// The table by what was said, in Markdown.
    pub fn by_words(&self) -> String {
        let mut text = String::new();
        head(&mut text, "said");
        for (confidence, count) in &self.by_confidence {
            row(&mut text, confidence.as_str(), *count);
        }
        text
    }

    /// All tables, in Markdown.
    pub fn tables(&self) -> String {
        let mut text = self.by_words();
        text.push('\n');
        head(&mut text, "margin, nats");
        for (&class, count) in &self.by_margin {
            let name = match MARGINS.get(class + 1) {
                Some(next) => format!("{} to {next}", MARGINS[class]),
                None => format!("{} and more", MARGINS[class]),
            };
            row(&mut text, &name, *count);
        }
        text.push('\n');
        head(&mut text, "rule");
        for (rule, count) in &self.by_rule {
            row(&mut text, &format!("`{rule}`"), *count);
        }
        text
    }
}

// Writing to memory cannot fail.
fn head(text: &mut String, what: &str) {
    let _ = writeln!(text, "| {what} | joins | right | share |\n|---|---|---|---|");
}

fn row(text: &mut String, name: &str, count: Count) {
    let share = count.share().map_or("-".to_owned(), |share| format!("{share:.3}"));
    let _ = writeln!(text, "| {name} | {} | {} | {share} |", count.joins, count.right);
}
