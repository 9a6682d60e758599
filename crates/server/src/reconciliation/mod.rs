//! Invoices beside the ledger: what a provider wants for a period, and what Spantally has for it.
//!
//! Amounts come from the configuration ([`Invoice`]), one a provider, currency and period. The ledger's side
//! is the sum of the charges of jobs that *began* in the period, since that is when providers book them, at
//! least, expected and at most. An invoice within the bounds agrees with what the spans tell; one above shows
//! spend that no span told of, one below shows a price or a policy that is not what we believe. Where jobs of
//! the period have no price, an invoice above the bounds shows nothing yet: what they cost is missing. Where
//! the ledger's retention may have removed rows of the period, its side is not known, and nothing is
//! compared.
//!
//! The sums are read from the ledger file every [`REFRESH`], beside the core and not through it: a month of
//! charges takes a second to add up. The gauges show the last reading. What an invoice covers also leaves the
//! exposure ([`crate::core::Invoiced`]).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rust_decimal::Decimal;
use spantally_price::{Bound, add};
use spantally_stitch::UnixNanos;
use spantally_store::{CLOCK_SKEW_NANOS, LedgerReader, StoreError};
use tokio::sync::watch;

use crate::core::Invoiced;
use crate::export::{MetricId, Registry, SetId};
use crate::invoice::{Booked, Invoice, Verdict};

/// How often the ledger is asked.
const REFRESH: Duration = Duration::from_mins(10);

/// Every invoice of the configuration, with what the ledger has.
#[derive(Debug)]
pub struct Reconciliation {
    invoices: Vec<Invoice>,
    directory: PathBuf,
    /// One an invoice, once the ledger was read.
    booked: Mutex<Option<Vec<Booked>>>,
}

impl Reconciliation {
    /// Invoices as configured; the ledger is in `directory`.
    pub fn new(invoices: Vec<Invoice>, directory: &Path) -> Arc<Self> {
        Arc::new(Self { invoices, directory: directory.to_owned(), booked: Mutex::default() })
    }

    /// What the invoices cover.
    pub fn invoiced(&self) -> Vec<Invoiced> {
        let invoiced = |invoice: &Invoice| Invoiced {
            provider: invoice.provider.as_str().into(),
            from: invoice.from,
            until: invoice.until,
        };
        self.invoices.iter().map(invoiced).collect()
    }

    /// Asks the ledger now and then, until `stop` turns true.
    pub(crate) async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !self.invoices.is_empty() && !*stop.borrow() {
            let this = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || this.read()).await;
            if let Ok(Err(error)) = read {
                tracing::warn!(%error, "invoices cannot be compared: the ledger cannot be read");
            }
            // Until the time has passed, or the server stops, or is gone.
            if let Ok(Err(_)) = tokio::time::timeout(REFRESH, stop.changed()).await {
                return;
            }
        }
    }

    /// Asks the ledger.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<(), StoreError> {
        let from = self.invoices.iter().map(|invoice| invoice.from).min().unwrap_or_default();
        let until = self.invoices.iter().map(|invoice| invoice.until).max().unwrap_or_default();
        let mut sums: Vec<Option<Bound>> = vec![None; self.invoices.len()];
        // Units of all kinds together: no job has less than none, so the sum is nothing when all of them are.
        let mut unpriced = vec![Decimal::ZERO; self.invoices.len()];
        let mut by_provider = BTreeMap::<&str, Vec<usize>>::new();
        for (index, invoice) in self.invoices.iter().enumerate() {
            by_provider.entry(&invoice.provider).or_default().push(index);
        }
        let ledger = LedgerReader::open(&self.directory)?;
        let _moment = ledger.hold()?;
        ledger.load_charges_between(from.0, until.0, |row| {
            for &index in by_provider.get(&*row.provider).into_iter().flatten() {
                let Invoice { from, until, currency, .. } = &self.invoices[index];
                if !(from.0..until.0).contains(&row.started_at) {
                    continue;
                }
                add(&mut unpriced[index], row.unpriced);
                if *currency == row.currency {
                    let sum = sums[index].get_or_insert_default();
                    *sum = *sum + Bound { min: row.min, expected: row.expected, max: row.max };
                }
            }
        })?;
        let removed_until = ledger.removed_until()?;
        let booked = |(invoice, (sum, unpriced)): (&Invoice, (Option<Bound>, Decimal))| match sum {
            // A job of the period settled no earlier than this.
            _ if removed_until > 0 && removed_until + CLOCK_SKEW_NANOS >= invoice.from.0 => Booked::Removed,
            sum if !unpriced.is_zero() => Booked::Part(sum.unwrap_or_default()),
            None => Booked::Nothing,
            Some(sum) => Booked::Sum(sum),
        };
        let found = sums.into_iter().zip(unpriced);
        *self.booked.lock() = Some(self.invoices.iter().zip(found).map(booked).collect());
        Ok(())
    }

    /// Sets the gauges by the last reading; before the first one there are none.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        let booked = self.booked.lock();
        let Some(booked) = booked.as_ref() else { return };
        if booked.contains(&Booked::Removed) {
            // What is not known is not shown, also where it was known before.
            registry.clear(MetricId::Booked);
        }
        for (invoice, booked) in self.invoices.iter().zip(booked) {
            let own = [&*invoice.provider, &*invoice.currency, &*invoice.period];
            let mut set = |metric, last: &[&str], value: Decimal| {
                let series = registry.series(metric, SetId::NONE, &[&own, last].concat(), created);
                registry.set(series, value);
            };
            set(MetricId::Invoiced, &[], invoice.amount);
            let sum = match booked {
                Booked::Removed => None,
                Booked::Nothing => Some(Bound::default()),
                Booked::Sum(sum) | Booked::Part(sum) => Some(*sum),
            };
            if let Some(Bound { min, expected, max }) = sum {
                for (bound, amount) in [("min", min), ("expected", expected), ("max", max)] {
                    set(MetricId::Booked, &[bound], amount);
                }
            }
            let found = Verdict::of(invoice.amount, *booked);
            for verdict in Verdict::ALL {
                let holds = Decimal::from(u8::from(verdict == found));
                set(MetricId::Reconciled, &[verdict.as_str()], holds);
            }
        }
    }
}
