//! What a list says of a model, and how it is written into a provider file.

use std::fmt::Write as _;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::Value;
use spantally_price::{PRICE_PLACES, RateCard};

/// A list of prices.
#[derive(Debug)]
pub(super) struct List {
    /// Its key among the sources of the file that comes out.
    pub(super) source: &'static str,
    /// Its name for people.
    pub(super) title: &'static str,
    /// Where it is kept.
    pub(super) url: &'static str,
}

/// A model that the provider file has no price for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Imported {
    /// What the list calls it.
    pub(super) name: String,
    /// Patterns of the names that spans may have.
    pub(super) models: Vec<String>,
    /// What is charged for, or why it is refused.
    pub(super) meters: Result<Vec<Meter>, String>,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
}

/// One thing that is charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meter {
    /// Tells the meters of a model apart; empty when there is one.
    pub(super) name: String,
    pub(super) unit: String,
    /// The list of sources, as it is written.
    pub(super) quantity: String,
    /// A price is for so many units.
    pub(super) per: u32,
    pub(super) rows: Vec<Row>,
}

/// A price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) price: Decimal,
    /// The condition, as it is written; empty when there is none.
    pub(super) when: String,
    pub(super) is_default: bool,
    /// The first day; the day of the list when there is none.
    pub(super) from: Option<Date>,
    /// The first day after it.
    pub(super) until: Option<Date>,
    /// When somebody compared it with its source.
    pub(super) checked: Option<Date>,
}

/// Whether a provider's card has a price for a model.
pub(super) fn has_price(card: &RateCard, model: &str) -> bool {
    let takes = |operation| card.tariff(model, operation);
    ["", "text_to_image", "image_to_image", "video_generation", "text_to_speech", "speech_to_text", "chat"]
        .into_iter()
        .filter_map(takes)
        .any(|tariff| tariff.meters.iter().any(|meter| !meter.prices.is_empty()))
}

/// A price for `per` units that can be kept exactly and is not nothing.
pub(super) fn price(key: &str, value: &Value, per: u32) -> Result<Decimal, String> {
    let price = decimal(value).ok_or_else(|| format!("{key} {value} is no exact number"))?;
    if price <= Decimal::ZERO {
        return Err(format!("{key} is {price}: no media model is free; the price is not known"));
    }
    let of_one = (price / Decimal::from(per)).normalize();
    if of_one.scale() > PRICE_PLACES {
        return Err(format!("{key} {price} has more than {PRICE_PLACES} decimal places: a converted figure"));
    }
    Ok(price)
}

/// The number as it is written: the shortest text that reads back as the same float.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    let number = if text.contains(['e', 'E']) { Decimal::from_scientific(&text) } else { text.parse() };
    number.ok().map(|number| number.normalize())
}

/// The file's text with the tariffs in front of its own, and their source among its sources.
pub(super) fn with_tariffs(text: &str, imported: &[Imported], list: &List, as_of: Date) -> String {
    let mut out = String::with_capacity(text.len() + imported.len() * 256);
    for line in text.lines() {
        let is_head = |key: &str| line.starts_with(key) && !imported.is_empty();
        let _ = writeln!(out, "{line}");
        if is_head("  sources:") {
            let List { source, url, title } = list;
            let _ = writeln!(out, "    {source}: {{url: \"{url}\", as_of: {as_of}, confidence: third_party,");
            let _ = writeln!(out, "      note: \"confidence: third_party; imported from {title}\"}}");
        }
        if is_head("  tariffs:") {
            for (number, model) in imported.iter().enumerate() {
                write_tariff(&mut out, model, number, list, as_of);
            }
        }
    }
    out
}

fn write_tariff(out: &mut String, model: &Imported, number: usize, list: &List, as_of: Date) {
    let quoted: Vec<String> = model.models.iter().map(|name| format!("{name:?}")).collect();
    let _ = writeln!(out, "    - models: [{}]", quoted.join(", "));
    let _ = writeln!(out, "      meters:");
    for meter in model.meters.iter().flatten() {
        let apart = if meter.name.is_empty() { "" } else { "_" };
        let _ = writeln!(out, "        - name: imported_{number}{apart}{}", meter.name);
        let _ = writeln!(out, "          unit: {}", meter.unit);
        let _ = writeln!(out, "          quantity: {}", meter.quantity);
        let _ = writeln!(out, "          currency: USD");
        let _ = writeln!(out, "          prices:");
        for row in &meter.rows {
            let _ = writeln!(out, "            - {{{}}}", row_text(row, meter.per, list.source, as_of));
        }
    }
}

fn row_text(row: &Row, per: u32, source: &str, as_of: Date) -> String {
    let mut text = format!("price: {}", row.price);
    if per != 1 {
        let _ = write!(text, ", per: {per}");
    }
    if !row.when.is_empty() {
        let _ = write!(text, ", when: {}", row.when);
    }
    if row.is_default {
        text += ", default: true";
    }
    let _ = write!(text, ", effective_from: {}", row.from.unwrap_or(as_of));
    if let Some(until) = row.until {
        let _ = write!(text, ", effective_until: {until}");
    }
    let _ = write!(text, ", source: {source}");
    if let Some(checked) = row.checked {
        let _ = write!(text, ", as_of: {checked}");
    }
    text
}
