//! Budgets and prepaid accounts: what is spent of a limit, what is left of credits, and for how long.
//!
//! A *budget* is a limit for the spend of some jobs in a calendar period. An *account* is a prepaid balance
//! with top-ups that may expire. Both watch a [`Meter`]: what is booked in a currency or a unit and is in
//! their scope. So they see what the page shows, to the last unit, reversals included.
//!
//! # Exact over restarts, and no state of their own
//! [`Budgets::restore`] reads the charges since the earliest moment that matters from the ledger and books
//! each at the moment at which it was settled. From then on each row is booked as it is made. The core calls
//! [`Budgets::turn`] before it settles anything at a new time, so that what was settled before the end of a
//! period, or before credits expired, is booked before it. A budget that is added or changed is therefore
//! right at once, also for the part of its period that had passed.
//!
//! Each row comes with the values of its job's extra labels, also one that takes a job back. So what is
//! counted in the overflow set of the labels is spent where it belongs.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

mod account;
mod definition;
mod meter;
mod period;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;
use spantally_store::{JobRow, Ledger, StoreError};

use self::account::Account;
use self::meter::Meter;
use crate::export::{MetricId, Registry, SetId};
use crate::label_history::LabelHistory;

pub use definition::{AccountDefinition, BudgetDefinition, Measure, Scope, TopUp};
pub use period::PeriodKind;

/// Every budget and account of the configuration.
#[derive(Debug, Default)]
pub struct Budgets {
    limits: Vec<Budget>,
    accounts: Vec<Metered>,
    /// The next moment at which a period ends, or credits come or expire.
    boundary: Option<UnixNanos>,
}

#[derive(Debug)]
struct Budget {
    definition: BudgetDefinition,
    meter: Meter,
    start: UnixNanos,
    end: UnixNanos,
    spent: Decimal,
}

#[derive(Debug)]
struct Metered {
    name: String,
    account: Account,
    meter: Meter,
}

impl Budgets {
    /// Budgets and accounts as configured; `extra_labels` are the names of the configured labels.
    pub fn new(
        budgets: Vec<BudgetDefinition>,
        accounts: Vec<AccountDefinition>,
        extra_labels: &[String],
    ) -> Self {
        let meter =
            |measure: &Measure, scope: &Scope| Meter::new(measure.clone(), scope.clone(), extra_labels);
        Self {
            limits: budgets
                .into_iter()
                .map(|definition| Budget {
                    meter: meter(&definition.measure, &definition.scope),
                    definition,
                    start: UnixNanos::default(),
                    end: UnixNanos::default(),
                    spent: Decimal::ZERO,
                })
                .collect(),
            accounts: accounts
                .into_iter()
                .map(|definition| Metered {
                    meter: meter(&definition.measure, &definition.scope),
                    name: definition.name.clone(),
                    account: Account::new(&definition),
                })
                .collect(),
            boundary: None,
        }
    }

    /// The moment from which on a start needs what the ledger has; none when it needs nothing.
    pub(crate) fn counts_from(&self) -> Option<UnixNanos> {
        let starts = self.limits.iter().map(|budget| budget.start);
        starts.chain(self.accounts.iter().map(|metered| metered.account.as_of())).min()
    }

