//! Conditions on facts: what selects a row of a rate table or of a policy.
//!
//! A condition on a fact that the spans do not show is neither met nor broken; the row then stays possible, and the
//! bound widens to it. The next file in the flow is `quantity.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, FactValue};

use crate::glob::Pattern;

/// A condition on one fact of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of the fact, for example `resolution`.
    pub fact: Arc<str>,
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
    /// Whether it holds for an attempt; none when the attempt does not show the fact.
    pub fn holds(&self, attempt: &Attempt) -> Option<bool> {
        let value = &attempt.fact(&self.fact)?.value;
        Some(match (&self.is, value) {
            (Is::OneOf(patterns), FactValue::Text(text)) => {
                patterns.iter().any(|pattern| pattern.matches(text))
            }
            (Is::OneOf(patterns), FactValue::Number(number)) => patterns.iter().any(|pattern| {
                pattern.as_str().parse::<Decimal>().is_ok_and(|wanted| wanted == *number)
                    || pattern.matches(&number.normalize().to_string())
            }),
            (Is::Between(least, most), FactValue::Number(number)) => {
                least.is_none_or(|least| *number >= least) && most.is_none_or(|most| *number <= most)
            }
            (Is::Between(..), FactValue::Text(_)) => false,
        })
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
