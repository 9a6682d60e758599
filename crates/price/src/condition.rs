//! Conditions on facts: what selects a row of a rate table or of a policy.
//!
//! A condition on a fact that the spans do not show is neither met nor broken; the row then stays possible,
//! and the bound widens to it. The next file in the flow is `quantity.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, FactValue};

use crate::fact;
use crate::glob::Pattern;

/// Name under which a condition sees the model that the attempt is billed as.
pub const MODEL: &str = "model";

/// Name under which a condition sees the attempt's operation.
pub const OPERATION: &str = "operation";

/// Name under which a condition sees the tenant that the job is of.
pub const TENANT: &str = "tenant";

/// Name under which a condition sees the service that submitted the job.
pub const SERVICE: &str = "service";

/// A condition on one fact of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of the fact, for example `resolution`; of several, the first that the attempt shows.
    pub facts: Vec<Arc<str>>,
    /// What its value must be.
    pub is: Is,
}

/// What a fact's value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Is {
    /// One of these, by its text; a number is written in its shortest form.
    OneOf(Vec<Pattern>),
    /// A number between these, both included; an open end is no limit.
    Between(Option<Decimal>, Option<Decimal>),
}

impl Condition {
    /// Whether it is about whose job it is.
    pub(crate) fn asks_whose(&self) -> bool {
        self.facts.iter().any(|fact| [TENANT, SERVICE].contains(&&**fact))
    }

    /// Whether it holds for an attempt; none when the attempt does not show the fact. The model that the
    /// attempt is billed as and its operation count as facts of those names.
    pub fn holds(&self, attempt: &Attempt) -> Option<bool> {
        self.facts.iter().find_map(|name| self.holds_for(name, attempt))
    }

    fn holds_for(&self, name: &str, attempt: &Attempt) -> Option<bool> {
        let value = match name {
            MODEL => return self.holds_for_name(fact::billed_model(attempt)),
            OPERATION => return self.holds_for_name(&attempt.operation),
            name => match attempt.fact(name) {
                Some(fact) => &fact.value,
                None => &FactValue::Number(fact::derived(name, attempt)?),
            },
        };
        Some(match (&self.is, value) {
            (_, FactValue::Text(text)) => self.holds_for_text(text),
            (Is::OneOf(patterns), FactValue::Number(number)) => patterns.iter().any(|pattern| {
                pattern.as_str().parse::<Decimal>().is_ok_and(|wanted| wanted == *number)
                    || pattern.matches(&number.normalize().to_string())
            }),
            (Is::Between(least, most), FactValue::Number(number)) => {
                least.is_none_or(|least| *number >= least) && most.is_none_or(|most| *number <= most)
            }
        })
    }

    fn holds_for_name(&self, name: &str) -> Option<bool> {
        (!name.is_empty()).then(|| self.holds_for_text(name))
    }

    fn holds_for_text(&self, text: &str) -> bool {
        matches!(&self.is, Is::OneOf(patterns) if patterns.iter().any(|pattern| pattern.matches(text)))
    }
}

/// Whether all conditions hold: no, unless none is broken; yes, only if every fact is seen.
pub(crate) fn all_hold(conditions: &[Condition], attempt: &Attempt) -> Option<bool> {
    let mut sure = true;
    for condition in conditions {
        match condition.holds(attempt) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => sure = false,
        }
    }
    sure.then_some(true)
}
