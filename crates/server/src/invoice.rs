//! An invoice, and what it is beside what the ledger has for it.
//!
//! [`crate::reconciliation`] reads the ledger's side and shows the verdict.

use rust_decimal::Decimal;
use spantally_price::Bound;
use spantally_stitch::UnixNanos;

/// What a provider wants for a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Invoice {
    /// The provider, as in the label.
    pub provider: String,
    /// The period as it was written, as in the label.
    pub period: String,
    /// Its first moment.
    pub from: UnixNanos,
    /// The first moment after it.
    pub until: UnixNanos,
    /// How much.
    pub amount: Decimal,
    /// In which currency.
    pub currency: String,
}

/// What an invoice is beside the ledger's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From the least to the most, to a cent.
    WithinBounds,
    /// More than the ledger can explain.
    Above,
    /// Less than the least.
    Below,
    /// The ledger has nothing for it.
    NothingBooked,
    /// More than the jobs with a price can explain, and there are some without: how much those cost is not
    /// known.
    UnpricedJobs,
    /// The ledger had rows that may have been of it, and its retention has removed them.
    RowsRemoved,
}

/// What the ledger has for an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Booked {
    /// Nothing.
    Nothing,
    /// The sum of its charges.
    Sum(Bound),
    /// The same, of the jobs that have a price; others have none.
    Part(Bound),
    /// Not known: rows are removed.
    Removed,
}

impl Verdict {
    /// Every value.
    pub const ALL: [Self; 6] = [
        Self::WithinBounds,
        Self::Above,
        Self::Below,
        Self::NothingBooked,
        Self::UnpricedJobs,
        Self::RowsRemoved,
    ];

    /// The word in the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WithinBounds => "within_bounds",
            Self::Above => "above",
            Self::Below => "below",
            Self::NothingBooked => "nothing_booked",
            Self::UnpricedJobs => "unpriced_jobs",
            Self::RowsRemoved => "rows_removed",
        }
    }

    /// An invoice is rounded to cents, line by line or as a whole.
    pub(crate) fn of(amount: Decimal, booked: Booked) -> Self {
        const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
        match booked {
            Booked::Removed => Self::RowsRemoved,
            Booked::Nothing => Self::NothingBooked,
            Booked::Part(booked) if amount > booked.max + CENT => Self::UnpricedJobs,
            Booked::Sum(booked) if amount > booked.max + CENT => Self::Above,
            Booked::Sum(booked) | Booked::Part(booked) if amount < booked.min - CENT => Self::Below,
            Booked::Sum(_) | Booked::Part(_) => Self::WithinBounds,
        }
    }
}
