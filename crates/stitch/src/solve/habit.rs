//! Client habits: how long a client waits between a submit and its first question.
//!
//! A class is a client library in one process at one provider. Its gap is a mixture of five densities, whose
//! weights and kernels are learned from the pool itself:
//!
//! - *cadence*: the gap equals the task's own poll interval, to a millisecond (a loop that sleeps first);
//! - *immediate*: the first poll follows at once;
//! - *learned*: what the class did before; a small class leans on all clients of its provider;
//! - *jitter*: a timer that is drawn anew each time, around the usual interval;
//! - *broad*: anything within minutes.

use crate::solve::density::{Kernels, exponential, laplace, lognormal};

/// Longest time between a submit and the first call that shows its task.
pub(crate) const WINDOW_MS: u64 = 1_800_000;
pub(crate) const WINDOW_SECONDS: f64 = WINDOW_MS as f64 / 1000.0;
/// What the weights start from and are drawn to: cadence, immediate, learned, jitter, broad.
const PRIOR: [f64; 5] = [1.0, 1.0, 1.0, 0.5, 0.1];
/// The wait before a first question, of which nothing is known: seconds, give or take a factor of four.
pub(crate) const WAIT: (f64, f64) = (1.1, 1.3);
/// Latency of deliveries before any was matched: tens of seconds, give or take a factor of four.
pub(crate) const LATENCY: (f64, f64) = (2.996, 1.3);
/// How many deliveries follow the latency that stands out, as a share: there may be models that take longer.
const USUAL: f64 = 0.5;
/// Fewest matched deliveries from which a latency is learned, and its narrowest spread.
const MIN_LATENCIES: usize = 3;
const MIN_SPREAD: f64 = 0.35;

/// How a task was polled: the usual gap between two polls and the first one, in seconds; none of a task that
/// was polled once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cadence {
    pub(crate) usual: Option<f64>,
    pub(crate) first: Option<f64>,
}

impl Cadence {
    pub(crate) fn new(intervals: &[f64]) -> Self {
        Self { usual: median(intervals), first: intervals.first().copied() }
    }
}

/// One gap as matched in the last round.
pub(crate) struct Sample {
    pub(crate) class: usize,
    pub(crate) cadence: Cadence,
    pub(crate) gap: f64,
    /// It is the latency of a delivery.
    pub(crate) hooked: bool,
}

#[derive(Clone, Debug)]
struct Class {
    provider: usize,
    weights: [f64; 5],
    own: Kernels,
    pooled: Kernels,
    typical: f64,
}

/// The habits of all classes of a pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    classes: Vec<Class>,
    /// Mean and spread of the logarithm of delivery latencies.
    latency: (f64, f64),
    /// The same of the latency that stood out before anything was joined, if one did.
    usual_latency: Option<(f64, f64)>,
}

impl Habits {
    /// Densities start from what needs no join: the usual poll interval of each task, and the gaps that stand
    /// out as a usual wait, both by class. `providers[class]` is the provider of a class, counted from 0.
    pub(crate) fn new(intervals: Vec<Vec<f64>>, waits: Vec<Vec<f64>>, providers: &[usize]) -> Self {
        let mut gaps = intervals;
        let typical: Vec<Option<f64>> =
            gaps.iter().zip(&waits).map(|(gaps, waits)| median(gaps).or_else(|| median(waits))).collect();
        for (gaps, waits) in gaps.iter_mut().zip(waits) {
            gaps.extend(waits);
        }
        let pooled = pool(&gaps, providers);
        let total: f64 = PRIOR.iter().sum();
        let classes =
            gaps.into_iter().zip(typical).zip(providers).map(|((gaps, typical), &provider)| Class {
                provider,
                weights: PRIOR.map(|weight| weight / total),
                typical: typical.or_else(|| median(&pooled[provider])).unwrap_or(2.0),
                own: Kernels::new(gaps),
                pooled: Kernels::new(pooled[provider].clone()),
            });
        Self { classes: classes.collect(), latency: LATENCY, usual_latency: None }
    }

    /// The same with a latency of deliveries that stands out, if one does.
    pub(crate) fn with_latency(self, usual: Option<(f64, f64)>) -> Self {
        Self { usual_latency: usual, ..self }
    }

    /// Density of a gap, per second; `own` is this pair's gap of the last round, which must not speak for
    /// itself.
    pub(crate) fn density(&self, class: usize, cadence: Cadence, gap: f64, own: Option<f64>) -> f64 {
        let Some(class) = self.classes.get(class) else { return 0.0 };
        let parts = class.parts(cadence, gap, own);
        parts.iter().zip(class.weights(cadence)).map(|(part, weight)| part * weight).sum()
    }

    /// Density of the latency of a delivery, per second.
    pub(crate) fn delivery(&self, gap: f64) -> f64 {
        let density = |(mean, spread)| lognormal(gap.max(1e-6), mean, spread);
        let learned = density(self.latency);
        let known =
            self.usual_latency.map_or(learned, |usual| USUAL * density(usual) + (1.0 - USUAL) * learned);
        0.97 * known + 0.03 / WINDOW_SECONDS
    }

