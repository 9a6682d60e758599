//! What the configuration says of a budget or an account.

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::period::PeriodKind;

/// What is measured. Two are never added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Money, or a provider's credit that has a price: the expected cost in that currency.
    Currency(String),
    /// Billed units, for accounts whose balance the provider shows in credits, seconds or characters.
    Unit(String),
}

impl Measure {
    /// The currency or the unit, as the label `currency` has it.
    pub fn name(&self) -> &str {
        match self {
            Self::Currency(name) | Self::Unit(name) => name,
        }
    }
}

/// Which jobs count: those that have each of these labels with this value. Empty is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Label and value.
    pub labels: Vec<(String, String)>,
}

/// A limit for the spend in a calendar period.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetDefinition {
    /// Its name, as in the label `budget`.
    pub name: String,
    /// Most that may be spent in a period.
    pub limit: Decimal,
    /// In what.
    pub measure: Measure,
    /// How long a period is.
    pub period: PeriodKind,
    /// Where midnight is.
    pub time_zone: TimeZone,
    /// Which jobs count.
    pub scope: Scope,
}

/// A prepaid balance.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountDefinition {
    /// Its name, as in the label `account`.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// What was left at [`Self::as_of`].
    pub balance: Decimal,
    /// When that was.
    pub as_of: UnixNanos,
    /// When that balance expires, if it does.
    pub expires: Option<UnixNanos>,
    /// What was, or will be, bought since.
    pub top_ups: Vec<TopUp>,
    /// Which jobs are paid from it.
    pub scope: Scope,
}

/// Credits that were bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUp {
    /// How many.
    pub amount: Decimal,
    /// From when on.
    pub at: UnixNanos,
    /// Until when, if they expire.
    pub expires: Option<UnixNanos>,
}