    /// Books what the ledger has, as of `now`, by the names that its label values have.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn restore(
        &mut self,
        ledger: &Ledger,
        names: &LabelHistory,
        now: UnixNanos,
    ) -> Result<(), StoreError> {
        for budget in &mut self.limits {
            budget.begin(now);
        }
        if let Some(since) = self.counts_from() {
            let meters = self.limits.iter().map(|budget| &budget.meter);
            let mut meters = meters.chain(self.accounts.iter().map(|metered| &metered.meter));
            let with_labels = meters.any(Meter::needs_labels);
            ledger.load_spend(since.0, with_labels, |row| {
                let at = UnixNanos(row.settled_at);
                for budget in &mut self.limits {
                    if at >= budget.start
                        && let Some(amount) = budget.meter.amount(&row, names)
                    {
                        budget.spent = budget.spent.saturating_add(amount);
                    }
                }
                for Metered { account, meter, .. } in &mut self.accounts {
                    if at >= account.as_of()
                        && let Some(amount) = meter.amount(&row, names)
                    {
                        account.book(amount, at);
                    }
                }
            })?;
        }
        for metered in &mut self.accounts {
            metered.account.pass(now);
        }
        self.find_boundary();
        Ok(())
    }

    /// Time has come to `now`, and nothing is settled at it yet.
    pub fn turn(&mut self, now: UnixNanos) {
        self.begin(now);
        if self.boundary.is_none_or(|boundary| now < boundary) {
            return;
        }
        for budget in self.limits.iter_mut().filter(|budget| budget.end <= now) {
            budget.begin(now);
        }
        for metered in &mut self.accounts {
            metered.account.pass(now);
        }
        self.find_boundary();
    }

    /// Books rows that were made at a moment, each with the values of its job's extra labels.
    pub(crate) fn book_rows<'r, L>(&mut self, rows: impl Iterator<Item = (&'r JobRow, &'r L)>, at: UnixNanos)
    where
        L: AsRef<[Arc<str>]> + 'r,
    {
        for (row, labels) in rows {
            let labels = labels.as_ref();
            for budget in &mut self.limits {
                budget.spent = budget.spent.saturating_add(budget.meter.booked(row, labels));
            }
            for Metered { account, meter, .. } in &mut self.accounts {
                if at >= account.as_of() {
                    account.book(meter.booked(row, labels), at);
                }
            }
        }
    }

    /// Sets every gauge as it stands at `now`.
    pub fn show(&mut self, registry: &mut Registry, now: UnixNanos) {
        if self.limits.is_empty() && self.accounts.is_empty() {
            return;
        }
        self.begin(now);
        for budget in &self.limits {
            let own = [&*budget.definition.name, budget.definition.measure.name()];
            for (metric, value) in [
                (MetricId::BudgetLimit, budget.definition.limit),
                (MetricId::BudgetSpent, budget.spent),
                (MetricId::BudgetPeriodStart, seconds(budget.start)),
                (MetricId::BudgetPeriodEnd, seconds(budget.end)),
            ] {
                set(registry, metric, &own, value, now);
            }
        }
        // Without spend there is no runway, which is not the same as none left.
        registry.clear(MetricId::PrepaidRunway);
        for Metered { name, account, meter } in &mut self.accounts {
            let own = [&**name, meter.measure().name()];
            account.pass(now);
            set(registry, MetricId::PrepaidBalance, &own, account.balance(), now);
            if let Some(runway) = account.runway_seconds(now) {
                set(registry, MetricId::PrepaidRunway, &own, runway, now);
            }
        }
    }

    /// Begins everything, of a process that took nothing back.
    fn begin(&mut self, now: UnixNanos) {
        if self.boundary.is_none() {
            for budget in &mut self.limits {
                budget.begin(now);
            }
            self.find_boundary();
        }
    }

    fn find_boundary(&mut self) {
        let ends = self.limits.iter().map(|budget| budget.end);
        let changes = self.accounts.iter().filter_map(|metered| metered.account.next_change());
        self.boundary = ends.chain(changes).min();
    }
}

impl Budget {
    /// Begins the period that holds `now`.
    fn begin(&mut self, now: UnixNanos) {
        let (start, end) = self.definition.period.around(now, &self.definition.time_zone);
        (self.start, self.end, self.spent) = (start, end, Decimal::ZERO);
    }
}

fn set(registry: &mut Registry, metric: MetricId, own: &[&str], value: Decimal, now: UnixNanos) {
    let series = registry.series(metric, SetId::NONE, own, now);
    registry.set(series, value);
}

/// Seconds since 1970.
fn seconds(moment: UnixNanos) -> Decimal {
    Decimal::from(moment.0 / 1_000_000_000)
}
