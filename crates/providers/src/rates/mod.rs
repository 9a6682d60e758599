//! The `rates:` section of a provider file: what a provider charges for, at which price, and by which policy.
//!
//! [`RatesSection`] is the section as written (`section.rs`); `check.rs` finds what is well formed and still
//! wrong; `compile.rs` turns it into a [`spantally_price::RateCard`]. `docs/pricing.md` explains it to those
//! who write one.

mod check;
mod compile;
mod date;
mod policy;
mod section;
mod words;

pub use section::{
    AssumeRule, Comparison, CreditRule, MeterRule, NumberRange, PolicyRule, PriceRule, QuantityRule,
    RatesSection, ReportedRule, SourceRule, TariffRule, Voice, WhenRule,
};
pub use words::{ChargeWord, UNITS};

pub(crate) use compile::compile;

#[cfg(test)]
mod tests;
