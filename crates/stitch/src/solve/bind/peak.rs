//! The usual wait of a client, seen before anything is joined.
//!
//! Each submit and each first question after it have a gap. The gaps of those that belong together lie close
//! to one another; all the others lie as evenly as submits come. So the wait stands out as the stretch that
//! holds more gaps than its surroundings let expect, however many submits come between a submit and its own
//! first question.

/// How wide a stretch may be, in seconds: from the jitter of a timer to a wait that is drawn anew each time.
const WIDTHS_SECONDS: [f64; 6] = [0.004, 0.016, 0.064, 0.256, 1.0, 4.0];
/// A stretch is no wider than this share of its gaps.
const MAX_SHARE: f64 = 0.5;
/// The surroundings on each side, in widths.
const AROUND: f64 = 8.0;
/// Fewest gaps in a stretch, and one in how many first questions must be among them.
pub(super) const MIN_GAPS: usize = 8;
const ONE_IN: usize = 5;
/// How much likelier a stretch must be than chance, in nats. Some 10^5 stretches are tried, which chance
/// reaches at 12.
const MIN_NATS: f64 = 15.0;
/// By how much the rate of submits varies by itself, as a share.
const UNSTEADY: f64 = 0.1;

/// The gaps that stand out, a part of `gaps` (sorted, none negative), of so many first questions; empty if
/// none do.
pub(super) fn usual(gaps: &[f64], questions: usize) -> &[f64] {
    let least = MIN_GAPS.max(questions / ONE_IN);
    let mut best = (MIN_NATS, 0, 0);
    for width in WIDTHS_SECONDS {
        let (mut until, mut before, mut after) = (0, 0, 0);
        for (from, &gap) in gaps.iter().enumerate() {
            let upto = |end: &mut usize, limit: f64| {
                *end += gaps[*end..].iter().take_while(|&&other| other <= limit).count();
            };
            upto(&mut until, gap + width);
            let count = until - from;
            if count < least || width > MAX_SHARE * gap.max(WIDTHS_SECONDS[0] / MAX_SHARE) {
                continue;
            }
            let begin = (gap - AROUND * width).max(0.0);
            let end = gap + (AROUND + 1.0) * width;
            upto(&mut before, begin);
            upto(&mut after, end);
            let around = (from - before.min(from)) + (after - until);
            let expected = (around as f64 + 1.0) * width / (end - begin - width);
            let count = count as f64;
            let nats = count * (count / expected).ln() - (count - expected);
            let nats = nats / (1.0 + UNSTEADY * UNSTEADY * expected);
            if count > expected && nats > best.0 {
                best = (nats, from, until);
            }
        }
    }
    &gaps[best.1..best.2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solve::storm::{begun, chance};

    /// Gaps of jobs that begin by chance, so many a second, and wait for so long.
    fn gaps(jobs: usize, rate: f64, wait: f64, jitter: f64) -> Vec<f64> {
        let mut chance = chance();
        let starts = begun(jobs, rate, &mut chance);
        let asked: Vec<f64> = starts.iter().map(|start| start + wait + jitter * chance()).collect();
        let mut gaps: Vec<f64> = asked
            .iter()
            .flat_map(|asked| starts.iter().map(move |start| asked - start))
            .filter(|&gap| (0.0..120.0).contains(&gap))
            .collect();
        gaps.sort_unstable_by(f64::total_cmp);
        gaps
    }

    #[test]
    fn a_constant_wait_stands_out_however_many_submits_lie_between() {
        for (rate, wait) in [(0.1, 10.0), (2.0, 10.0), (8.0, 30.0), (2.0, 0.5)] {
            let gaps = gaps(120, rate, wait, 0.003);
            let found = usual(&gaps, 120);
            assert!(found.len() >= 110, "{rate} a second, {wait} s: {}", found.len());
            assert!(
                found.iter().all(|gap| (gap - wait).abs() < 0.01),
                "{rate} a second, {wait} s: {found:?}"
            );
        }
    }

    #[test]
    fn a_wait_that_varies_stands_out_where_few_submits_lie_between() {
        let gaps = gaps(120, 0.1, 10.0, 0.8);
        let found = usual(&gaps, 120);
        assert!(found.len() >= 110 && found[0] > 9.5 && found[found.len() - 1] < 11.3, "{found:?}");
    }

    #[test]
    fn chance_does_not_stand_out() {
        let gaps = gaps(120, 2.0, 10.0, 60.0);
        assert_eq!(usual(&gaps, 120), &[] as &[f64]);
        assert_eq!(usual(&[], 0), &[] as &[f64]);
    }
}