    /// One step of expectation-maximisation.
    pub(crate) fn learn(&mut self, samples: &[Sample]) {
        let mut counts = vec![PRIOR; self.classes.len()];
        let mut gaps = vec![Vec::new(); self.classes.len()];
        for sample in samples.iter().filter(|sample| !sample.hooked) {
            let class = &self.classes[sample.class];
            let parts = class.parts(sample.cadence, sample.gap, Some(sample.gap));
            let weights = class.weights(sample.cadence);
            let total: f64 = parts.iter().zip(weights).map(|(part, weight)| part * weight).sum();
            if total > 0.0 {
                for (at, count) in counts[sample.class].iter_mut().enumerate() {
                    *count += parts[at] * weights[at] / total;
                }
            }
            gaps[sample.class].push(sample.gap);
        }
        let providers: Vec<usize> = self.classes.iter().map(|class| class.provider).collect();
        let pooled = pool(&gaps, &providers);
        for ((class, counts), gaps) in self.classes.iter_mut().zip(counts).zip(gaps) {
            let total: f64 = counts.iter().sum();
            class.weights = counts.map(|count| count / total);
            if !gaps.is_empty() {
                class.own = Kernels::new(gaps);
            }
            if !pooled[class.provider].is_empty() {
                class.pooled = Kernels::new(pooled[class.provider].clone());
            }
        }
        self.learn_latency(samples);
    }

    fn learn_latency(&mut self, samples: &[Sample]) {
        let hooked = samples.iter().filter(|sample| sample.hooked);
        let logs: Vec<f64> = hooked.map(|sample| sample.gap.max(1e-6).ln()).collect();
        if logs.len() < MIN_LATENCIES {
            return;
        }
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        self.latency = (mean, variance.sqrt().max(MIN_SPREAD));
    }
}

impl Class {
    /// The weights for a task; one that was polled once has no cadence, and the rest shares its weight.
    fn weights(&self, cadence: Cadence) -> [f64; 5] {
        let mut weights = self.weights;
        if cadence.usual.is_none() {
            weights[0] = 0.0;
            let rest: f64 = weights.iter().sum();
            weights = weights.map(|weight| weight / rest);
        }
        weights
    }

    fn parts(&self, cadence: Cadence, gap: f64, own: Option<f64>) -> [f64; 5] {
        let steady =
            |interval: f64| 0.8 * laplace(gap - interval, 0.0012) + 0.2 * laplace(gap - interval, 0.02);
        let Cadence { usual, first } = cadence;
        let cadence = usual.into_iter().chain(first).map(steady).fold(0.0, f64::max);
        let immediate = 0.8 * exponential(gap, 0.002) + 0.2 * exponential(gap, 0.02);
        let (habit, count) = self.own.density(gap, own);
        let (others, _) = self.pooled.density(gap, own);
        let weight = count / (count + 2.0);
        let learned = weight * habit + (1.0 - weight) * others;
        let jitter = lognormal(gap, usual.unwrap_or(self.typical).max(1e-3).ln(), 0.33);
        let flat = if gap <= 60.0 { 0.25 / 60.0 } else { 0.0 };
        let broad = 0.65 * lognormal(gap, 0.8_f64.ln(), 0.9) + flat + 0.1 / WINDOW_SECONDS;
        [cadence, immediate, learned, jitter, broad]
    }
}

/// The gaps of all classes of a provider together.
fn pool(gaps: &[Vec<f64>], providers: &[usize]) -> Vec<Vec<f64>> {
    let mut pooled = vec![Vec::new(); providers.iter().max().map_or(0, |last| last + 1)];
    for (gaps, &provider) in gaps.iter().zip(providers) {
        pooled[provider].extend(gaps);
    }
    pooled
}

/// The middle value; of an even number, the upper of the two.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_sleeps_first_is_known_by_its_own_interval() {
        let habits = Habits::new(vec![vec![0.7]], vec![vec![]], &[0]);
        let density = |gap| habits.density(0, Cadence::new(&[0.7, 0.7]), gap, None);
        assert!(density(0.7005) > 50.0 * density(0.75), "{} {}", density(0.7005), density(0.75));
    }

    #[test]
    fn a_small_class_leans_on_its_provider() {
        let habits = Habits::new(vec![vec![6.0, 6.2, 5.8, 6.1], vec![]], vec![vec![], vec![]], &[0, 0]);
        let strange = Habits::new(vec![vec![6.0, 6.2, 5.8, 6.1], vec![]], vec![vec![], vec![]], &[0, 1]);
        assert!(
            habits.density(1, Cadence::default(), 6.05, None)
                > 5.0 * strange.density(1, Cadence::default(), 6.05, None)
        );
    }

    #[test]
    fn a_gap_does_not_speak_for_itself() {
        let mut habits = Habits::new(vec![vec![]], vec![vec![]], &[0]);
        habits.learn(&[Sample { class: 0, cadence: Cadence::default(), gap: 33.0, hooked: false }]);
        assert!(
            habits.density(0, Cadence::default(), 33.0, None)
                > 2.0 * habits.density(0, Cadence::default(), 33.0, Some(33.0))
        );
    }
}
