//! What a Prometheus would have scraped, thinned: a week of full pages would be gigabytes.
//!
//! A scrape every few minutes is enough to draw a week, but not to see a counter begin: what it counted before
//! its first sample is lost to `increase`, and a server that is scraped four times a minute shows its series
//! at zero in time. So a series that is new is kept at once. Of one that moves, the value before and the one
//! after are kept; of one that does not, a sample every [`IDLE_MS`]. One that was never anything but zero is
//! left out until it is something.

use std::io::{self, Write};

use rust_decimal::Decimal;
use spantally_server::export::{INVENTORY, MetricId, Part, Registry, SeriesId};
use spantally_stitch::UnixNanos;

/// The labels that a scrape of a server on its usual address adds.
pub const TARGET: &str = "job=\"spantally\",instance=\"127.0.0.1:9464\"";
/// Longest time between two samples of a series; a Prometheus must look back further than that.
pub const IDLE_MS: u64 = 3 * 3_600_000;

/// Gauges whose series come and go, so that a number does not name one for good; no dashboard uses them.
const FLEETING: [MetricId; 2] = [MetricId::RetryCostRatio, MetricId::WasteCostRatio];

/// Samples on their way into a file.
#[derive(Debug)]
pub struct History<W> {
    out: W,
    /// By metric, in the order in which its samples are visited: new ones come last.
    series: Vec<Vec<Life>>,
    /// The last time that was kept.
    kept: UnixNanos,
    len: usize,
    samples: u64,
}

/// The page that is gone through.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: UnixNanos,
    is_kept: bool,
    kept: UnixNanos,
}

#[derive(Clone, Debug)]
struct Life {
    /// Name and labels; none while it was never anything but zero.
    text: Option<Box<str>>,
    value: Decimal,
    /// When it was first seen, then when it was last written.
    at: UnixNanos,
}

impl<W: Write> History<W> {
    /// An empty history.
    pub fn new(out: W) -> Self {
        Self { out, series: vec![Vec::new(); INVENTORY.len()], kept: UnixNanos::default(), len: 0, samples: 0 }
    }

    /// Keeps the page as it stands, or only what is new on it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&mut self, registry: &Registry, now: UnixNanos, is_kept: bool) -> io::Result<()> {
        // Gauges that come and go may hide that a counter came; it is seen at the next page then.
        let is_longer = registry.len() != std::mem::replace(&mut self.len, registry.len());
        if !is_longer && !is_kept {
            return Ok(());
        }
        let mut result = Ok(());
        let (mut metric, mut place) = (MetricId::Jobs, 0);
        registry.visit_samples(|id, part, value| {
            if id.metric != metric {
                (metric, place) = (id.metric, 0);
            }
            if result.is_ok() && !FLEETING.contains(&metric) {
                let moment = Moment { now, is_kept, kept: self.kept };
                result = self.sample(registry, (id, part), place, value, moment);
            }
            place += 1;
        });
        if is_kept {
            self.kept = now;
        }
        result
    }

    fn sample(
        &mut self,
        registry: &Registry,
        key: (SeriesId, Part),
        place: usize,
        value: Decimal,
        moment: Moment,
    ) -> io::Result<()> {
        let Moment { now, is_kept, kept } = moment;
        let lives = &mut self.series[key.0.metric as usize];
        let Some(life) = lives.get_mut(place) else {
            let mut life = Life { text: None, value, at: now };
            if !value.is_zero() {
                let text = life.text.insert(named(registry, key));
                write(&mut self.out, &mut self.samples, text, value, now)?;
            }
            lives.push(life);
            return Ok(());
        };
        let moved = life.value != value;
        if !is_kept || !moved && (life.text.is_none() || life.at.plus_ms(IDLE_MS) > now) {
            return Ok(());
        }
        let is_first = life.text.is_none();
        let text = life.text.get_or_insert_with(|| named(registry, key));
        if is_first {
            write(&mut self.out, &mut self.samples, text, Decimal::ZERO, life.at)?;
        }
        if moved && life.at < kept {
            write(&mut self.out, &mut self.samples, text, life.value, kept)?;
        }
        (life.value, life.at) = (value, now);
        write(&mut self.out, &mut self.samples, text, value, now)
    }

    /// Ends the file with every series as it stands; how many samples it has.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<u64> {
        for life in self.series.iter().flatten().filter(|life| life.at < self.kept) {
            if let Some(text) = &life.text {
                write(&mut self.out, &mut self.samples, text, life.value, self.kept)?;
            }
        }
        writeln!(self.out, "# EOF")?;
        self.out.flush()?;
        Ok(self.samples)
    }
}

fn named(registry: &Registry, (id, part): (SeriesId, Part)) -> Box<str> {
    let (name, labels) = registry.sample_name(id, part);
    let comma = if labels.is_empty() { "" } else { "," };
    format!("{name}{{{TARGET}{comma}{labels}}}").into()
}

fn write(
    out: &mut impl Write,
    samples: &mut u64,
    text: &str,
    value: Decimal,
    at: UnixNanos,
) -> io::Result<()> {
    *samples += 1;
    writeln!(out, "{text} {value} {}", at.0 / 1_000_000_000)
}
