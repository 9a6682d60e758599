//! A job as read back from its JSON: what `jobs` and `explain` show, whether it comes from a server, from the
//! ledger or from a recording.
//!
//! The field order is that of [`crate::job_json`], which writes it; a test holds that reading and writing it
//! again changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use spantally_price::{Basis, decided_by};
use spantally_stitch::{Cause, Role};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JobDoc {
    pub job_id: String,
    pub revision: u32,
    pub state: String,
    pub tenant: String,
    pub service: String,
    pub provider: String,
    pub model: String,
    pub operation: String,
    pub outcome: String,
    pub failure_reason: Option<String>,
    pub spans: Vec<String>,
    pub started_at: String,
    pub ended_at: String,
    pub attempts: Vec<AttemptDoc>,
    pub charges: Vec<ChargeDoc>,
    pub cost: BTreeMap<String, CostDoc>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<UnpricedDoc>,
    #[serde(default, skip_serializing_if = "LabelsDoc::is_empty")]
    pub labels: LabelsDoc,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_task: Option<String>,
}

/// Its extra labels: by name; or values alone, in a ledger that does not say what they were called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum LabelsDoc {
    Named(BTreeMap<String, String>),
    Listed(Vec<String>),
}

impl Default for LabelsDoc {
    fn default() -> Self {
        Self::Named(BTreeMap::new())
    }
}

impl LabelsDoc {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Named(labels) => labels.is_empty(),
            Self::Listed(values) => values.is_empty(),
        }
    }

    /// For people, `team=video, env=prod`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Named(labels) => {
                let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                pairs.join(", ")
            }
            Self::Listed(values) => values.join(", "),
        }
    }
}

impl JobDoc {
    /// Whether a span, `trace:span`, is of this job: a call of it, or above it alone.
    pub(super) fn has_span(&self, span: &str) -> bool {
        let above = self.spans.iter().any(|own| own == span);
        above || self.attempts.iter().any(|attempt| attempt.spans.role(span).is_some())
    }
}

/// One attempt of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AttemptDoc {
    pub task_id: Option<String>,
    pub accepted: String,
    pub outcome: String,
    pub failure_reason: Option<String>,
    pub cause: String,
    pub polls: usize,
    pub spans: SpansDoc,
    pub joins: Vec<JoinDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canceled_before_start: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_seconds: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<FactDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// The spans of an attempt's calls, by role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SpansDoc {
    submit: Vec<String>,
    poll: Vec<String>,
    result: Vec<String>,
    cancel: Vec<String>,
    webhook: Vec<String>,
    download: Vec<String>,
    sync: Vec<String>,
    session: Vec<String>,
}

impl SpansDoc {
    /// The spans of a role.
    pub(super) fn of(&self, role: Role) -> &[String] {
        match role {
            Role::Submit => &self.submit,
            Role::Poll => &self.poll,
            Role::Result => &self.result,
            Role::Cancel => &self.cancel,
            Role::Webhook => &self.webhook,
            Role::Download => &self.download,
            Role::Sync => &self.sync,
            Role::Session => &self.session,
        }
    }

    /// The role of a span.
    pub(super) fn role(&self, span: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|&role| self.of(role).iter().any(|own| own == span))
    }
}

/// Why a part of an attempt is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JoinDoc {
    pub rule: String,
    pub confidence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// A quantity or a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FactDoc {
    pub name: String,
    pub value: String,
    pub source: String,
}

/// One charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ChargeDoc {
    pub attempt: usize,
    pub unit: String,
    pub quantity: Decimal,
    pub unit_price: Option<Decimal>,
    /// What was used, where that is billed in another unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed: Option<ConsumedDoc>,
    pub cost: Option<Decimal>,
    /// The least, where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_min: Option<Decimal>,
    /// The most, where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_max: Option<Decimal>,
    pub currency: Option<String>,
    pub cause: String,
    pub basis: String,
    pub rule: String,
    #[serde(default)]
    pub policy: String,
}

/// The seconds behind credits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ConsumedDoc {
    pub unit: String,
    pub quantity: Decimal,
}

impl ChargeDoc {
    /// Whether it may turn out to be another one than expected.
    pub(super) fn is_unsure(&self) -> bool {
        self.basis == Basis::Assumed.as_str() || self.policy == decided_by::UNVERIFIED
    }

    /// What it costs with its bound; none without a price.
    pub(super) fn bound(&self) -> Option<CostDoc> {
        let expected = self.cost?;
        let or_expected = |bound: Option<Decimal>| bound.unwrap_or(expected);
        Some(CostDoc { min: or_expected(self.cost_min), expected, max: or_expected(self.cost_max) })
    }
}

/// What a job costs in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CostDoc {
    pub min: Decimal,
    pub expected: Decimal,
    pub max: Decimal,
}

