//! Facts as formulas and conditions see them: those that the spans show, and those that follow from them.
//!
//! A size written as `1280x720` or `1280:720` is a width, a height and a number of pixels, however the
//! provider's prices put it. The model that tariffs and prices are found by is the one that was billed. The
//! next file in the flow is `formula.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, FactValue};

/// Name of the fact that says which model was really billed, where a provider falls back to another one.
pub(crate) const BILLED_MODEL: &str = "billed_model";

/// The model that an attempt is billed as: the one that the provider fell back to, where a span says so, else
/// the one that was asked for. Empty when no span names either.
pub(crate) fn billed_model(attempt: &Attempt) -> &Arc<str> {
    match attempt.fact(BILLED_MODEL).map(|fact| &fact.value) {
        Some(FactValue::Text(model)) => model,
        _ => &attempt.model,
    }
}

/// Facts that may be written as a size.
const SIZES: [&str; 2] = ["size", "resolution"];

/// The number that a fact of this name has by what other facts say; none when nothing does.
pub(crate) fn derived(name: &str, attempt: &Attempt) -> Option<Decimal> {
    let side = |name: &str, at: usize| match attempt.fact(name).map(|fact| &fact.value) {
        Some(FactValue::Number(number)) => Some(*number),
        Some(FactValue::Text(text)) => text.parse().ok(),
        None => Some(size(attempt)?[at]),
    };
    match name {
        "width" => side(name, 0),
        "height" => side(name, 1),
        "pixels" => side("width", 0)?.checked_mul(side("height", 1)?),
        _ => None,
    }
}

fn size(attempt: &Attempt) -> Option<[Decimal; 2]> {
    SIZES.iter().find_map(|name| match &attempt.fact(name)?.value {
        FactValue::Text(text) => {
            let (width, height) = text.split_once(['x', ':', '*'])?;
            Some([width.trim().parse().ok()?, height.trim().parse().ok()?])
        }
        FactValue::Number(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use spantally_stitch::FactSource;

    use super::derived;
    use crate::fixture::{attempt, dec};

    #[test]
    fn a_size_is_a_width_and_a_height() {
        for (facts, width, pixels) in [
            (&[("size", "1280x720")][..], Some("1280"), Some("921600")),
            (&[("resolution", "1280:720")], Some("1280"), Some("921600")),
            (&[("resolution", "720p")], None, None),
            (&[("width", "100"), ("size", "1280x720")], Some("100"), Some("72000")),
            (&[("resolution", "720p"), ("size", "640x480")], Some("640"), Some("307200")),
            (&[], None, None),
        ] {
            let facts: Vec<_> =
                facts.iter().map(|(name, value)| (*name, *value, FactSource::Request)).collect();
            let attempt = attempt(&facts);
            assert_eq!(derived("width", &attempt), width.map(dec), "{facts:?}");
            assert_eq!(derived("pixels", &attempt), pixels.map(dec), "{facts:?}");
        }
    }
}
