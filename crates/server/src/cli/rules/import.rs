//! `spantally rules import`: prices of models that a provider file has none for, from LiteLLM's price map.
//!
//! What comes out is the provider file with the new tariffs in front of its own, each price with its source
//! and day: a text to read, to correct and to keep in a directory of your own. What the list says of itself
//! is checked: a media model that costs nothing, two prices for one thing, or a figure that cannot be kept
//! exactly is refused and told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use spantally_price::{PRICE_PLACES, RateCard};

use crate::cli::{ConfigArgs, Exit, Failure, Outcome, stdout};
use crate::provider_files::ProviderFiles;

/// The name of the source in the file that comes out.
const SOURCE: &str = "imported_litellm";
const URL: &str = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json";

/// Our provider, and how LiteLLM names its models: the value of `litellm_provider`, and the start of the key.
const PROVIDERS: [(&str, &str, &str); 13] = [
    ("azure_openai", "azure", "azure/"),
    ("bedrock", "bedrock", ""),
    ("bfl", "black_forest_labs", "black_forest_labs/"),
    ("deepgram", "deepgram", "deepgram/"),
    ("elevenlabs", "elevenlabs", "elevenlabs/"),
    ("fal", "fal_ai", "fal_ai/"),
    ("google", "gemini", "gemini/"),
    ("minimax", "minimax", "minimax/"),
    ("openai", "openai", ""),
    ("replicate", "replicate", "replicate/"),
    ("runway", "runwayml", "runwayml/"),
    ("stability", "stability", "stability/"),
    ("xai", "xai", "xai/"),
];

/// Modes of media models, and the unit and the quantity of a meter of theirs.
const MODES: [(&str, &str, &str); 5] = [
    ("image_generation", "image", "[{response: images}, {request: images}, {constant: 1}]"),
    ("image_edit", "image", "[{response: images}, {request: images}, {constant: 1}]"),
    ("video_generation", "second", "[{response: seconds}, {request: seconds}]"),
    ("audio_transcription", "audio_second", "[{response: audio_seconds}, {request: audio_seconds}]"),
    ("audio_speech", "character", "[{response: characters}, {request: characters}]"),
];

/// Write a provider file with the prices of LiteLLM's map for models that it has no price for.
///
/// FILE is `model_prices_and_context_window.json`. What is refused is told on standard error; then the exit
/// code is 2.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The price map.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The provider whose file is written.
    #[arg(long)]
    provider: String,
    /// The day on which the map was fetched: prices hold from then on.
    #[arg(long, value_name = "DAY")]
    as_of: Date,
    #[command(flatten)]
    config: ConfigArgs,
}

/// A model with the price rows of its one meter.
#[derive(Debug, PartialEq, Eq)]
struct Imported {
    model: String,
    unit: &'static str,
    quantity: &'static str,
    /// Resolution and price; the empty one is for any.
    prices: BTreeMap<String, Decimal>,
}

pub(super) fn run(args: &ImportArgs) -> Outcome {
    let settings = args.config.load()?.settings;
    let providers = ProviderFiles::load(settings.providers.directory.as_deref(), &settings.correlation)
        .map_err(Failure::usage)?;
    let known = PROVIDERS.iter().find(|(ours, ..)| *ours == args.provider);
    let source = providers.files.iter().find(|source| source.name() == args.provider);
    let (Some((_, theirs, prefix)), Some(source)) = (known, source) else {
        let names: Vec<_> = PROVIDERS.iter().map(|(ours, ..)| *ours).collect();
        return Err(Failure::usage(miette::miette!(
            help = format!("one of {}", names.join(", ")),
            "--provider {}: the map has no prices for it",
            args.provider
        )));
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(miette::miette!("cannot read {}: {error}", args.file.display()))
    };
    let bytes = std::fs::read(&args.file).map_err(|error| failed(&error))?;
    let map: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
    let (imported, refused) = read(&map, theirs, prefix, &source.loaded.card);
    let mut out = stdout();
    out.write_all(with_tariffs(source.loaded.text(), &imported, args.as_of).as_bytes())?;
    out.flush()?;
    let mut err = io::stderr().lock();
    for refusal in &refused {
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(err, "refused: {refusal}");
    }
    let _ = writeln!(err, "{} models imported, {} refused", imported.len(), refused.len());
    Ok(if refused.is_empty() { Exit::Success } else { Exit::Finding })
}

