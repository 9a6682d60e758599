//! The `rates:` section of a provider file: what a provider charges for, at which price, and by which policy.
//!
//! [`RatesSection`] is the section as written (`section.rs`); `check.rs` finds what is well formed and still
//! wrong, `money.rs` with what a price goes through; `compile.rs` turns it into a
//! [`spantally_price::RateCard`]. `docs/pricing.md` explains it to those who write one.

mod check;
mod compile;
mod date;
mod money;
mod policy;
mod section;
mod words;

pub use section::{
    AssumeRule, CancelWord, Comparison, CreditRule, DiscountRule, ExchangeRule, FactorRule, MeterRule,
    MultiplierRule, NumberRange, PolicyRule, PriceRule, QuantityRule, RatesSection, ReportedRule, SourceRule,
    StageWord, TariffRule, Voice, WhenRule,
};
pub use words::{ChargeWord, UNITS};

pub(crate) use compile::compile;

#[cfg(test)]
mod tests;
