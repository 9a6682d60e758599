//! What a Prometheus would have scraped, thinned: a week of full pages would be gigabytes.
//!
//! A scrape every few minutes is enough to draw a week, but not to see a counter begin: what it counted
//! before its first sample is lost to `increase`, and a server that is scraped four times a minute shows
//! its series at zero in time. So a series that is new is kept at once. Counters and gauges are kept at
//! every time of the plan; of a histogram, which is many samples, the values before and after it moved,
//! else one every [`IDLE_MS`]. A series that was never anything but zero is left out until it, or the
//! counter that it takes back from, is something.

use std::io::{self, Write};

use rust_decimal::Decimal;
use spantally_server::export::{INVENTORY, MetricId, Registry, SeriesId};
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
    /// By metric, in the order in which its series were made.
    series: Vec<Vec<Life>>,
    /// The last time that was kept.
    kept: UnixNanos,
    len: usize,
    samples: u64,
}

/// A series and its samples: one, or those of a histogram.
#[derive(Clone, Debug)]
struct Life {
    /// Name and labels of each sample; none while all were never anything but zero.
    texts: Vec<Box<str>>,
    values: Vec<Decimal>,
    /// When it was first seen, then when it was last written.
    at: UnixNanos,
}

impl<W: Write> History<W> {
    /// An empty history.
    pub fn new(out: W) -> Self {
        Self {
            out,
            series: vec![Vec::new(); INVENTORY.len()],
            kept: UnixNanos::default(),
            len: 0,
            samples: 0,
        }
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
        let mut places = vec![0; INVENTORY.len()];
        let mut result = Ok(());
        registry.visit_series(|id, values| {
            let place = &mut places[id.metric as usize];
            if result.is_ok() && !FLEETING.contains(&id.metric) {
                result = self.one(registry, id, *place, values, now, is_kept);
            }
            *place += 1;
        });
        if is_kept {
            self.kept = now;
        }
        result
    }

    fn one(
        &mut self,
        registry: &Registry,
        id: SeriesId,
        place: usize,
        values: &[Decimal],
        now: UnixNanos,
        is_kept: bool,
    ) -> io::Result<()> {
        // A counter and what it takes back have the same place: both are told, or none.
        let of_twin = id.metric.twin_of().and_then(|first| self.series[first as usize].get(place));
        let is_told = of_twin.is_some_and(|twin| !twin.texts.is_empty());
        let lives = &mut self.series[id.metric as usize];
        let is_new = lives.len() == place;
        if is_new {
            lives.push(Life { texts: Vec::new(), values: values.to_vec(), at: now });
        }
        let Some(life) = lives.get_mut(place) else { return Ok(()) };
        let is_silent = life.texts.is_empty();
        let is_zero = values.iter().all(Decimal::is_zero);
        if is_silent && is_zero && !is_told {
            return Ok(());
        }
        let moved = life.values != values;
        let is_due = values.len() == 1 || moved || life.at.plus_ms(IDLE_MS) <= now;
        if !(is_new || is_kept && is_due) {
            return Ok(());
        }
        if is_silent {
            life.texts = registry.sample_names(id).into_iter().map(named).collect();
            if !is_new {
                write(&mut self.out, &mut self.samples, life)?;
            }
        }
        if moved && life.at < self.kept {
            life.at = self.kept;
            write(&mut self.out, &mut self.samples, life)?;
        }
        (life.values, life.at) = (values.to_vec(), now);
        write(&mut self.out, &mut self.samples, life)
    }

    /// Ends the file with every series as it stands; how many samples it has.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<u64> {
        for life in self.series.iter_mut().flatten().filter(|life| life.at < self.kept) {
            life.at = self.kept;
            write(&mut self.out, &mut self.samples, life)?;
        }
        writeln!(self.out, "# EOF")?;
        self.out.flush()?;
        Ok(self.samples)
    }
}

fn named((name, labels): (String, String)) -> Box<str> {
    let comma = if labels.is_empty() { "" } else { "," };
    format!("{name}{{{TARGET}{comma}{labels}}}").into()
}

/// Nothing of a series that has no name yet.
fn write(out: &mut impl Write, samples: &mut u64, life: &Life) -> io::Result<()> {
    for (text, value) in life.texts.iter().zip(&life.values) {
        *samples += 1;
        writeln!(out, "{text} {value} {}", life.at.0 / 1_000_000_000)?;
    }
    Ok(())
}