impl CostDoc {
    /// From the least to the most.
    pub(super) fn width(self) -> Decimal {
        self.max.saturating_sub(self.min)
    }

    /// With its bound, where it has one.
    pub(super) fn text(self) -> String {
        let Self { min, expected, max } = self;
        if min == max { expected.to_string() } else { format!("{expected} ({min} to {max})") }
    }

    /// All of them together.
    fn sum(costs: impl Iterator<Item = Self>) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            min: sum.min.saturating_add(cost.min),
            expected: sum.expected.saturating_add(cost.expected),
            max: sum.max.saturating_add(cost.max),
        })
    }
}

/// An attempt without a price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct UnpricedDoc {
    pub attempt: usize,
    pub reason: String,
}

impl JobDoc {
    /// Polls of all attempts.
    pub(super) fn polls(&self) -> usize {
        self.attempts.iter().map(|attempt| attempt.polls).sum()
    }

    /// When it started, in milliseconds since 1970; 0 if that cannot be read.
    pub(super) fn started_ms(&self) -> i64 {
        unix_ms(&self.started_at).unwrap_or_default()
    }

    /// Expected cost in a currency of the causes that are in.
    pub(super) fn part(&self, currency: &str, is_in: impl Fn(Cause) -> bool) -> Decimal {
        let charges =
            self.charges_in(currency).filter(|charge| Cause::parse(&charge.cause).is_some_and(&is_in));
        charges.filter_map(|charge| charge.cost).sum()
    }

    /// Its charges in a currency.
    pub(super) fn charges_in<'a>(&'a self, currency: &'a str) -> impl Iterator<Item = &'a ChargeDoc> {
        self.charges.iter().filter(move |charge| charge.currency.as_deref() == Some(currency))
    }

    /// Whether the bounds of its charges in a currency say all that is not known of it: not so in a document
    /// of a ledger from before charges had them.
    pub(super) fn charges_make_up(&self, currency: &str, cost: CostDoc) -> bool {
        CostDoc::sum(self.charges_in(currency).filter_map(ChargeDoc::bound)) == cost
    }

    /// What some of its charges cost in a currency; none where none of them is in it.
    ///
    /// Where charges have no bounds, those that are not sure are together as far from what is expected as the
    /// job is: the bound is exact where all or none of them are among those that are in; where some are and
    /// others are not, each side may have all of the spread, which holds, and may be wider than it need be.
    pub(super) fn cost_of(&self, currency: &str, is_in: impl Fn(&ChargeDoc) -> bool) -> Option<CostDoc> {
        let taken: Vec<&ChargeDoc> = self.charges_in(currency).filter(|charge| is_in(charge)).collect();
        if taken.is_empty() {
            return None;
        }
        let sum = CostDoc::sum(taken.iter().filter_map(|charge| charge.bound()));
        let Some(whole) = self.cost.get(currency) else { return Some(sum) };
        if self.charges_make_up(currency, *whole) {
            return Some(sum);
        }
        // Should none of them be what makes the bound, any may be.
        let nobody_is_unsure = !self.charges_in(currency).any(ChargeDoc::is_unsure);
        if !nobody_is_unsure && !taken.iter().any(|charge| charge.is_unsure()) {
            return Some(sum);
        }
        let (expected, below) = (sum.expected, whole.expected.saturating_sub(whole.min));
        let above = whole.max.saturating_sub(whole.expected);
        let min = expected.saturating_sub(below).max(Decimal::ZERO);
        Some(CostDoc { min, expected, max: expected.saturating_add(above) })
    }

    /// Whether it is known to cost nothing, in whatever currency: no attempt lacks a price, and no charge
    /// has a quantity.
    pub(super) fn is_free(&self) -> bool {
        self.cost.is_empty()
            && self.unpriced.is_empty()
            && self.charges.iter().all(|charge| charge.quantity.is_zero())
    }

    /// Whether it brought something.
    pub(super) fn has_delivered(&self) -> bool {
        matches!(self.outcome.as_str(), "succeeded" | "partial")
    }

    /// Cost with its bound, every currency, for people.
    pub(super) fn cost_text(&self) -> String {
        if self.cost.is_empty() {
            return if self.is_free() { "nothing" } else { "no price" }.to_owned();
        }
        let cost = |(currency, cost): (&String, &CostDoc)| format!("{currency} {}", cost.text());
        let rest = (!self.unpriced.is_empty()).then(|| "a part without a price".to_owned());
        self.cost.iter().map(cost).chain(rest).collect::<Vec<_>>().join(", ")
    }

    /// The outcome, with its reason when there is one.
    pub(super) fn outcome_text(&self) -> String {
        match &self.failure_reason {
            Some(reason) => format!("{}: {reason}", self.outcome),
            None => self.outcome.clone(),
        }
    }
}

/// A moment of the JSON in milliseconds since 1970.
pub(super) fn unix_ms(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests;
