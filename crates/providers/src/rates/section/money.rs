//! What a price goes through on its way to a charge, as it is written: factors, discounts, credits, exchange
//! rates.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Comparison;
use crate::rates::date::Day;
use crate::rates::words::Number;

/// A table of factors: the first that holds multiplies the unit price, none leaves it as it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiplierRule {
    /// What it is for people, for example `voice`.
    pub name: Spanned<String>,
    /// The factors.
    pub factors: Spanned<Vec<Spanned<FactorRule>>>,
}

/// One factor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorRule {
    /// The unit price is multiplied by this.
    pub factor: Spanned<Number>,
    /// Facts that select it.
    #[serde(default)]
    pub when: BTreeMap<String, Spanned<Comparison>>,
    /// The one to expect where the spans do not show the facts; 1 when none is.
    #[serde(default)]
    pub default: bool,
    /// First day.
    pub effective_from: Day,
    /// First day after it; absent: still in force.
    pub effective_until: Option<Spanned<Day>>,
    /// Key of `sources`.
    pub source: Spanned<String>,
    /// When the source was read; the source's own day when absent.
    pub as_of: Option<Day>,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}

/// A discount of an account: a contract, a commitment, a promotion.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscountRule {
    /// What it is for people, for example `contract`.
    pub name: Spanned<String>,
    /// How many percent less, more than 0 and at most 100.
    pub percent: Spanned<Number>,
    /// Facts that select it; `model` and `operation` count as facts.
    #[serde(default)]
    pub when: BTreeMap<String, Spanned<Comparison>>,
    /// First day.
    pub effective_from: Day,
    /// First day after it; absent: still in force.
    pub effective_until: Option<Spanned<Day>>,
    /// Key of `sources`.
    pub source: Spanned<String>,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}

/// The price of one currency in another.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRule {
    /// ISO 4217 code of what prices are in.
    pub from: Spanned<String>,
    /// ISO 4217 code of what is charged.
    pub to: Spanned<String>,
    /// One `from` is so many `to`.
    pub rate: Spanned<Number>,
    /// First day.
    pub effective_from: Day,
    /// First day after it; absent: still in force.
    pub effective_until: Option<Spanned<Day>>,
    /// Key of `sources`.
    pub source: Spanned<String>,
    /// When the source was read; the source's own day when absent.
    pub as_of: Option<Day>,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}

/// The money price of one credit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditRule {
    /// Its name, for example `runway_credit`.
    pub name: Spanned<String>,
    /// The pack that it was bought in, where packs differ in price.
    #[serde(default)]
    pub pack: String,
    /// Whose jobs are paid by it: `tenant`, `service`. Where one says so, those that do not are not asked.
    #[serde(default)]
    pub when: BTreeMap<String, Spanned<Comparison>>,
    /// The pack to expect, for no span says from which one a task was paid.
    #[serde(default)]
    pub default: bool,
    /// Price of one.
    pub price: Spanned<Number>,
    /// ISO 4217 code.
    pub currency: Spanned<String>,
    /// First day.
    pub effective_from: Day,
    /// First day after it; absent: still in force.
    pub effective_until: Option<Spanned<Day>>,
    /// Key of `sources`.
    pub source: Spanned<String>,
    /// When the source was read; the source's own day when absent.
    pub as_of: Option<Day>,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}
