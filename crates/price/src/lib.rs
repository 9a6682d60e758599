//! Jobs into charges, exactly.
//!
//! Pure: no IO, no clock, no randomness, no logging. Money is decimal; an unknown widens a bound, it is never
//! zero.
//!
//! A [`RateCard`] holds what a provider charges for, at which dated price, and by which policy. [`bill`]
//! reads a job with the [`Cards`] of all providers and returns its [`Bill`]; [`postings`] turns that into
//! amounts on accounts. Read in this order: `bill` (the nouns), `exact`, `fact`, `formula`, `glob`,
//! `condition`, `quantity`, `price`, `policy`, `card`, `prices`, `charge` (the verb), `posting`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

mod bill;
mod card;
mod charge;
mod condition;
mod exact;
mod fact;
#[cfg(test)]
mod fixture;
mod formula;
mod glob;
mod policy;
mod posting;
mod price;
mod prices;
mod quantity;

pub use bill::{Basis, Bill, Bound, Charge, Consumed, Unpriced, UnpricedReason};
pub use card::{Cards, Meter, RateCard, ReportedCost, Tariff, decided_by};
pub use charge::bill;
pub use condition::{Condition, Is, MODEL, OPERATION, SERVICE, TENANT};
pub use exact::{COST_MAX, PRICE_PLACES, QUANTITY_PLACES, add, product, sum};
pub use formula::{Formula, FormulaError};
pub use glob::Pattern;
pub use policy::{HALF, PolicyRow, Stage, StatusRange, Terms, When};
pub use posting::{Account, Measure, Posting, PostingKey, postings};
pub use price::{Citation, Credit, Exchange, Period, PriceRow};
pub use quantity::{Rounding, Source};
