//! The compiled rate card of a provider, and all of them: what [`crate::bill`] reads.
//!
//! A provider file's `rates:` section becomes one (`spantally-providers`, `rates/`). A *tariff* says how one
//! group of models is billed: its meters, and the policy rows that are its own. The first tariff in file
//! order whose patterns take the model and the operation is the one; exact names are found by a map, patterns
//! by a walk. The next file in the flow is `prices.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, Cause, UnixNanos};

use crate::bill::UnpricedReason;
use crate::condition::Condition;
use crate::fact::billed_model;
use crate::glob::Pattern;
use crate::policy::{Case, HALF, PolicyRow};
use crate::price::{Citation, Credit, Exchange, PriceRow};
use crate::quantity::{Rounding, Source};

/// One thing that a provider counts and charges for.
#[derive(Clone, Debug, PartialEq)]
pub struct Meter {
    /// `provider/meter`, for example `fal/flux_image`.
    pub rule: Arc<str>,
    /// Unit, for example `second`.
    pub unit: Arc<str>,
    /// Where the quantity comes from, strongest first.
    pub quantity: Vec<Source>,
    /// How the used quantity is rounded.
    pub rounding: Rounding,
    /// How the credits are rounded, when it is priced in credits (a minimum a task, whole credits).
    pub credit_rounding: Rounding,
    /// The part of the quantity that was made and never played, strongest source first: charged with cause
    /// *interrupted*.
    pub interrupted: Vec<Source>,
    /// A charge for calls (cause *poll* or *webhook*): no policy is asked. None: a charge for the attempt.
    pub cause: Option<Cause>,
    /// ISO 4217 code, or the name of a credit of the card, of every row.
    pub currency: Arc<str>,
    /// Rate table; empty: no price is known.
    pub prices: Vec<PriceRow>,
    /// Tables of factors, each of which multiplies the unit price (a voice that costs double, a contract's
    /// discount). Each ends in a row without conditions.
    pub multipliers: Vec<Vec<PriceRow>>,
}

/// Money or credits that the provider itself reports for an attempt: replaces every meter of the tariff.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedCost {
    /// `provider/name`.
    pub rule: Arc<str>,
    /// The fact, and what one of it is of the currency (an xAI tick: 0.0000000001 of a dollar).
    pub amount: Source,
    /// ISO 4217 code, or the name of a credit of the card.
    pub currency: Arc<str>,
    /// Of credits: how many of them were for what was made and never played, strongest source first.
    pub interrupted: Vec<Source>,
    /// Who says that the provider reports it.
    pub citation: Citation,
}

/// How one group of models is billed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tariff {
    /// Models that it is for. The empty pattern: no span names the model.
    pub models: Vec<Pattern>,
    /// Operations that it is for; empty: any, also none.
    pub operations: Vec<Pattern>,
    /// Cost that the provider reports, strongest first.
    pub reported: Vec<ReportedCost>,
    /// What it charges for.
    pub meters: Vec<Meter>,
    /// Policy rows asked before those of the card.
    pub policy: Vec<PolicyRow>,
}

impl Tariff {
    fn takes(&self, model: &str, operation: &str) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model)) && self.takes_operation(operation)
    }

    fn takes_operation(&self, operation: &str) -> bool {
        self.operations.is_empty() || self.operations.iter().any(|pattern| pattern.matches(operation))
    }
}

/// What a provider's file says about money.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateCard {
    /// Name of the provider file.
    pub provider: Arc<str>,
    tariffs: Vec<Tariff>,
    policy: Vec<PolicyRow>,
    credits: Vec<Credit>,
    exchange: Vec<Exchange>,
    reported: Vec<ReportedCost>,
    /// Tariffs that may take a model named so, in file order: those that name it and those with a pattern
    /// that takes it. Every literal model of the file is here, the unseen model (empty) too.
    by_model: BTreeMap<Arc<str>, Vec<u32>>,
    /// Tariffs with a pattern, in file order, for the models that no tariff names.
    by_pattern: Vec<u32>,
    asks_whose: bool,
}

