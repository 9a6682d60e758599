//! What we booked: the attempts of a job that are about one task, with the bound of what they cost.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use spantally_price::Bound;

use crate::cli::job_doc::{AttemptDoc, ChargeDoc, CostDoc, JobDoc};

/// What some attempts of a job were booked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Booked {
    /// Cost by currency.
    pub cost: BTreeMap<String, Bound>,
    /// Whether an attempt of them has no price.
    pub is_unpriced: bool,
    /// Expected quantity by unit.
    pub quantities: BTreeMap<String, Decimal>,
    /// Price of one unit, where all charges have the same.
    pub unit_price: Option<Decimal>,
}

/// Attempts of a job at one provider that are about one task; one without an id is alone.
pub(super) struct Task<'j> {
    /// Its job.
    pub job: &'j JobDoc,
    /// Its task id.
    pub id: Option<&'j str>,
    /// Its attempts, by their places in the job; never empty.
    pub attempts: Vec<usize>,
}

impl<'j> Task<'j> {
    /// Every task of a job at a provider.
    pub(super) fn all(job: &'j JobDoc, provider: &str) -> Vec<Self> {
        let mut tasks: Vec<Self> = Vec::new();
        for (index, attempt) in job.attempts.iter().enumerate() {
            if attempt.provider.as_deref().unwrap_or(&job.provider) != provider {
                continue;
            }
            let id = attempt.task_id.as_deref();
            match tasks.iter_mut().find(|task| task.id.is_some() && task.id == id) {
                Some(task) => task.attempts.push(index),
                None => tasks.push(Self { job, id, attempts: vec![index] }),
            }
        }
        tasks
    }

    /// The attempt that speaks for it: the one that bears the charge.
    pub(super) fn bearer(&self) -> &'j AttemptDoc {
        let bears = |index: &&usize| self.charges_of(**index).any(|charge| !charge.quantity.is_zero());
        &self.job.attempts[*self.attempts.iter().find(bears).unwrap_or(&self.attempts[0])]
    }

    /// The model of that attempt.
    pub(super) fn model(&self) -> &'j str {
        self.bearer().model.as_deref().unwrap_or(&self.job.model)
    }

    fn charges_of(&self, attempt: usize) -> impl Iterator<Item = &'j ChargeDoc> + use<'j> {
        self.job.charges.iter().filter(move |charge| charge.attempt == attempt)
    }

    /// Its charges.
    pub(super) fn charges(&self) -> impl Iterator<Item = &'j ChargeDoc> {
        self.attempts.iter().flat_map(|&attempt| self.charges_of(attempt))
    }

    /// When its job began and ended.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.job.started_at.parse().ok()?, self.job.ended_at.parse().ok()?))
    }

    /// What it was booked for.
    pub(super) fn booked(&self) -> Booked {
        let mut booked = Booked {
            is_unpriced: self.job.unpriced.iter().any(|unpriced| self.attempts.contains(&unpriced.attempt)),
            ..Booked::default()
        };
        let mut prices = Vec::new();
        for charge in self.charges() {
            let quantity = booked.quantities.entry(charge.unit.clone()).or_default();
            *quantity = quantity.saturating_add(charge.quantity);
            prices.extend(charge.unit_price);
            if let Some(currency) = charge.currency.as_ref().filter(|_| charge.cost.is_some()) {
                booked.cost.entry(currency.clone()).or_insert_with(|| self.bound(currency));
            }
        }
        prices.dedup();
        booked.unit_price = prices.first().copied().filter(|_| prices.len() == 1);
        booked
    }

    /// What its charges in a currency come to.
    fn bound(&self, currency: &str) -> Bound {
        let own = self.job.cost_of(currency, |charge| self.attempts.contains(&charge.attempt));
        own.map_or(Bound::ZERO, |CostDoc { min, expected, max }| Bound { min, expected, max })
    }
}

impl Booked {
    /// Whether it is known to cost nothing.
    pub(super) fn is_nothing(&self) -> bool {
        !self.is_unpriced && self.cost.values().all(Bound::is_zero)
    }

    /// The quantity to lay beside one of the export: of its unit, or of the only unit there is.
    pub(super) fn quantity(&self, unit: Option<&str>) -> Option<Decimal> {
        match unit {
            Some(unit) => self.quantities.get(unit).copied(),
            None if self.quantities.len() == 1 => self.quantities.values().next().copied(),
            None => None,
        }
    }

    /// Adds another to it.
    pub(super) fn add(&mut self, other: Self) {
        for (currency, bound) in other.cost {
            let sum = self.cost.entry(currency).or_default();
            *sum = *sum + bound;
        }
        for (unit, quantity) in other.quantities {
            let sum = self.quantities.entry(unit).or_default();
            *sum = sum.saturating_add(quantity);
        }
        self.is_unpriced |= other.is_unpriced;
        self.unit_price = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::cli::reconcile::fixture::job;

    fn bounds(job: &JobDoc) -> Vec<String> {
        let shown = |task: &Task<'_>| {
            let booked = task.booked();
            let Bound { min, expected, max } = booked.cost["USD"];
            format!("{} {min} {expected} {max}", task.id.unwrap())
        };
        Task::all(job, "clips").iter().map(shown).collect()
    }

    #[test]
    fn a_task_has_its_own_part_of_the_job_s_bound() {
        let sure = ("a", "0.25", "documented");
        let open = ("b", "0.50", "assumed");
        for (charges, cost, expected) in [
            (&[sure][..], ["0.25", "0.25", "0.25"], &["a 0.25 0.25 0.25"][..]),
            (&[open], ["0", "0.50", "1"], &["b 0.00 0.50 1.00"]),
            (&[sure, open], ["0.25", "0.75", "1.25"], &["a 0.25 0.25 0.25", "b 0.00 0.50 1.00"]),
            // Of two that are not sure, each may have all of the spread, and none is below zero.
            (
                &[("c", "0.10", "assumed"), open],
                ["0.10", "0.60", "2"],
                &["c 0 0.10 1.50", "b 0.00 0.50 1.90"],
            ),
            // Two attempts at one task are one.
            (&[sure, ("a", "0", "documented")], ["0.25", "0.25", "0.25"], &["a 0.25 0.25 0.25"]),
        ] {
            assert_eq!(bounds(&job(charges, cost)), expected, "{charges:?}");
        }
        assert!(Task::all(&job(&[sure], ["0.25", "0.25", "0.25"]), "others").is_empty());
    }

    #[test]
    fn a_task_whose_end_nobody_saw_may_have_been_free() {
        let mut job =
            job(&[("a", "0.25", "documented"), ("b", "0.50", "documented")], ["0.25", "0.75", "0.75"]);
        "unverified".clone_into(&mut job.charges[1].policy);
        assert_eq!(bounds(&job), ["a 0.25 0.25 0.25", "b 0.00 0.50 0.50"]);
    }
}
