//! A bill into postings: amounts on accounts, as the ledger keeps them and the counters add them up.
//!
//! A posting is one amount of one measure (a unit, a currency, or jobs without a price) for one cause and
//! basis on one account. The server makes its counters of them, and works out there what a revision of a job
//! changes; here the flow ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use spantally_stitch::{Cause, Job};

use crate::bill::{Basis, Bill, Bound, UnpricedReason};

/// Whose money it is, and what for: the label set that every metric about money has.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Tenant, empty when there is only one.
    pub tenant: Arc<str>,
    /// The service that submitted the job.
    pub service: Arc<str>,
    /// Provider of the attempt.
    pub provider: Arc<str>,
    /// Model of the attempt; empty when no span names it.
    pub model: Arc<str>,
    /// Operation of the attempt; empty when no span names it.
    pub operation: Arc<str>,
    /// Values of the extra labels that the configuration names, in its order.
    pub labels: Vec<Arc<str>>,
}

/// What an amount is of. Two are never added up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Billed or used units, for example `second`.
    Unit(Arc<str>),
    /// Money: an ISO 4217 code.
    Currency(Arc<str>),
    /// Jobs of which some attempt has no price, and why.
    Unpriced(UnpricedReason),
}

/// What a posting's amount is added to. Clones are cheap: two counts and no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostingKey {
    /// The account; postings of one attempt share it.
    pub account: Arc<Account>,
    /// What it is an amount of.
    pub measure: Measure,
    /// Why it was spent.
    pub cause: Cause,
    /// How sure it is.
    pub basis: Basis,
}

/// One amount.
#[derive(Clone, Debug, PartialEq)]
pub struct Posting {
    /// What it is added to.
    pub key: PostingKey,
    /// How much; negative in a correction.
    pub amount: Bound,
}

/// The postings of a job's bill: in the order of their keys, one of a key, none that is all zero.
pub fn postings(job: &Job, bill: &Bill) -> Vec<Posting> {
    let mut sums = Sums::default();
    let mut shared: Option<(usize, Arc<Account>)> = None;
    let mut account_of = |attempt: usize| match &shared {
        Some((index, account)) if *index == attempt => Arc::clone(account),
        _ => {
            let account = Arc::new(account(job, attempt));
            shared = Some((attempt, Arc::clone(&account)));
            account
        }
    };
    for charge in &bill.charges {
        let account = account_of(charge.attempt);
        let (cause, basis) = (charge.cause, charge.basis);
        let mut post = |measure, amount| {
            sums.add(PostingKey { account: Arc::clone(&account), measure, cause, basis }, amount);
        };
        post(Measure::Unit(Arc::clone(&charge.unit)), charge.quantity);
        if let Some(consumed) = &charge.consumed {
            post(Measure::Unit(Arc::clone(&consumed.unit)), consumed.quantity);
        }
        if charge.unit_price.is_some() {
            post(Measure::Currency(Arc::clone(&charge.currency)), charge.cost);
        }
    }
    let mut counted = Vec::new();
    for unpriced in &bill.unpriced {
        if counted.contains(&unpriced.reason) {
            continue;
        }
        counted.push(unpriced.reason);
        let account = account_of(unpriced.attempt);
        let cause = job.attempts.get(unpriced.attempt).map_or(Cause::Unverified, |attempt| attempt.cause);
        let measure = Measure::Unpriced(unpriced.reason);
        let key = PostingKey { account, measure, cause, basis: Basis::Unpriced };
        sums.add(key, Bound::exactly(rust_decimal::Decimal::ONE));
    }
    sums.into_postings()
}

fn account(job: &Job, attempt: usize) -> Account {
    let (provider, model, operation) = match job.attempts.get(attempt) {
        Some(attempt) => (&attempt.provider, &attempt.model, &attempt.operation),
        None => (&job.provider, &job.model, &job.operation),
    };
    Account {
        tenant: Arc::clone(&job.tenant),
        service: Arc::clone(&job.service),
        provider: Arc::clone(provider),
        model: Arc::clone(model),
        operation: Arc::clone(operation),
        labels: job.labels.clone(),
    }
}

#[derive(Default)]
struct Sums(BTreeMap<PostingKey, Bound>);

impl Sums {
    fn add(&mut self, key: PostingKey, amount: Bound) {
        let sum = self.0.entry(key).or_default();
        *sum = *sum + amount;
    }

    fn into_postings(self) -> Vec<Posting> {
        let sums = self.0.into_iter().filter(|(_, amount)| !amount.is_zero());
        sums.map(|(key, amount)| Posting { key, amount }).collect()
    }
}

#[cfg(test)]
mod tests;
