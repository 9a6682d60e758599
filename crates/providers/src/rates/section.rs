//! The `rates:` section as it is written. Reading is strict: an unknown key or word is an error with its
//! place. Next: `check.rs`.

mod comparison;
mod money;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;
use spantally_stitch::{Cause, FailureReason, Outcome, Role};

pub use comparison::{Comparison, NumberRange};
pub use money::{CreditRule, DiscountRule, ExchangeRule, FactorRule, MultiplierRule};

use super::date::Day;
use super::words::{ChargeWord, Number};
use crate::vocabulary::{StatusPattern, Word};

/// The whole section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatesSection {
    /// Where figures come from, by a short name that prices and policy rows use.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceRule>,
    /// ISO 4217 code of the prices that name no currency.
    pub currency: Option<Spanned<String>>,
    /// How groups of models are billed; the first that takes a model and an operation is the one.
    #[serde(default)]
    pub tariffs: Vec<TariffRule>,
    /// What is charged for which end; first match wins, after the rows of the tariff.
    #[serde(default)]
    pub policy: Vec<PolicyRule>,
    /// Money prices of the provider's credits.
    #[serde(default)]
    pub credits: Vec<CreditRule>,
    /// Cost that the provider itself reports, whatever the model; asked after those of the tariff.
    #[serde(default)]
    pub reported: Vec<ReportedRule>,
    /// Contract discounts on every price of the file.
    #[serde(default)]
    pub discounts: Vec<DiscountRule>,
    /// In which other currency prices are charged, at which rate; without one they stay in their own.
    #[serde(default)]
    pub exchange: Vec<ExchangeRule>,
}

/// A page or a repository that figures come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRule {
    /// Its address.
    pub url: Spanned<String>,
    /// When it was read.
    pub as_of: Day,
    /// Whether the provider or somebody else says it.
    #[serde(default)]
    pub confidence: Voice,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}

/// Who says a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// The provider itself.
    #[default]
    Provider,
    /// Somebody else: a price list, a gateway, a blog.
    ThirdParty,
}

/// How one group of models is billed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffRule {
    /// Model patterns; `*` stands for any run of characters, the empty text for "no span names the model".
    pub models: Spanned<Vec<Spanned<String>>>,
    /// Operation patterns; absent: any operation, also none.
    #[serde(default)]
    pub operations: Vec<Spanned<String>>,
    /// Cost that the provider itself reports: replaces the meters where the spans show it.
    #[serde(default)]
    pub reported: Vec<ReportedRule>,
    /// What is charged for.
    #[serde(default)]
    pub meters: Vec<MeterRule>,
    /// Policy rows of these models, asked first.
    #[serde(default)]
    pub policy: Vec<PolicyRule>,
    /// The first day on which the provider does not serve these models any more. Old jobs keep their prices.
    pub retired: Option<Day>,
}

/// Cost that the provider reports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedRule {
    /// Names the rule in charges.
    pub name: Spanned<String>,
    /// The fact that holds it.
    pub fact: Spanned<String>,
    /// One of the fact is so much of the currency; 1 when absent.
    pub scale: Option<Spanned<Number>>,
    /// ISO 4217 code or credit; the section's when absent.
    pub currency: Option<Spanned<String>>,
    /// Of credits: how many were for what was made and never played, strongest first.
    #[serde(default)]
    pub interrupted: Vec<Spanned<QuantityRule>>,
    /// Key of `sources`: who says that the provider reports it.
    pub source: Spanned<String>,
}

/// One thing that is counted and charged for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterRule {
    /// Names the rule in charges: `provider/name`.
    pub name: Spanned<String>,
    /// One of [`super::UNITS`].
    pub unit: Spanned<String>,
    /// Where the quantity comes from, strongest first.
    pub quantity: Spanned<Vec<Spanned<QuantityRule>>>,
    /// So much of the unit is free in every task.
    pub free: Option<Spanned<Number>>,
    /// The quantity is rounded up to a multiple of this.
    pub block: Option<Spanned<Number>>,
    /// A task that bills anything bills at least this.
    pub minimum: Option<Spanned<Number>>,
    /// The credits are rounded up to a multiple of this.
    pub credit_block: Option<Spanned<Number>>,
    /// A task that bills anything bills at least so many credits.
    pub credit_minimum: Option<Spanned<Number>>,
    /// What was made and never played, strongest first: charged with cause *interrupted*.
    #[serde(default)]
    pub interrupted: Vec<Spanned<QuantityRule>>,
    /// Charged for calls, whatever came of the attempt.
    pub cause: Option<Word<Cause>>,
    /// ISO 4217 code or credit of every price; the section's when absent.
    pub currency: Option<Spanned<String>>,
    /// The rate table; empty: no price is known, and the units are counted without money.
    #[serde(default)]
    pub prices: Vec<Spanned<PriceRule>>,
    /// Factors of the unit price.
    #[serde(default)]
    pub multipliers: Vec<MultiplierRule>,
}

