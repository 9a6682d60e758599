//! Densities of gaps in time, per second.

/// Narrowest kernel, in seconds: timers and schedulers jitter by about this much.
const MIN_WIDTH: f64 = 0.0015;
/// Widest kernel, as a share of the gap.
const MAX_SHARE: f64 = 0.3;

/// Most kernels of a density: more gaps are thinned to their quantiles.
const MAX_KERNELS: usize = 96;

pub(crate) fn lognormal(x: f64, mu: f64, sigma: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let z = (x.ln() - mu) / sigma;
    (-0.5 * z * z).exp() / (x * sigma * (2.0 * std::f64::consts::PI).sqrt())
}

pub(crate) fn laplace(x: f64, width: f64) -> f64 {
    (-x.abs() / width).exp() / (2.0 * width)
}

pub(crate) fn exponential(x: f64, mean: f64) -> f64 {
    if x < 0.0 { 0.0 } else { (-x / mean).exp() / mean }
}

/// A kernel density over observed gaps; a gap being judged is left out of its own density.
#[derive(Clone, Debug)]
pub(crate) struct Kernels {
    /// Gap, kernel width, and the kernel's height; sorted.
    kernels: Vec<(f64, f64, f64)>,
}

impl Kernels {
    /// Each kernel is as wide as the distance to its second neighbour, within bounds.
    pub(crate) fn new(mut gaps: Vec<f64>) -> Self {
        gaps.sort_unstable_by(f64::total_cmp);
        if gaps.len() > MAX_KERNELS {
            let last = gaps.len() - 1;
            gaps = (0..MAX_KERNELS).map(|at| gaps[at * last / (MAX_KERNELS - 1)]).collect();
        }
        let width = |at: usize| {
            let gap = gaps[at];
            let around = gaps[at.saturating_sub(2)..gaps.len().min(at + 3)].iter();
            let mut distances: Vec<f64> = around.map(|other| (other - gap).abs()).collect();
            distances.sort_unstable_by(f64::total_cmp);
            let second = distances.get(2).copied().unwrap_or(f64::INFINITY);
            second.clamp(MIN_WIDTH, (MAX_SHARE * gap.abs()).max(MIN_WIDTH))
        };
        let kernels = (0..gaps.len()).map(|at| {
            let width = width(at);
            (gaps[at], width, 1.0 / (width * (2.0 * std::f64::consts::PI).sqrt()))
        });
        Self { kernels: kernels.collect() }
    }

    /// Density at a gap and the number of gaps it rests on, without `own`.
    pub(crate) fn density(&self, gap: f64, own: Option<f64>) -> (f64, f64) {
        let skip =
            own.and_then(|own| self.kernels.iter().position(|kernel| own.total_cmp(&kernel.0).is_eq()));
        let mut sum = 0.0;
        for (at, &(center, width, height)) in self.kernels.iter().enumerate() {
            let away = gap - center;
            if away.abs() < 8.0 * width && skip != Some(at) {
                let z = away / width;
                sum += (-0.5 * z * z).exp() * height;
            }
        }
        let count = self.kernels.len() as f64 - f64::from(u8::from(skip.is_some()));
        if count > 0.0 { (sum / count, count) } else { (0.0, 0.0) }
    }
}
