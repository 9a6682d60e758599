//! What a provider charges for an attempt that did not simply succeed.
//!
//! Rows are read in order, those of the model first, then those of the provider; the first that matches
//! decides. The next file in the flow is `card.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Attempt, FailureReason, Outcome};

use crate::condition::{Condition, all_hold};
use crate::price::Citation;
use crate::quantity::Source;

/// One row of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRow {
    /// `provider/row`, for example `runway/moderated`.
    pub name: Arc<str>,
    /// What it is for.
    pub when: When,
    /// What is charged.
    pub terms: Terms,
    /// Who says so.
    pub citation: Citation,
}

/// What a row is for. Every field that is given must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// Any of these; empty: any.
    pub outcomes: Vec<Outcome>,
    /// Any of these; empty: any, also none.
    pub reasons: Vec<FailureReason>,
    /// Refused at the submit, or taken as a task.
    pub stage: Option<Stage>,
    /// Canceled before the task started, or after.
    pub canceled_before_start: Option<bool>,
    /// HTTP status of the last submit, sync or result call; empty: any.
    pub statuses: Vec<StatusRange>,
    /// Facts, for example a failure code. A fact that is not seen does not match.
    pub facts: Vec<Condition>,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The provider refused it.
    Refused,
    /// The provider took it.
    Accepted,
}

/// A range of HTTP statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusRange {
    /// Lowest.
    pub from: u16,
    /// Highest.
    pub to: u16,
}

/// What is charged.
#[derive(Clone, Debug, PartialEq)]
pub enum Terms {
    /// Everything, as if it had succeeded.
    Full,
    /// Nothing.
    None,
    /// What was really done, by the first of these sources that has a value, in the meter's unit; unknown
    /// where none has.
    Prorated(Vec<Source>),
    /// So many of the meter's unit.
    Fixed(Decimal),
    /// What the provider reports; unknown where the spans do not show it.
    Reported,
    /// Not documented: between nothing and everything, this share expected.
    Unknown {
        /// Between 0 and 1.
        probability: Decimal,
    },
}

/// Half: the share expected where a policy is unknown and nobody has a better figure.
pub const HALF: Decimal = Decimal::from_parts(5, 0, 0, false, 1);

/// An attempt as policy rows see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) attempt: &'a Attempt,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<FailureReason>,
}

impl<'a> Case<'a> {
    /// The attempt as it is.
    pub(crate) fn of(attempt: &'a Attempt) -> Self {
        Self { attempt, outcome: attempt.outcome, reason: attempt.failure_reason }
    }

    /// The attempt as it would be with another outcome.
    pub(crate) fn if_it_had(attempt: &'a Attempt, outcome: Outcome) -> Self {
        let reason = (outcome == Outcome::Failed).then_some(FailureReason::Unknown);
        Self { attempt, outcome, reason }
    }
}

impl When {
    pub(crate) fn matches(&self, case: Case<'_>) -> bool {
        let attempt = case.attempt;
        let stage = if attempt.accepted == Accepted::No { Stage::Refused } else { Stage::Accepted };
        (self.outcomes.is_empty() || self.outcomes.contains(&case.outcome))
            && (self.reasons.is_empty() || case.reason.is_some_and(|reason| self.reasons.contains(&reason)))
            && self.stage.is_none_or(|wanted| wanted == stage)
            && self.canceled_before_start.is_none_or(|wanted| wanted == attempt.canceled_before_start)
            && (self.statuses.is_empty() || self.matches_status(attempt))
            && (self.facts.is_empty() || all_hold(&self.facts, attempt) == Some(true))
    }

    fn matches_status(&self, attempt: &Attempt) -> bool {
        attempt
            .status()
            .is_some_and(|status| self.statuses.iter().any(|range| (range.from..=range.to).contains(&status)))
    }
}