/// Every media model of a provider that its card has no price for; and what is refused, with the reason.
fn read(
    map: &Map<String, Value>,
    theirs: &str,
    prefix: &str,
    card: &RateCard,
) -> (Vec<Imported>, Vec<String>) {
    let (mut imported, mut refused) = (Vec::new(), Vec::new());
    for (key, entry) in map {
        let is_theirs = entry["litellm_provider"].as_str() == Some(theirs);
        let Some(model) = key.strip_prefix(prefix).filter(|_| is_theirs) else { continue };
        let mode = entry["mode"].as_str().unwrap_or_default();
        let Some((_, unit, quantity)) = MODES.iter().find(|(name, ..)| *name == mode) else { continue };
        // A size or a quality in front of the name is a row of a table, which this list flattened.
        if model.contains("-x-") || has_price(card, model) {
            continue;
        }
        match prices(entry, mode) {
            Ok(prices) => imported.push(Imported { model: model.to_owned(), unit, quantity, prices }),
            Err(problem) => refused.push(format!("{key}: {problem}")),
        }
    }
    (imported, refused)
}

fn has_price(card: &RateCard, model: &str) -> bool {
    let takes = |operation| card.tariff(model, operation);
    ["", "text_to_image", "image_to_image", "video_generation", "text_to_speech", "speech_to_text"]
        .into_iter()
        .filter_map(takes)
        .any(|tariff| tariff.meters.iter().any(|meter| !meter.prices.is_empty()))
}

/// The price rows of one entry.
fn prices(entry: &Value, mode: &str) -> Result<BTreeMap<String, Decimal>, String> {
    check_cached(entry)?;
    let stems: &[&str] = match mode {
        "image_generation" | "image_edit" => &["output_cost_per_image", "input_cost_per_image"],
        "video_generation" => &["output_cost_per_second", "output_cost_per_video_per_second"],
        "audio_transcription" => &["input_cost_per_second"],
        _ => &["input_cost_per_character"],
    };
    let all = entry.as_object().into_iter().flatten();
    let costs: Vec<(&String, &Value)> =
        all.filter(|(key, value)| key.contains("_cost_per_") && value.is_number()).collect();
    let is_clip = costs.iter().any(|(key, _)| key.starts_with("output_cost_per_image"));
    let is_second = costs.iter().any(|(key, _)| key.contains("_per_second"));
    if mode == "video_generation" && is_clip && is_second {
        return Err("a price a second and a price a clip: which of the two is charged?".into());
    }
    for stem in stems {
        let mut rows = BTreeMap::new();
        for (key, value) in costs.iter().filter(|(key, _)| key.starts_with(stem)) {
            let resolution = key[stem.len()..].trim_start_matches('_');
            if !resolution.is_empty() && !resolution.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            rows.insert(resolution.to_owned(), price(key, value)?);
        }
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
    let found: Vec<&str> = costs.iter().map(|(key, _)| key.as_str()).collect();
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(format!("no price by {} (prices: {found})", stems.join(" or ")))
}

/// What is read again from a cache is never dearer than what is read for the first time.
fn check_cached(entry: &Value) -> Result<(), String> {
    for (cached, fresh) in [
        ("cache_read_input_token_cost", "input_cost_per_token"),
        ("cache_read_input_audio_token_cost", "input_cost_per_audio_token"),
        ("cache_read_input_image_token_cost", "input_cost_per_image_token"),
    ] {
        if let (Some(cached_cost), Some(fresh_cost)) = (decimal(&entry[cached]), decimal(&entry[fresh]))
            && cached_cost > fresh_cost
        {
            return Err(format!("{cached} {cached_cost} is more than {fresh} {fresh_cost}"));
        }
    }
    Ok(())
}

fn price(key: &str, value: &Value) -> Result<Decimal, String> {
    let price = decimal(value).ok_or_else(|| format!("{key} {value} is no exact number"))?;
    if price <= Decimal::ZERO {
        return Err(format!("{key} is {price}: no media model is free; the price is not known"));
    }
    if price.scale() > PRICE_PLACES {
        return Err(format!("{key} {price} has more than {PRICE_PLACES} decimal places: a converted figure"));
    }
    Ok(price)
}

/// The number as it is written: the shortest text that reads back as the same float.
fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    let number = if text.contains(['e', 'E']) { Decimal::from_scientific(&text) } else { text.parse() };
    number.ok().map(|number| number.normalize())
}

/// The file's text with the tariffs in front of its own, and their source among its sources.
fn with_tariffs(text: &str, imported: &[Imported], as_of: Date) -> String {
    let mut out = String::with_capacity(text.len() + imported.len() * 256);
    for line in text.lines() {
        let is_head = |key: &str| line.starts_with(key) && !imported.is_empty();
        let _ = writeln!(out, "{line}");
        if is_head("  sources:") {
            let _ = writeln!(out, "    {SOURCE}: {{url: \"{URL}\", as_of: {as_of}, confidence: third_party,");
            let _ =
                writeln!(out, "      note: \"confidence: third_party; imported from LiteLLM's price map\"}}");
        }
        if is_head("  tariffs:") {
            for (number, model) in imported.iter().enumerate() {
                write_tariff(&mut out, model, number, as_of);
            }
        }
    }
    out
}

