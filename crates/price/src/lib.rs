//! Jobs into charges, exactly.
//!
//! Pure: no IO, no clock, no randomness, no logging. Money is decimal; an unknown widens a bound, it is never zero.

mod bill;

pub use bill::{Basis, Bill, Bound, Charge, Unpriced, UnpricedReason};
