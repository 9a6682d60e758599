//! Whether a file of a destination can be written.
//!
//! Every failure is counted, and told once until it works again: a full disk fails each request, and a line
//! for each would fill what is left of it. A disk that is nearly full takes what is small and nothing else,
//! so there is not more than one line a minute either.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spantally_store::StoreError;

use super::metrics::Counts;
use crate::clock;

/// Least time between two lines that tell of a failure.
const INTERVAL: Duration = Duration::from_mins(1);

/// One thing that is done with a file again and again.
#[derive(Debug)]
pub(super) struct Trouble {
    destination: String,
    /// What it means when it fails.
    meaning: &'static str,
    counts: Arc<Counts>,
    told: Told,
}

impl Trouble {
    /// None so far.
    pub(super) fn new(destination: &str, meaning: &'static str, counts: &Arc<Counts>) -> Self {
        let counts = Arc::clone(counts);
        Self { destination: destination.to_owned(), meaning, counts, told: Told::default() }
    }

    /// What was done, unless it failed.
    pub(super) fn value_of<T>(&mut self, done: Result<T, StoreError>) -> Option<T> {
        let Self { destination, meaning, .. } = self;
        match done {
            Ok(value) => {
                if self.told.worked() {
                    tracing::info!(destination, "it can be written again, after: {meaning}");
                }
                Some(value)
            }
            Err(error) => {
                self.counts.storage_fault(error.fault());
                if self.told.failed(clock::instant()) {
                    tracing::warn!(destination, %error, "{meaning}");
                }
                None
            }
        }
    }
}

/// What was said of failures.
#[derive(Debug, Default)]
struct Told {
    /// That it fails is the last that was said.
    is_failing: bool,
    at: Option<Instant>,
}

impl Told {
    /// It failed: whether that is to be said.
    fn failed(&mut self, now: Instant) -> bool {
        let is_soon = self.at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL);
        if self.is_failing || is_soon {
            return false;
        }
        *self = Self { is_failing: true, at: Some(now) };
        true
    }

    /// It worked: whether that is to be said.
    fn worked(&mut self) -> bool {
        std::mem::take(&mut self.is_failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_until_it_works_again() {
        let (mut told, begin) = (Told::default(), clock::instant());
        assert!(!told.worked(), "nothing failed before");
        let said = (0..10_000).filter(|second| told.failed(begin + Duration::from_secs(*second)));
        assert_eq!(said.count(), 1);
        assert!(told.worked() && !told.worked());
        assert!(told.failed(begin + Duration::from_secs(10_000)));
    }

    #[test]
    fn what_fails_every_other_time_is_told_once_a_minute() {
        let (mut told, begin) = (Told::default(), clock::instant());
        let said = (0..6000_u64).filter(|tenth| {
            told.worked();
            told.failed(begin + Duration::from_millis(100 * tenth))
        });
        assert_eq!(said.count(), 10);
    }
}