fn write_tariff(out: &mut String, model: &Imported, number: usize, as_of: Date) {
    let _ = writeln!(out, "    - models: [\"{}\"]", model.model);
    let _ = writeln!(out, "      meters:");
    let _ = writeln!(out, "        - name: imported_{number}");
    let _ = writeln!(out, "          unit: {}", model.unit);
    let _ = writeln!(out, "          quantity: {}", model.quantity);
    let _ = writeln!(out, "          currency: USD");
    let _ = writeln!(out, "          prices:");
    let any = model.prices.get("");
    let mut expected = any;
    let rows = model.prices.iter().filter(|(resolution, _)| !resolution.is_empty());
    for (resolution, price) in rows {
        let (lower, upper) = (resolution.to_ascii_lowercase(), resolution.to_ascii_uppercase());
        // The first row that costs what any resolution costs stands for it.
        let default = if expected == Some(price) { "default: true, " } else { "" };
        expected = expected.filter(|expected| *expected != price);
        let _ = writeln!(
            out,
            "            - {{price: {price}, when: {{resolution: [\"{lower}\", \"{upper}\"]}}, {default}\
             effective_from: {as_of}, source: {SOURCE}}}"
        );
    }
    if let Some(price) = any {
        let _ = writeln!(out, "            - {{price: {price}, effective_from: {as_of}, source: {SOURCE}}}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (mode, entry, expected) in [
            ("image_generation", json!({"output_cost_per_image": 0.04}), Ok("0.04")),
            ("video_generation", json!({"output_cost_per_second": 5e-2}), Ok("0.05")),
            ("audio_speech", json!({"input_cost_per_character": 1.5e-5}), Ok("0.000015")),
            ("image_generation", json!({"output_cost_per_image": 0.0}), Err("no media model is free")),
            (
                "video_generation",
                json!({"output_cost_per_second": 0.05, "output_cost_per_image": 0.2}),
                Err("a price a second and a price a clip"),
            ),
            (
                "image_generation",
                json!({
                    "output_cost_per_image": 1,
                    "cache_read_input_token_cost": 2e-6,
                    "input_cost_per_token": 1e-6,
                }),
                Err("is more than input_cost_per_token"),
            ),
            (
                "video_generation",
                json!({"output_cost_per_second": 0.141_942_857_142}),
                Err("a converted figure"),
            ),
            (
                "image_generation",
                json!({"input_cost_per_token": 1e-6}),
                Err("no price by output_cost_per_image"),
            ),
        ] {
            match (prices(&entry, mode), expected) {
                (Ok(rows), Ok(price)) => assert_eq!(rows[""], price.parse().unwrap(), "{entry}"),
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{entry}: {problem}"),
                (found, expected) => panic!("{entry}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn resolutions_are_rows_and_what_comes_out_is_a_good_file() {
        let (name, text) =
            spantally_providers::builtin::TEXTS.iter().find(|(name, _)| name.contains("fal")).unwrap();
        let card = spantally_providers::load(name, text).unwrap().card;
        let entry = |prices: Value| {
            let mut entry = prices;
            entry["litellm_provider"] = "fal_ai".into();
            entry["mode"] = "video_generation".into();
            entry
        };
        let map = json!({
            "fal_ai/new/model": entry(json!({
                "output_cost_per_second": 0.06, "output_cost_per_second_480p": 0.05,
                "output_cost_per_second_768p": 0.06, "output_cost_per_second_1080p": 0.06,
            })),
            "fal_ai/fal-ai/veo3": entry(json!({"output_cost_per_second": 9})),
            "fal_ai/broken": entry(json!({"output_cost_per_second": 0})),
            "other/model": {"litellm_provider": "other", "mode": "video_generation"},
        });
        let (imported, refused) = read(map.as_object().unwrap(), "fal_ai", "fal_ai/", &card);
        assert_eq!(imported.len(), 1, "fal-ai/veo3 has a price already: {imported:?}");
        assert_eq!(refused.len(), 1, "{refused:?}");
        let file = with_tariffs(text, &imported, "2026-11-25".parse().unwrap());
        let card =
            spantally_providers::load("fal.yaml", &file).unwrap_or_else(|found| panic!("{}", found[0])).card;
        let rows = &card.tariff("new/model", "").unwrap().meters[0].prices;
        let prices: Vec<String> = rows.iter().map(|row| row.unit_price.to_string()).collect();
        assert_eq!(prices, ["0.06", "0.05", "0.06", "0.06"], "1080p, 480p, 768p, any");
        let defaults: Vec<bool> = rows.iter().map(|row| row.is_default).collect();
        assert_eq!(defaults, [true, false, false, false]);
        assert!(rows[0].citation.third_party);
    }
}
