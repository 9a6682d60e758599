//! How alike two groupings of the same spans are: pair counting and B-cubed.

use std::collections::HashMap;

/// One span: its true group and its found group. None means a group of its own.
pub(super) type Labels = (Option<usize>, Option<usize>);

/// Agreement of two groupings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairs {
    /// Of the pairs of spans that the product put together, the share that belongs together.
    pub precision: f64,
    /// Of the pairs that belong together, the share that the product put together.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// The same for each span instead of each pair, so that a job of a hundred polls does not outweigh a
    /// hundred jobs; spans that are in no true group are not averaged over.
    pub bcubed_f1: f64,
    /// Spans compared.
    pub spans: usize,
    /// Pairs that belong together.
    pub pairs: u64,
}

/// Counts pairs among these spans.
pub(super) fn compare(labels: &[Labels]) -> Pairs {
    let mut both = HashMap::<(usize, usize), u64>::new();
    let mut truth = HashMap::<usize, u64>::new();
    let mut found = HashMap::<usize, u64>::new();
    for &(a, b) in labels {
        if let Some(a) = a {
            *truth.entry(a).or_default() += 1;
        }
        if let Some(b) = b {
            *found.entry(b).or_default() += 1;
        }
        if let (Some(a), Some(b)) = (a, b) {
            *both.entry((a, b)).or_default() += 1;
        }
    }
    let (right, true_pairs) = (pairs_in(both.values()), pairs_in(truth.values()));
    let precision = share(right, pairs_in(found.values()));
    let recall = share(right, true_pairs);

    let (mut sum_precision, mut sum_recall, mut counted) = (0.0, 0.0, 0_u64);
    for &(a, b) in labels {
        let Some(a) = a else { continue };
        let shared = b.map_or(1, |b| both[&(a, b)]) as f64;
        sum_precision += shared / b.map_or(1, |b| found[&b]) as f64;
        sum_recall += shared / truth[&a] as f64;
        counted += 1;
    }
    let mean = |sum: f64| {
        if counted == 0 { 1.0 } else { sum / counted as f64 }
    };
    Pairs {
        precision,
        recall,
        f1: harmonic(precision, recall),
        bcubed_f1: harmonic(mean(sum_precision), mean(sum_recall)),
        spans: labels.len(),
        pairs: true_pairs,
    }
}

fn pairs_in<'a>(sizes: impl Iterator<Item = &'a u64>) -> u64 {
    sizes.map(|size| size * (size - 1) / 2).sum()
}

/// A share of nothing is 1: nothing was asked for and nothing is wrong.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn harmonic(a: f64, b: f64) -> f64 {
    if a + b == 0.0 { 0.0 } else { 2.0 * a * b / (a + b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(rows: &[(i8, i8)]) -> Vec<Labels> {
        let group = |n: i8| usize::try_from(n).ok();
        rows.iter().map(|&(a, b)| (group(a), group(b))).collect()
    }

    /// Precision, recall, B-cubed precision and recall, true pairs.
    type Expected = (f64, f64, f64, f64, u64);

    /// Rows are truth and found group of a span; -1 is none.
    #[test]
    fn hand_made_groupings() {
        let third = 1.0 / 3.0;
        let cases: [(&[(i8, i8)], Expected); 5] = [
            // equal groupings
            (&[(0, 7), (0, 7), (1, 8)], (1.0, 1.0, 1.0, 1.0, 1)),
            // three spans of one job, one of them on its own
            (&[(0, 7), (0, 7), (0, -1)], (1.0, third, 1.0, (2.0 + 2.0 + 1.0) / 9.0, 3)),
            // two jobs glued together
            (&[(0, 7), (0, 7), (1, 7)], (third, 1.0, (2.0 + 2.0 + 1.0) / 9.0, 1.0, 1)),
            // a noise span in a job: wrong pairs, and less precision for each of the job's spans
            (&[(0, 7), (0, 7), (-1, 7)], (third, 1.0, 2.0 / 3.0, 1.0, 1)),
            // nothing at all
            (&[], (1.0, 1.0, 1.0, 1.0, 0)),
        ];
        for (rows, (precision, recall, b_precision, b_recall, pairs)) in cases {
            let got = compare(&labels(rows));
            assert!((got.precision - precision).abs() < 1e-12, "{rows:?} precision {}", got.precision);
            assert!((got.recall - recall).abs() < 1e-12, "{rows:?} recall {}", got.recall);
            let b3 = 2.0 * b_precision * b_recall / (b_precision + b_recall);
            assert!((got.bcubed_f1 - b3).abs() < 1e-12, "{rows:?} B-cubed {}", got.bcubed_f1);
            assert_eq!((got.pairs, got.spans), (pairs, rows.len()));
        }
    }

    #[test]
    fn no_agreement_is_zero_not_a_division_by_zero() {
        let got = compare(&labels(&[(0, 1), (0, 2), (1, 1), (1, 2)]));
        assert_eq!((got.precision, got.recall, got.f1), (0.0, 0.0, 0.0));
    }
}
