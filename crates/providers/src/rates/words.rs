//! The words of the `rates:` section, and numbers that are never a float.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use spantally_stitch::{Cause, Outcome};

use crate::vocabulary::words;

/// The units of meters: what providers are known to bill by.
pub const UNITS: &[&str] = &[
    "audio_second",
    "character",
    "clip",
    "credit",
    "gpu_second",
    "hour",
    "image",
    "input_second",
    "kilobyte",
    "megapixel",
    "minute",
    "pixel_token",
    "poll",
    "reference_image",
    "request",
    "second",
    "session_second",
    "task",
    "token",
    "webhook",
];

/// A number as written: exact, with or without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Decimal::from_str_exact(&text).map(Self).map_err(|_| {
            D::Error::custom(format!("`{text}` is not a decimal number such as 0.025 with at most 28 digits"))
        })
    }
}

/// What a policy row charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeWord {
    /// Everything, as if it had succeeded.
    Full,
    /// Nothing.
    None,
    /// What was really done: the row's `quantity`.
    Prorated,
    /// A fixed quantity: the row's `quantity`.
    Fixed,
    /// What the provider reports.
    Reported,
    /// Not documented.
    Unknown,
}

words! { ChargeWord {
    "full" => ChargeWord::Full,
    "none" => ChargeWord::None,
    "prorated" => ChargeWord::Prorated,
    "fixed" => ChargeWord::Fixed,
    "reported" => ChargeWord::Reported,
    "unknown" => ChargeWord::Unknown,
} }

// `unknown` is no outcome that a policy can name: it is billed between the rows for failure and for success.
words! { Outcome {
    "succeeded" => Outcome::Succeeded,
    "partial" => Outcome::Partial,
    "failed" => Outcome::Failed,
    "rejected" => Outcome::Rejected,
    "canceled" => Outcome::Canceled,
    "abandoned" => Outcome::Abandoned,
} }

// The other causes follow from the attempt.
words! { Cause {
    "poll" => Cause::Poll,
    "webhook" => Cause::Webhook,
} }
