//! genai-prices: `data.json` (providers with their models), or the YAML file of one provider.
//!
//! Prices are for a million tokens of a kind, and kinds contain one another: what is read from a cache and
//! what is audio is among the input, so that each price is for what no narrower price takes. A price may
//! begin on a day, and may be higher for all tokens once a request is long.

use jiff::civil::Date;
use serde_json::{Map, Value};
use spantally_price::RateCard;

use super::model::{Imported, Meter, Row, decimal, has_price, price};

/// Our provider and theirs.
const PROVIDERS: [(&str, &str); 7] = [
    ("azure_openai", "azure"),
    ("bedrock", "aws"),
    ("elevenlabs", "elevenlabs"),
    ("google", "google"),
    ("minimax", "minimax"),
    ("openai", "openai"),
    ("xai", "x-ai"),
];

const MILLION: u32 = 1_000_000;

/// A kind of price: its key, our unit, and so many units that it is for.
struct Kind {
    key: &'static str,
    unit: &'static str,
    per: u32,
    /// What it is for, best first, as formulas.
    all: &'static [&'static str],
    /// Kinds within it: each is taken off where it has a price of its own and the spans show it.
    parts: &'static [&'static str],
}

const fn tokens(key: &'static str, all: &'static [&'static str], parts: &'static [&'static str]) -> Kind {
    Kind { key, unit: "token", per: MILLION, all, parts }
}

/// In the order of the meters that come out. What is not here is refused.
const KINDS: [Kind; 14] = [
    tokens(
        "input_mtok",
        &["input_tokens"],
        &["cache_read_mtok", "cache_write_mtok", "input_audio_mtok", "input_image_mtok"],
    ),
    tokens("cache_read_mtok", &["cached_tokens"], &["cache_audio_read_mtok", "cache_image_read_mtok"]),
    tokens("cache_write_mtok", &["cache_write_tokens"], &[]),
    tokens("input_audio_mtok", &["input_audio_tokens"], &["cache_audio_read_mtok"]),
    tokens("cache_audio_read_mtok", &["cached_audio_tokens"], &[]),
    tokens("input_image_mtok", &["input_image_tokens"], &["cache_image_read_mtok"]),
    tokens("cache_image_read_mtok", &["cached_image_tokens"], &[]),
    tokens("output_mtok", &["output_tokens"], &["output_audio_mtok", "output_image_mtok"]),
    tokens("output_audio_mtok", &["output_audio_tokens"], &[]),
    tokens("output_image_mtok", &["output_image_tokens"], &[]),
    Kind { key: "input_mchars", unit: "character", per: MILLION, all: &["characters"], parts: &[] },
    Kind { key: "audio_hours", unit: "hour", per: 1, all: &["audio_seconds / 3600"], parts: &[] },
    Kind { key: "input_audio_hours", unit: "hour", per: 1, all: &["audio_seconds / 3600"], parts: &[] },
    Kind { key: "requests_kcount", unit: "request", per: 1000, all: &["1"], parts: &[] },
];

/// Pairs of which the first is never dearer than the second.
const CACHED: [(&str, &str); 3] = [
    ("cache_read_mtok", "input_mtok"),
    ("cache_audio_read_mtok", "input_audio_mtok"),
    ("cache_image_read_mtok", "input_image_mtok"),
];

/// Every model of a provider that its card has no price for; none when the list does not know the provider.
pub(super) fn read(
    providers: &[Value],
    provider: &str,
    card: &RateCard,
    as_of: Date,
) -> Option<Vec<Imported>> {
    let (_, theirs) = PROVIDERS.into_iter().find(|(ours, _)| *ours == provider)?;
    let entry = providers.iter().find(|entry| entry["id"].as_str() == Some(theirs))?;
    let models = entry["models"].as_array()?.iter();
    let missing = models.filter(|model| {
        let removed = model["removed"].as_bool().unwrap_or_default();
        model["id"].as_str().is_some_and(|id| !removed && !has_price(card, id))
    });
    Some(missing.map(|model| imported(model, as_of)).collect())
}

fn imported(model: &Value, as_of: Date) -> Imported {
    let name = model["id"].as_str().unwrap_or_default().to_owned();
    let mut notes = Vec::new();
    let models = patterns(&model["match"], &mut notes);
    let checked = model["prices_checked"].as_str().and_then(|day| day.parse().ok());
    let meters = if models.is_empty() {
        Err("its `match` cannot be written as patterns of names".to_owned())
    } else {
        periods(&model["prices"], as_of).and_then(|periods| meters(&periods, checked, &mut notes))
    };
    Imported { name, models, meters, notes }
}

/// Names that a match takes, as patterns.
fn patterns(rule: &Value, notes: &mut Vec<String>) -> Vec<String> {
    let Some((kind, value)) = rule.as_object().and_then(|rule| rule.iter().next()) else { return Vec::new() };
    match (kind.as_str(), value) {
        ("equals", Value::String(name)) => vec![name.clone()],
        ("starts_with", Value::String(start)) => vec![format!("{start}*")],
        ("ends_with", Value::String(end)) => vec![format!("*{end}")],
        ("contains", Value::String(part)) => vec![format!("*{part}*")],
        ("or", Value::Array(rules)) => rules.iter().flat_map(|rule| patterns(rule, notes)).collect(),
        _ => {
            notes.push(format!("names that match by {kind} are left out: {value}"));
            Vec::new()
        }
    }
}

/// Prices with the days from and until which they hold.
type Period<'a> = (&'a Map<String, Value>, Option<Date>, Option<Date>);

fn periods(prices: &Value, as_of: Date) -> Result<Vec<Period<'_>>, String> {
    let object = |value: &'_ Value| format!("prices {value} are no mapping");
    let list = match prices {
        Value::Array(list) => list,
        single => return Ok(vec![(single.as_object().ok_or_else(|| object(single))?, None, None)]),
    };
    let mut dated = Vec::new();
    for entry in list {
        let prices = entry["prices"].as_object().ok_or_else(|| object(&entry["prices"]))?;
        let from = match &entry["constraint"] {
            Value::Null => None,
            constraint => match constraint["start_date"].as_str().map(str::parse) {
                Some(Ok(day)) => Some(day),
                _ => return Err(format!("a price that depends on {constraint}, which no row can say")),
            },
        };
        dated.push((prices, from));
    }
    dated.sort_by_key(|(_, from)| *from);
    let ends: Vec<Option<Date>> = dated.iter().skip(1).map(|(_, from)| *from).chain([None]).collect();
    let periods = dated.into_iter().zip(ends).map(|((prices, from), until)| (prices, from, until));
    // What has no first day, and had ended when the list was fetched, held from nobody knows when.
    Ok(periods.filter(|(_, from, until)| from.is_some() || until.is_none_or(|until| until > as_of)).collect())
}