impl RateCard {
    /// Compiles a card. The loader has checked it; nothing here fails.
    pub fn new(
        provider: Arc<str>,
        tariffs: Vec<Tariff>,
        policy: Vec<PolicyRow>,
        credits: Vec<Credit>,
    ) -> Self {
        let patterns = || tariffs.iter().flat_map(|tariff| &tariff.models);
        let numbered = || (0_u32..).zip(&tariffs);
        let by_model = patterns()
            .filter(|pattern| pattern.is_literal())
            .map(|name| {
                let name = name.as_str();
                let takes = |tariff: &Tariff| tariff.models.iter().any(|pattern| pattern.matches(name));
                let indices = numbered().filter(|(_, tariff)| takes(tariff)).map(|(index, _)| index);
                (Arc::from(name), indices.collect())
            })
            .collect();
        let has_pattern = |tariff: &Tariff| tariff.models.iter().any(|pattern| !pattern.is_literal());
        let by_pattern =
            numbered().filter(|(_, tariff)| has_pattern(tariff)).map(|(index, _)| index).collect();
        let asks_whose = asks_whose(&tariffs, &policy, &credits);
        Self {
            provider,
            tariffs,
            policy,
            credits,
            exchange: Vec::new(),
            reported: Vec::new(),
            by_model,
            by_pattern,
            asks_whose,
        }
    }

    /// The same card with exchange rates: prices in a currency that has one are charged in the other.
    pub fn with_exchange(self, exchange: Vec<Exchange>) -> Self {
        Self { exchange, ..self }
    }

    /// The same card with cost that the provider reports whatever the model.
    pub fn with_reported(self, reported: Vec<ReportedCost>) -> Self {
        Self { reported, ..self }
    }

    /// Cost that the provider reports whatever the model.
    pub fn reported(&self) -> &[ReportedCost] {
        &self.reported
    }

    /// Every tariff, in file order.
    pub fn tariffs(&self) -> &[Tariff] {
        &self.tariffs
    }

    /// The provider's own policy rows, in file order.
    pub fn policy(&self) -> &[PolicyRow] {
        &self.policy
    }

    /// Every credit rate, in file order.
    pub fn credits(&self) -> &[Credit] {
        &self.credits
    }

    /// Every currency that it may charge in: of prices, of credits and of reported money, after the exchange.
    pub fn currencies(&self) -> impl Iterator<Item = &str> {
        let tariffs = || self.tariffs.iter();
        let reported = tariffs().flat_map(|tariff| &tariff.reported).chain(&self.reported);
        let priced = tariffs().flat_map(|tariff| &tariff.meters).map(|meter| &meter.currency);
        let stated = priced.chain(reported.map(|reported| &reported.currency));
        let money = stated.filter(|name| !self.is_credit(name));
        let money = money.chain(self.credits.iter().map(|credit| &credit.currency));
        money.map(|name| &**name).chain(self.exchange.iter().map(|exchange| &*exchange.to))
    }

    /// The tariff for a model and an operation; either is empty when no span names it.
    pub fn tariff(&self, model: &str, operation: &str) -> Option<&Tariff> {
        let indices = self.by_model.get(model).unwrap_or(&self.by_pattern);
        let candidates = indices.iter().filter_map(|index| self.tariffs.get(*index as usize));
        candidates.into_iter().find(|tariff| tariff.takes(model, operation))
    }

    /// The policy row that decides a case: the tariff's own come first.
    pub(crate) fn policy_for<'a>(
        &'a self,
        tariff: Option<&'a Tariff>,
        case: Case<'_>,
    ) -> Option<&'a PolicyRow> {
        let own = tariff.into_iter().flat_map(|tariff| &tariff.policy);
        own.chain(&self.policy).find(|row| row.when.matches(case))
    }

    /// Whether a currency is one of the card's credits.
    pub(crate) fn is_credit(&self, currency: &str) -> bool {
        self.credits.iter().any(|credit| *credit.name == *currency)
    }

    /// The policy row that decides what an attempt is charged; none: no row matches.
    pub fn policy_of(&self, attempt: &Attempt) -> Option<&PolicyRow> {
        self.policy_for(self.tariff(billed_model(attempt), &attempt.operation), Case::of(attempt))
    }

    /// Whether any of its rows is about whose job it is.
    pub(crate) fn asks_whose(&self) -> bool {
        self.asks_whose
    }

    /// The exchange rate of a currency at a time; none when prices in it are charged in it.
    pub(crate) fn exchange(
        &self,
        currency: &str,
        at: UnixNanos,
    ) -> Result<Option<&Exchange>, UnpricedReason> {
        let mut rates = self.exchange.iter().filter(|exchange| *exchange.from == *currency).peekable();
        if rates.peek().is_none() {
            return Ok(None);
        }
        rates.find(|exchange| exchange.period.contains(at)).map(Some).ok_or(UnpricedReason::NoPriceAtTime)
    }

    /// Day of the oldest look at a source among the prices and credit rates; none without any.
    pub fn as_of(&self) -> Option<UnixNanos> {
        let prices = self.tariffs.iter().flat_map(|tariff| &tariff.meters).flat_map(|meter| &meter.prices);
        let prices = prices.map(|row| row.citation.as_of);
        prices.chain(self.credits.iter().map(|credit| credit.citation.as_of)).min()
    }
}

