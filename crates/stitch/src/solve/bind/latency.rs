//! The usual latency of deliveries, or wait of first questions, where it varies; seen before anything is
//! joined.
//!
//! What names no submit may be of any submit before it. If it follows its own by some usual latency, then at
//! that distance before each delivery there is a submit more often than chance would have one there. So
//! latencies and spreads are tried out, none of them by what it joins: for each delivery all submits before
//! it count, by how well they fit, against how many would by chance. Where submits come so fast that some
//! submit lies at any distance, nothing stands out, and nothing is said. A wait that does not vary is found
//! among more submits by [`super::peak`].
//!
//! Learning from what was joined alone would not find it: as long as a latency may be anything, short ones
//! fit best, and what is joined by short ones teaches short ones.

use crate::solve::density::lognormal;

/// The latencies that are tried, in seconds: from an image to a long film.
const LATENCIES_SECONDS: (f64, f64) = (0.3, 900.0);
/// Spreads of the logarithm that are tried: from a timer to anything within a factor of two.
const SPREADS: [f64; 7] = [0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6];
/// Fewest deliveries that show a latency.
pub(super) const MIN_DELIVERIES: usize = 12;
/// How many deliveries are taken to follow the usual latency, as a share.
const USUAL: f64 = 0.9;
/// How far from its middle a latency is looked at, in spreads.
const REACH: f64 = 3.0;
/// How much better than any latency within minutes it must explain the deliveries, and how much better than
/// chance, in nats, beyond what the best of so many that are tried does by chance.
const MIN_NATS: f64 = 8.0;
const MIN_OVER_CHANCE: f64 = 2.0;

/// The submits that a delivery may be of.
pub(super) struct Before {
    /// The gaps to them, in seconds.
    pub(super) gaps: Vec<f64>,
    /// Up to this gap, in seconds, all of them are known.
    pub(super) until: f64,
}

/// Mean and spread of the logarithm of the latency that stands out among some deliveries, if one does. `rate`
/// is how many submits come per second; `broad` is what is believed of latencies otherwise.
pub(super) fn usual(delivered: &[Before], rate: f64, broad: (f64, f64)) -> Option<(f64, f64)> {
    if delivered.len() < MIN_DELIVERIES || rate <= 0.0 {
        return None;
    }
    let densities = |before: &Before| before.gaps.iter().map(|&gap| lognormal(gap, broad.0, broad.1)).sum();
    let anything: f64 = delivered.iter().map(|before| worth(densities(before), rate)).sum();
    let prior = |log: f64| {
        let away = (log - broad.0) / broad.1;
        -0.5 * away * away
    };
    let mut best = ((anything + MIN_NATS).max(MIN_OVER_CHANCE), None);
    for spread in SPREADS {
        let tried = tried(spread);
        let count = tried.len() as f64;
        for (&log, nats) in tried.iter().zip(scores(delivered, rate, &tried, spread)) {
            let nats = nats + prior(log) - count.ln();
            if nats > best.0 {
                best = (nats, Some((log, spread)));
            }
        }
    }
    best.1
}

/// What a delivery says for a latency, in nats: `density` is that of its own submits at this latency.
fn worth(density: f64, rate: f64) -> f64 {
    (1.0 - USUAL + USUAL * density / rate).ln()
}

/// The logarithms of the latencies that are tried with a spread: as far apart as it is wide.
fn tried(spread: f64) -> Vec<f64> {
    let (first, last) = (LATENCIES_SECONDS.0.ln(), LATENCIES_SECONDS.1.ln());
    let next = |log: &f64| Some(log + spread).filter(|&log| log <= last);
    std::iter::successors(Some(first), next).collect()
}

/// What all deliveries say for each of these latencies with a spread, in nats.
fn scores(delivered: &[Before], rate: f64, tried: &[f64], spread: f64) -> Vec<f64> {
    let reach = REACH * spread;
    let mut scores = vec![0.0; tried.len()];
    let mut densities = vec![0.0; tried.len()];
    for Before { gaps, until } in delivered {
        densities.fill(0.0);
        for &gap in gaps.iter().filter(|&&gap| gap > 0.0) {
            let log = gap.ln();
            let height = 1.0 / (gap * spread * std::f64::consts::TAU.sqrt());
            let near = tried.partition_point(|&other| other < log - reach);
            for (&other, density) in tried.iter().zip(&mut densities).skip(near) {
                if other > log + reach {
                    break;
                }
                let away = (log - other) / spread;
                *density += height * (-0.5 * away * away).exp();
            }
        }
        let known = tried.partition_point(|&log| log + reach <= until.ln());
        for (score, &density) in scores.iter_mut().zip(&densities).take(known) {
            *score += worth(density, rate);
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solve::storm::{begun, chance};

    const BROAD: (f64, f64) = (2.996, 1.3);

    /// Gaps of so many deliveries of jobs that begin by chance, so many a second, and of which each takes as
    /// long as it is told by a number between 0 and 1; and the rate.
    fn gaps(jobs: usize, rate: f64, latency: impl Fn(f64) -> f64) -> (Vec<Before>, f64) {
        let mut chance = chance();
        let starts = begun(jobs, rate, &mut chance);
        let delivered: Vec<f64> = starts.iter().map(|start| start + latency(chance())).collect();
        let end = delivered.iter().copied().fold(0.0, f64::max);
        let before = |at: &f64| Before {
            gaps: starts.iter().map(|start| at - start).filter(|&gap| gap >= 0.0).collect(),
            until: f64::INFINITY,
        };
        (delivered.iter().map(before).collect(), jobs as f64 / (end - starts[0]))
    }

    #[test]
    fn a_latency_stands_out_however_many_submits_lie_between() {
        for (jobs, rate, latency, jitter) in
            [(60, 0.25, 40.0, 4.0), (30, 0.2, 40.0, 0.5), (60, 2.0, 10.0, 0.3), (100, 0.5, 20.0, 1.0)]
        {
            let (gaps, seen) = gaps(jobs, rate, |chance| latency + jitter * (2.0 * chance - 1.0));
            let (log, spread) = usual(&gaps, seen, BROAD)
                .unwrap_or_else(|| panic!("{rate} a second, {latency} s: nothing stands out"));
            let case = format!("{rate} a second, {latency} s: {} {spread}", log.exp());
            assert!((log - latency.ln()).abs() < 0.15 && spread <= 0.3, "{case}");
        }
    }

    #[test]
    fn what_may_be_anything_does_not_stand_out() {
        let anything = |chance: f64| (BROAD.0 + 4.0 * (chance - 0.5)).exp();
        let (wide, rate) = gaps(60, 2.0, anything);
        assert_eq!(usual(&wide, rate, BROAD), None);
        let (steady, rate) = gaps(MIN_DELIVERIES - 1, 0.2, |_| 40.0);
        assert_eq!(usual(&steady, rate, BROAD), None, "too few");
    }

    #[test]
    fn what_is_not_known_speaks_for_nothing() {
        let (mut delivered, rate) = gaps(60, 0.25, |_| 40.0);
        assert!(usual(&delivered, rate, BROAD).is_some());
        for before in &mut delivered {
            before.gaps.retain(|&gap| gap < 30.0);
            before.until = 30.0;
        }
        assert_eq!(usual(&delivered, rate, BROAD), None);
    }
}
