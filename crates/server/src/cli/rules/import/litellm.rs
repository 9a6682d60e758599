//! LiteLLM's price map: one flat entry a model, its dimensions in the names of the keys.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value};
use spantally_price::RateCard;

use super::model::{Imported, Meter, Row, decimal, has_price, price};

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

/// Every media model of a provider that its card has no price for; none when the map does not know the
/// provider.
pub(super) fn read(map: &Map<String, Value>, provider: &str, card: &RateCard) -> Option<Vec<Imported>> {
    let (_, theirs, prefix) = PROVIDERS.into_iter().find(|(ours, ..)| *ours == provider)?;
    let mut imported = Vec::new();
    for (key, entry) in map {
        let is_theirs = entry["litellm_provider"].as_str() == Some(theirs);
        let Some(model) = key.strip_prefix(prefix).filter(|_| is_theirs) else { continue };
        let mode = entry["mode"].as_str().unwrap_or_default();
        let Some((_, unit, quantity)) = MODES.iter().find(|(name, ..)| *name == mode) else { continue };
        // A size or a quality in front of the name is a row of a table, which this list flattened.
        if model.contains("-x-") || has_price(card, model) {
            continue;
        }
        let meter = |rows| Meter {
            name: String::new(),
            unit: (*unit).to_owned(),
            quantity: (*quantity).to_owned(),
            per: 1,
            rows,
        };
        imported.push(Imported {
            name: key.clone(),
            models: vec![model.to_owned()],
            meters: prices(entry, mode).map(|prices| vec![meter(rows(prices))]),
            notes: Vec::new(),
        });
    }
    Some(imported)
}

/// Rows by resolution; the first that costs what any resolution costs stands for it.
fn rows(prices: BTreeMap<String, Decimal>) -> Vec<Row> {
    let any = prices.get("").copied();
    let mut expected = any;
    let mut rows = Vec::new();
    for (resolution, price) in prices.into_iter().filter(|(resolution, _)| !resolution.is_empty()) {
        let (lower, upper) = (resolution.to_ascii_lowercase(), resolution.to_ascii_uppercase());
        let is_default = expected == Some(price);
        expected = expected.filter(|expected| *expected != price);
        let when = format!("{{resolution: [\"{lower}\", \"{upper}\"]}}");
        rows.push(Row { price, when, is_default, ..Row::default() });
    }
    rows.extend(any.map(|price| Row { price, ..Row::default() }));
    rows
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
            rows.insert(resolution.to_owned(), price(key, value, 1)?);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::rules::import::model::with_tariffs;

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
        let imported = read(map.as_object().unwrap(), "fal", &card).unwrap();
        let names: Vec<(&str, bool)> =
            imported.iter().map(|model| (&*model.name, model.meters.is_ok())).collect();
        assert_eq!(names, [("fal_ai/broken", false), ("fal_ai/new/model", true)], "veo3 has a price");
        let good: Vec<Imported> = imported.into_iter().filter(|model| model.meters.is_ok()).collect();
        let file = with_tariffs(text, &good, &super::super::LITELLM, "2026-11-25".parse().unwrap());
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