fn meters(
    periods: &[Period<'_>],
    checked: Option<Date>,
    notes: &mut Vec<String>,
) -> Result<Vec<Meter>, String> {
    for (prices, ..) in periods {
        check(prices, notes)?;
    }
    let has = |key: &str| periods.iter().any(|(prices, ..)| prices.get(key).is_some_and(|p| !p.is_null()));
    let mut meters = Vec::new();
    for kind in KINDS.iter().filter(|kind| has(kind.key)) {
        let mut rows = Vec::new();
        for (prices, from, until) in periods {
            if let Some(value) = prices.get(kind.key).filter(|value| !value.is_null()) {
                let row = Row { from: *from, until: *until, checked, ..Row::default() };
                rows.extend(tiers(kind, value, &row)?);
            }
        }
        let name = kind.key.trim_end_matches("_mtok").to_owned();
        meters.push(Meter {
            name,
            unit: kind.unit.to_owned(),
            quantity: quantity(kind, &has),
            per: kind.per,
            rows,
        });
    }
    if meters.is_empty() { Err("it has no price".to_owned()) } else { Ok(meters) }
}

/// What contradicts itself, and what cannot be charged by what spans show.
fn check(prices: &Map<String, Value>, notes: &mut Vec<String>) -> Result<(), String> {
    let known = |key: &str| KINDS.iter().any(|kind| kind.key == key);
    // Prices of tools beside the model: searches of the web, of files and the like.
    let is_tool = |key: &str| key.ends_with("_kcount") && !known(key);
    for (key, value) in prices.iter().filter(|(_, value)| !value.is_null()) {
        if is_tool(key) {
            notes.push(format!("{key} is left out: no span shows how often a tool was used"));
        } else if !known(key) {
            return Err(format!("{key} {value}: no span shows how much of that there was"));
        }
    }
    let base = |key: &str| prices.get(key).map(|value| value.get("base").unwrap_or(value)).and_then(decimal);
    for (cached, fresh) in CACHED {
        if let (Some(cached_price), Some(fresh_price)) = (base(cached), base(fresh))
            && cached_price > fresh_price
        {
            return Err(format!("{cached} {cached_price} is more than {fresh} {fresh_price}"));
        }
    }
    let is_timed = prices.keys().any(|key| key.ends_with("audio_hours"));
    if is_timed && base("requests_kcount").is_some() {
        return Err("a price by time and a price a request: which of the two is charged?".to_owned());
    }
    Ok(())
}

/// The price, or those of long requests before that of any: all tokens cost what the last of them costs.
fn tiers(kind: &Kind, value: &Value, row: &Row) -> Result<Vec<Row>, String> {
    let of = |value: &Value| price(kind.key, value, kind.per);
    let Some(base) = value.get("base") else {
        return Ok(vec![Row { price: of(value)?, ..row.clone() }]);
    };
    let mut rows = Vec::new();
    for tier in value["tiers"].as_array().into_iter().flatten().rev() {
        let start = tier["start"].as_u64().ok_or_else(|| format!("{}: a tier without a start", kind.key))?;
        let when = format!("{{input_tokens: {{at_least: {}}}}}", start + 1);
        rows.push(Row { price: of(&tier["price"])?, when, ..row.clone() });
    }
    // A file that says which row to expect has one row with a condition to say it of.
    rows.push(Row { price: of(base)?, ..row.clone() });
    Ok(rows)
}

/// Formulas of a kind's quantity: with all its parts taken off, then with fewer, for a fact that the spans do
/// not show makes a formula have no value. The last is of the whole.
fn quantity(kind: &Kind, has: &impl Fn(&str) -> bool) -> String {
    let mut sums: Vec<(usize, String)> = kind.all.iter().map(|all| (0, (*all).to_owned())).collect();
    for part in KINDS.iter().filter(|part| kind.parts.contains(&part.key) && has(part.key)) {
        let mut with = Vec::new();
        for (taken, sum) in &sums {
            for off in part.all {
                let inner = KINDS.iter().filter(|inner| part.parts.contains(&inner.key) && has(inner.key));
                for inner in inner.filter(|_| part.key != "cache_read_mtok") {
                    with.push((taken + 2, format!("{sum} - ({off} - {})", inner.all[0])));
                }
                with.push((taken + 1, format!("{sum} - {off}")));
            }
        }
        sums.extend(with);
    }
    sums.sort_by_key(|(taken, _)| std::cmp::Reverse(*taken));
    let is_part = KINDS.iter().any(|other| other.parts.contains(&kind.key) && has(other.key));
    let mut sources: Vec<String> = sums
        .iter()
        .map(|(_, sum)| match sum.as_str() {
            "1" => "{constant: 1}".to_owned(),
            sum if sum.contains(' ') => format!("{{formula: \"{sum}\"}}"),
            fact => format!("{{response: {fact}}}"),
        })
        .collect();
    // What is within another kind is nothing where no span tells it apart.
    sources.extend(is_part.then(|| "{constant: 0}".to_owned()));
    format!("[{}]", sources.join(", "))
}

#[cfg(test)]
mod tests;