/// One source of a quantity: exactly one of the first eight keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantityRule {
    /// A fact by which the provider says what it bills: no policy is asked.
    pub reported: Option<Spanned<String>>,
    /// A fact that the answer, or the provider's bill, tells.
    pub response: Option<Spanned<String>>,
    /// A fact that the request asks for, or anything better.
    pub request: Option<Spanned<String>>,
    /// Always so much.
    pub constant: Option<Spanned<Number>>,
    /// How many calls of a role there are.
    pub count: Option<Word<Role>>,
    /// How long the calls of a role lasted together, in seconds.
    pub elapsed: Option<Word<Role>>,
    /// An expression in CEL over facts.
    pub formula: Option<Spanned<String>>,
    /// The documented smallest, default and largest quantity.
    pub assume: Option<AssumeRule>,
    /// With `reported`, `response` or `request`: one of the fact is so many of the unit; 1 when absent.
    pub scale: Option<Spanned<Number>>,
}

/// What a request may ask for, where the spans do not show what it did.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRule {
    /// The smallest request: a number, or a CEL expression over facts.
    pub smallest: Spanned<String>,
    /// The provider's default, likewise.
    pub default: Spanned<String>,
    /// The largest request, likewise.
    pub largest: Spanned<String>,
    /// Key of `sources`: who says so.
    pub source: Spanned<String>,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}

/// One row of a rate table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRule {
    /// Price of `per` units, in the meter's currency.
    pub price: Spanned<Number>,
    /// Of how many units; 1 when absent.
    pub per: Option<Spanned<Number>>,
    /// Facts that select the row; `size|resolution` is the first of the two that is seen.
    #[serde(default)]
    pub when: BTreeMap<String, Spanned<Comparison>>,
    /// The row to expect where the spans do not show the facts that select one.
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

/// One row of a policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Names the row in charges: `provider/name`.
    pub name: Spanned<String>,
    /// What it is for.
    #[serde(default)]
    pub when: WhenRule,
    /// What is charged.
    pub charge: Spanned<Word<ChargeWord>>,
    /// With `charge: prorated` or `fixed`: how much of the meter's unit, strongest first.
    #[serde(default)]
    pub quantity: Vec<Spanned<QuantityRule>>,
    /// With `charge: unknown`: the share to expect; half when absent.
    pub probability: Option<Spanned<Number>>,
    /// Key of `sources`; required unless the charge is unknown.
    pub source: Option<Spanned<String>>,
    /// When the source was read; the source's own day when absent.
    pub as_of: Option<Day>,
    /// What a reader should know.
    #[serde(default)]
    pub note: String,
}

/// What a policy row is for. Every key that is given must match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhenRule {
    /// Any of these ends.
    #[serde(default)]
    pub outcome: Vec<Word<Outcome>>,
    /// Any of these reasons.
    #[serde(default)]
    pub reason: Vec<Word<FailureReason>>,
    /// `refused` at the submit, or `accepted` as a task.
    pub stage: Option<StageWord>,
    /// Canceled before or after the task started.
    pub canceled: Option<CancelWord>,
    /// HTTP status of the last submit, sync or result call.
    #[serde(default)]
    pub status: Vec<Spanned<StatusPattern>>,
    /// Facts, for example a failure code. A fact that no span shows does not match.
    #[serde(default)]
    pub facts: BTreeMap<String, Spanned<Comparison>>,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageWord {
    /// The provider refused it.
    Refused,
    /// The provider took it.
    Accepted,
}

/// When a task was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelWord {
    /// Before it started.
    BeforeStart,
    /// While it ran.
    AfterStart,
}
