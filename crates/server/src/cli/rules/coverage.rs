//! What the tests of a provider file reach: its policy rows, and the situations that every file should show.

use std::collections::BTreeSet;

use serde::Serialize;
use spantally_stitch::{Accepted, Cause, Outcome};

use crate::core::Settled;
use crate::provider_files::ProviderSource;

/// What tests of one provider reached.
#[derive(Debug, Serialize)]
pub(super) struct Coverage {
    /// Names of policy rows that decided no charge of any test.
    pub(super) policy_rows_without_a_test: Vec<String>,
    /// Outcomes and causes that some attempt had, and `ambiguous` for a submit of which nobody knows.
    pub(super) situations: BTreeSet<&'static str>,
    #[serde(skip)]
    prefix: String,
}

impl Coverage {
    /// Nothing reached yet.
    pub(super) fn of(provider: &ProviderSource) -> Self {
        let card = &provider.loaded.card;
        let rows = card.tariffs().iter().flat_map(|tariff| &tariff.policy).chain(card.policy());
        let prefix = format!("{}/", provider.name());
        let names = rows.map(|row| row.name.trim_start_matches(&prefix).to_owned());
        Self { policy_rows_without_a_test: names.collect(), situations: BTreeSet::new(), prefix }
    }

    /// Adds what one test reached.
    pub(super) fn add(&mut self, jobs: &[Settled]) {
        for Settled { job, bill, .. } in jobs {
            for charge in &bill.charges {
                let name = charge.policy.strip_prefix(&self.prefix);
                self.policy_rows_without_a_test.retain(|row| Some(row.as_str()) != name);
            }
            for attempt in &job.attempts {
                if attempt.accepted == Accepted::Ambiguous {
                    self.situations.insert("ambiguous");
                }
                let has_ended = !matches!(attempt.outcome, Outcome::Unknown);
                self.situations.extend(has_ended.then(|| attempt.outcome.as_str()));
                let is_apart = attempt.cause.is_retry_driven() || attempt.cause == Cause::Interrupted;
                self.situations.extend(is_apart.then(|| attempt.cause.as_str()));
            }
        }
    }
}