fn asks_whose(tariffs: &[Tariff], policy: &[PolicyRow], credits: &[Credit]) -> bool {
    let meters = || tariffs.iter().flat_map(|tariff| &tariff.meters);
    let prices = meters().flat_map(|meter| meter.prices.iter().chain(meter.multipliers.iter().flatten()));
    let rows = policy.iter().chain(tariffs.iter().flat_map(|tariff| &tariff.policy));
    let conditions = prices.flat_map(|row| &row.when).chain(rows.flat_map(|row| &row.when.facts));
    conditions.chain(credits.iter().flat_map(|credit| &credit.when)).any(Condition::asks_whose)
}

/// The rate cards of all providers, and what is assumed where none can know.
#[derive(Clone, Debug, PartialEq)]
pub struct Cards {
    by_provider: BTreeMap<Arc<str>, Arc<RateCard>>,
    /// How likely an ambiguous submit made a task that bills: between 0 and 1.
    pub(crate) ambiguous_probability: Decimal,
    pub(crate) words: Words,
}

/// What decided a charge where no policy row did: the values of [`crate::Charge::policy`] that are not
/// `provider/row`.
pub mod decided_by {
    /// Nothing was sent to the provider.
    pub const NOT_SENT: &str = "not_sent";
    /// Another attempt of the job is charged for the task that this one shares with it.
    pub const SAME_TASK: &str = "same_task";
    /// Nobody knows whether the provider took the submit.
    pub const AMBIGUOUS: &str = "ambiguous_submit";
    /// The outcome is not in the spans: between the policy for failure and that for success.
    pub const UNVERIFIED: &str = "unverified";
    /// The provider reported what it bills.
    pub const REPORTED: &str = "reported";
    /// Charged for every call, whatever came of the attempt.
    pub const PER_CALL: &str = "per_call";
    /// No row matches: treated as an unknown policy.
    pub const NO_POLICY: &str = "no_policy";
    /// No rate card, or no tariff in it, takes the model.
    pub const NO_TARIFF: &str = "no_tariff";
}

/// Shared texts, made once so that a bill allocates none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Words {
    pub(crate) none: Arc<str>,
    pub(crate) task: Arc<str>,
    pub(crate) credit: Arc<str>,
    pub(crate) not_sent: Arc<str>,
    pub(crate) same_task: Arc<str>,
    pub(crate) ambiguous: Arc<str>,
    pub(crate) unverified: Arc<str>,
    pub(crate) reported: Arc<str>,
    pub(crate) per_call: Arc<str>,
    pub(crate) no_policy: Arc<str>,
    pub(crate) no_tariff: Arc<str>,
    /// The rule of money that a span states without one of the card's own.
    pub(crate) cost_stated: Arc<str>,
    pub(crate) dollar: Arc<str>,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            none: "".into(),
            task: "task".into(),
            credit: "credit".into(),
            not_sent: decided_by::NOT_SENT.into(),
            same_task: decided_by::SAME_TASK.into(),
            ambiguous: decided_by::AMBIGUOUS.into(),
            unverified: decided_by::UNVERIFIED.into(),
            reported: decided_by::REPORTED.into(),
            per_call: decided_by::PER_CALL.into(),
            no_policy: decided_by::NO_POLICY.into(),
            no_tariff: decided_by::NO_TARIFF.into(),
            cost_stated: "cost_stated".into(),
            dollar: "USD".into(),
        }
    }
}

impl Default for Cards {
    /// No cards; an ambiguous submit is as likely to bill as not.
    fn default() -> Self {
        Self { by_provider: BTreeMap::new(), ambiguous_probability: HALF, words: Words::default() }
    }
}

impl Cards {
    /// Adds a provider's card, in place of an earlier one of the same provider.
    pub fn insert(&mut self, card: RateCard) {
        self.by_provider.insert(card.provider.clone(), Arc::new(card));
    }

    /// How likely an ambiguous submit made a task that bills; clamped to between 0 and 1.
    pub fn set_ambiguous_probability(&mut self, probability: Decimal) {
        self.ambiguous_probability = probability.clamp(Decimal::ZERO, Decimal::ONE);
    }

    /// A provider's card.
    pub fn get(&self, provider: &str) -> Option<&RateCard> {
        self.by_provider.get(provider).map(|card| &**card)
    }

    /// Every card, by provider name.
    pub fn iter(&self) -> impl Iterator<Item = &RateCard> {
        self.by_provider.values().map(|card| &**card)
    }
}
